"""The development stack shows Slack messages as text on a terminal."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from devstack.slack import Message, as_text, complaints
from mljob_airflow.monitoring.notifications.messages import message
from mljob_airflow.monitoring.notifications.state import Notification, NotificationReason
from mljob_contract.reports import Finding, FindingKind, Severity

FINDING = Finding(
    kind=FindingKind.DAG_PAUSED,
    subject="predict",
    severity=Severity.CRITICAL,
    owners=("ml-platform",),
    title="predict is paused, 1 run waiting",
    detail="a <label> & more",
    since=datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
    url="http://airflow/dags/predict",
)


def shown(body: dict[str, Any]) -> list[str]:
    return as_text(Message("C0", "1.0", body)).splitlines()


def test_a_message_of_the_monitoring_dag_is_shown_with_links_and_times() -> None:
    body = message(
        Notification("#ml-platform", ("ml-platform",), NotificationReason.NEW, (FINDING,), (FINDING,)),
        page="http://reports/latest.html",
    )

    assert complaints(body) == []
    assert shown(body) == [
        "🔴 1 problem · ml-platform",
        "",
        "🔴 *predict is paused, 1 run waiting (http://airflow/dags/predict)*",
        "a <label> & more",
        "since 2026-01-02 03:04 UTC",
        "",
        f"[ {body['blocks'][-1]['elements'][0]['text']['text']} ]  http://reports/latest.html",
    ]


def test_text_is_unescaped_once() -> None:
    section = {"type": "section", "text": {"type": "mrkdwn", "text": "write &amp;lt; for &lt;, see <http://x>"}}

    assert shown({"text": "x", "blocks": [section, {"type": "divider"}]}) == [
        "write &lt; for <, see http://x",
        "",
        "----",
    ]
