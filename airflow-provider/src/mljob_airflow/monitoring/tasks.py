"""The monitors' tasks: settings and Variables in, adapters put together. A part that is not configured skips itself and says how to."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from mljob_airflow import settings
from mljob_airflow.compatibility import skip_exception
from mljob_airflow.monitoring.links import Links
from mljob_airflow.monitoring.notifications import state as remembering
from mljob_airflow.monitoring.notifications.state import Memory, Quiet
from mljob_airflow.monitoring.pages import files as page_files
from mljob_airflow.monitoring.thresholds import Thresholds, effective
from mljob_contract.reports import MonitoringReport

log = logging.getLogger(__name__)

OWNERS_VARIABLE = "mljob_owners"
DAGS_ASKED = 3
"""DAGs of an owner whose ``owner_links`` are looked at."""


def observe(context: Mapping[str, Any], look: str, quiet_hours: int) -> dict[str, Any]:
    """Look at Airflow; the report as JSON."""
    from airflow.sdk import Variable

    from mljob_airflow.monitoring import collector as looking
    from mljob_airflow.monitoring.findings import mutes
    from mljob_airflow.monitoring.rest_reader import AirflowReader

    endpoint = _endpoint()
    point = looking.Point(
        monitor=_dag_id(context),
        source=settings.source(),
        run_id_prefix=settings.run_id_prefix(),
        links=Links(settings.ui_url() or endpoint.base_url),
        now=datetime.now(UTC),
        mutes=mutes.read(Variable.get(mutes.VARIABLE, default=None)),
    )
    make: looking.Look = getattr(looking, look)
    report = make(AirflowReader(endpoint), _thresholds(context, quiet_hours), point)
    for finding in report.findings:
        log.info("%s: %s %s", finding.severity.value, finding.title, finding.detail)
    log.info("%d finding(s), and %d muted, with %d requests.", len(report.findings), report.muted, report.requests)
    for kind, why in report.incomplete.items():
        log.warning("%s: may be incomplete, %s", kind.value, why)
    return report.model_dump(mode="json")


def tell_owners(context: Mapping[str, Any], report_json: Mapping[str, Any], quiet_hours: int) -> dict[str, Any]:
    """Write to the owners; whom, and why."""
    from airflow.sdk import Connection, Variable

    from mljob_airflow.monitoring.notifications.notifier import Directory, tell
    from mljob_airflow.monitoring.notifications.owners import mapping_of
    from mljob_airflow.monitoring.notifications.slack import messenger

    conn_id = settings.slack_conn_id()
    if not conn_id:
        _skip("nobody is told: [mljob] slack_conn_id names no Connection")
    connection = Connection.get(conn_id)
    fallback = settings.slack_channel()
    if not fallback and connection.conn_type == "slack":
        raise ValueError(
            "[mljob] slack_channel is not set: the channel for owners without an address, for example #airflow"
        )
    report = MonitoringReport.model_validate(report_json)
    thresholds = _thresholds(context, quiet_hours)
    quiet = Quiet(
        timedelta(hours=thresholds.quiet_hours), timedelta(minutes=thresholds.settle_minutes), thresholds.min_severity
    )
    mapping = mapping_of(Variable.get(OWNERS_VARIABLE, default=None, deserialize_json=True))
    name = f"{report.monitor}_memory"

    def save(memory: Memory) -> None:
        Variable.set(name, remembering.to_json(memory), "What this monitor told whom.", serialize_json=True)

    return tell(
        report,
        _memory(name, Variable.get(name, default=None, deserialize_json=True)),
        quiet,
        messenger(conn_id, connection.conn_type),
        Directory(mapping, fallback, lambda owner: owner_link(owner, report, _reader().owner_links)),
        save,
        page=page_files.address_of(report, settings.report_url()) if settings.report_dir() else None,
    )


def write_page(report_json: Mapping[str, Any]) -> str:
    """Write the report as a page; its file."""
    folder = settings.report_dir()
    if not folder:
        _skip("no page is written: [mljob] report_dir names no folder")
    return str(page_files.write(MonitoringReport.model_validate(report_json), Path(folder)))


def send_event(report_json: Mapping[str, Any]) -> None:
    """Put the report on Kafka."""
    import uuid

    from mljob_airflow.events import producer
    from mljob_airflow.monitoring.report_message import message_from_report

    topic = settings.report_topic()
    if not topic:
        _skip("no event is sent: [mljob] report_topic names no topic")
    if topic == settings.topic():
        raise ValueError(
            f"[mljob] report_topic and topic are both {topic}: readers of task events would find reports, which they can't read"
        )
    report = MonitoringReport.model_validate(report_json)
    producer.deliver(topic, message_from_report(report, event_id=str(uuid.uuid4())))


def owner_link(owner: str, report: MonitoringReport, links_of: Callable[[str], Mapping[str, str]]) -> str | None:
    """The owner's link, as one of the DAGs has it that the report is about."""
    dag_ids = dict.fromkeys(finding.dag_id for finding in report.findings if owner in finding.owners and finding.dag_id)
    for dag_id in list(dag_ids)[:DAGS_ASKED]:
        if dag_id and (link := links_of(dag_id).get(owner)):
            return link
    return None


def _memory(name: str, value: object) -> Memory:
    try:
        return remembering.from_json(value)
    except ValueError as error:
        # Somebody edited it. To tell once more is better than to tell never again.
        log.warning("The Variable %s can't be read, and is begun anew: %s", name, error)
        return {}


def _thresholds(context: Mapping[str, Any], quiet_hours: int) -> Thresholds:
    from airflow.sdk import Variable

    dag_id = _dag_id(context)
    variable = Variable.get(dag_id, default=None, deserialize_json=True)
    return effective(variable, context["params"], monitor=dag_id, quiet_hours=quiet_hours)


def _dag_id(context: Mapping[str, Any]) -> str:
    return str(context["ti"].dag_id)


def _endpoint() -> Any:
    from airflow.sdk import Connection

    from mljob_airflow.rest.client import Endpoint

    return Endpoint.from_connection(Connection.get(settings.airflow_conn_id()))


@cache
def _reader() -> Any:
    """One for the process: it logs in."""
    from mljob_airflow.monitoring.rest_reader import AirflowReader

    return AirflowReader(_endpoint())


def _skip(why: str) -> None:
    raise skip_exception()(why)
