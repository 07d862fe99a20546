"""The monitoring's messages to Slack."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devstack.slack import complaints
from mljob_airflow.monitoring.notifications.messages import MAX_SECTIONS, NAMES, escape, message, summary
from mljob_airflow.monitoring.notifications.state import Notification, NotificationReason
from mljob_contract.reports import Finding, FindingKind, Severity
from tests.unit.airflow_provider.monitoring.reports import CRITICAL, NOW, finding

PAGE = "https://reports.example/mljob_monitor/2026-05-04T120000.html"


def words(body: Any) -> str:
    return json.dumps(body, ensure_ascii=False)


def notice(
    *present: Finding,
    occasion: NotificationReason = NotificationReason.NEW,
    fresh: tuple[Finding, ...] | None = None,
    **fields: Any,
) -> Notification:
    return Notification("#a", ("team-a",), occasion, present if fresh is None else fresh, present, **fields)


def test_a_message_has_each_finding_with_a_link_and_a_time() -> None:
    body = message(notice(finding("churn", since=NOW), CRITICAL), page=PAGE)
    header, first, second, actions = body["blocks"]
    assert header["text"]["text"] == "🔴 2 problems · team-a"
    assert first["text"]["text"] == (
        "🟠 *<https://airflow.example/dags/churn|churn is paused>*\nUnpause it.\n"
        "since <!date^1777896000^{date_short_pretty} {time}|2026-05-04 12:00 UTC>"
    )
    assert second["text"]["text"].startswith("🔴 *")
    assert actions["elements"][0]["url"] == PAGE
    assert body["text"] == "🔴 2 problems · team-a: churn is paused; stuck is paused"
    assert complaints(body) == []


def test_a_reply_has_new_resolved_and_open_findings() -> None:
    old, new = finding("old"), finding("new")
    body = message(
        notice(old, new, occasion=NotificationReason.CHANGED, fresh=(new,), resolved={"dag_paused:x": "x is paused"})
    )
    assert body["blocks"][0]["text"]["text"] == "🟠 1 new problem · team-a"
    assert "new is paused" in words(body)
    assert "old is paused" not in words(body)
    assert "✅ ~x is paused~" in words(body)
    assert "Still open: 1 paused DAG" in words(body)


def test_a_message_says_that_all_problems_are_resolved() -> None:
    last = notice(occasion=NotificationReason.RESOLVED, resolved={"dag_paused:x": "x is paused"}, all_resolved=True)
    body = message(last)
    assert body["blocks"][0]["text"]["text"] == "✅ All problems are resolved · team-a"
    assert complaints(body) == []


def test_a_message_says_how_many_problems_are_resolved_while_others_are_open() -> None:
    body = message(notice(occasion=NotificationReason.RESOLVED, resolved={"dag_paused:x": "x is paused"}))
    assert body["blocks"][0]["text"]["text"] == "✅ 1 problem resolved · team-a"


def test_findings_beyond_the_limit_are_counted_by_kind() -> None:
    many = [finding(f"dag-{n}") for n in range(30)] + [finding("file", kind=FindingKind.IMPORT_ERROR)]
    body = message(notice(*many))
    assert len(body["blocks"]) <= MAX_SECTIONS + 3
    assert "… and 18 paused DAGs, 1 import error" in words(body)


def test_a_message_with_all_findings_names_the_kinds_that_may_be_missing() -> None:
    kinds = {FindingKind.RECURRING_FAILURE: "", FindingKind.SLOW_TASK: ""}
    body = message(notice(CRITICAL), page=PAGE, incomplete=kinds)
    assert "Findings may be missing: recurring failure, slow task" in words(body)
    assert complaints(body) == []
    reply = message(notice(CRITICAL, occasion=NotificationReason.CHANGED), incomplete=kinds)
    assert "may be missing" not in words(reply)


def test_findings_without_an_owner_are_for_the_platform() -> None:
    body = message(Notification("#airflow", ("",), NotificationReason.NEW, (CRITICAL,), (CRITICAL,)))
    assert body["blocks"][0]["text"]["text"].endswith("· the platform")


def test_a_message_for_several_owners_names_the_owners_of_each_finding() -> None:
    found = (finding("a"), finding("pool", owner=None))
    body = message(Notification("#airflow", ("team-a", ""), NotificationReason.NEW, found, found))
    header, first, second = body["blocks"]
    assert header["text"]["text"] == "🟠 2 problems · team-a, the platform"
    assert "\nOwner: team-a" in first["text"]["text"]
    assert "\nOwner: the platform" in second["text"]["text"]


@pytest.mark.parametrize("kind", FindingKind)
def test_each_kind_has_a_name(kind: FindingKind) -> None:
    assert NAMES[kind]
    assert summary([finding(kind=kind)]).startswith("1 ")


def test_special_characters_of_slack_are_escaped() -> None:
    body = message(notice(finding(title="<b> & c|d", detail="a <!channel> b")))
    assert "&lt;b&gt; &amp; c" in words(body)
    assert "<!channel>" not in words(body)
    assert complaints(body) == []


@pytest.mark.parametrize("occasion", NotificationReason)
def test_the_text_of_the_notification_on_a_phone_is_escaped(occasion: NotificationReason) -> None:
    title = "pool <!channel> & co is full"
    made = notice(finding(title=title), occasion=occasion, resolved={"pool_saturated:x": title})
    shown = message(replace(made, owners=("<!here>",)))["text"]
    assert "<" not in shown
    assert shown.endswith("&lt;!here&gt;: pool &lt;!channel&gt; &amp; co is full")


text = st.text(max_size=5000)


@given(
    st.lists(
        st.tuples(text, text, text, st.sampled_from(list(FindingKind)), st.sampled_from(list(Severity))),
        min_size=1,
        max_size=60,
    ),
    st.text(min_size=1, max_size=400),
    st.sampled_from(list(NotificationReason)),
    text,
)
def test_slack_accepts_a_message_with_any_texts(
    parts: list[tuple[str, str, str, FindingKind, Severity]], owner: str, occasion: NotificationReason, remark: str
) -> None:
    found = [
        finding(f"s{n}", title=title or "x", detail=detail, owners=(other,), kind=kind, severity=severity)
        for n, (title, detail, other, kind, severity) in enumerate(parts)
    ]
    made = Notification("#a", ("", owner), occasion, tuple(found[::2]), tuple(found), {f.key: f.title for f in found})
    assert complaints(message(made, page=PAGE, note=remark, incomplete=list(FindingKind))) == []


@given(text)
def test_escaping_loses_nothing(original: str) -> None:
    shown = escape(original).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    assert shown == original
