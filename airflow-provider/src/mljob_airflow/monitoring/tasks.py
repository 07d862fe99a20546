"""The tasks of the monitoring DAGs. Each task except :func:`observe` needs a setting that enables
the task. Without this setting, the task is skipped.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from mljob_airflow import settings
from mljob_airflow.compatibility import skip_exception
from mljob_airflow.monitoring.links import Links
from mljob_airflow.monitoring.notifications import state as states
from mljob_airflow.monitoring.notifications.state import NotificationPolicy, NotificationState
from mljob_airflow.monitoring.pages import files
from mljob_airflow.monitoring.thresholds import NOTIFY, Thresholds, effective, in_params
from mljob_airflow.monitoring.variables import json_object
from mljob_airflow.rest.client import AirflowApiError, Endpoint
from mljob_contract.reports import MonitoringReport

log = logging.getLogger(__name__)


def observe(context: Mapping[str, Any], collect: str, quiet_hours: int) -> dict[str, Any]:
    """Make the report in a run of a monitoring DAG, and log the report's findings.

    Args:
        context: Airflow's task context.
        collect: The name of the function in :mod:`.collector` that makes the report.
        quiet_hours: The monitoring DAG's default for :attr:`.Thresholds.quiet_hours`.

    Returns:
        The report as a JSON object.

    Raises:
        ThresholdsError: A threshold or the Variable with thresholds is invalid.
    """
    from airflow.sdk import Variable

    from mljob_airflow.monitoring import collector
    from mljob_airflow.monitoring.findings import mutes
    from mljob_airflow.monitoring.rest_reader import AirflowReader

    endpoint = Endpoint.configured()
    report_context = collector.ReportContext(
        monitor=_dag_id(context),
        source=settings.source(),
        run_id_prefix=settings.run_id_prefix(),
        links=Links(settings.ui_url() or endpoint.base_url),
        now=datetime.now(UTC),
        mutes=mutes.parse(Variable.get(mutes.VARIABLE, default=None)),
    )
    make_report: collector.Collector = getattr(collector, collect)
    report = make_report(AirflowReader(endpoint), _thresholds(context, quiet_hours), report_context)
    for finding in report.findings:
        log.info("%s: %s %s", finding.severity.value, finding.title, finding.detail)
    log.info(
        "The report has %d finding(s), and %d are muted. It took %d request(s).",
        len(report.findings),
        report.muted,
        report.requests,
    )
    for kind, why in report.incomplete.items():
        log.warning("Findings of the kind %s may be missing: %s", kind.value, why)
    return report.model_dump(mode="json")


def tell_owners(context: Mapping[str, Any], report_json: Mapping[str, Any], quiet_hours: int) -> dict[str, Any]:
    """Send a Slack message to each address of owners, about the owners' findings, if
    :class:`.NotificationPolicy` requires a notification now.

    Args:
        context: Airflow's task context.
        report_json: The report, from :func:`observe`.
        quiet_hours: The monitoring DAG's default for :attr:`.Thresholds.quiet_hours`.

    Returns:
        The reason of each notification, by owner, for example ``{"team-a": "new"}``. The key ``the
        platform`` stands for findings without an owner.

    Raises:
        AirflowSkipException: The setting ``[mljob] slack_conn_id`` is missing. Or the params of the
            run set thresholds, and the param ``notify`` is not true. Findings with other thresholds
            would count as new or resolved, although nothing changed.
        ValueError: The Variable ``mljob_owners``, a threshold, or the type of the Connection is
            invalid. Or the Connection has the type ``slack`` (a bot), and the setting ``[mljob]
            slack_channel`` is missing.
        NotificationError: At least one message was not sent.
    """
    from airflow.sdk import Connection, Variable

    from mljob_airflow.monitoring.notifications import owners
    from mljob_airflow.monitoring.notifications.notifier import notify
    from mljob_airflow.monitoring.notifications.routing import OwnerDirectory
    from mljob_airflow.monitoring.notifications.slack import messenger

    conn_id = settings.slack_conn_id()
    if not conn_id:
        _skip("owners are not notified: [mljob] slack_conn_id names no Connection")
    if (own := in_params(context["params"])) and not context["params"].get(NOTIFY):
        _skip(
            f"owners are not notified, because the run has thresholds in its params ({', '.join(own)}): set the param {NOTIFY} to notify them"
        )
    connection = Connection.get(conn_id)
    fallback = settings.slack_channel()
    if not fallback and connection.conn_type == "slack":
        raise ValueError(
            "[mljob] slack_channel is not set: set it to the channel for owners without an address, for example #airflow"
        )
    report = MonitoringReport.model_validate(report_json)
    thresholds = _thresholds(context, quiet_hours)
    policy = NotificationPolicy(
        timedelta(hours=thresholds.quiet_hours), timedelta(minutes=thresholds.settle_minutes), thresholds.min_severity
    )
    mapping = owners.mapping_of(Variable.get(owners.VARIABLE, default=None))
    # The suffix must not change, because existing installations have Variables with these names.
    variable = f"{report.monitor}_memory"

    def save(state: NotificationState) -> None:
        Variable.set(
            variable, states.to_json(state), "What this monitor has notified each owner of.", serialize_json=True
        )

    return notify(
        report,
        _state(variable, Variable.get(variable, default=None), report.at),
        policy,
        messenger(conn_id, connection.conn_type),
        OwnerDirectory(mapping, fallback, _owner_links),
        save,
        page=files.url_of(report, settings.report_url()) if settings.report_dir() else None,
    )


def write_page(report_json: Mapping[str, Any]) -> str:
    """Write the report as an HTML page, and return the path of the page's file.

    Raises:
        AirflowSkipException: The setting ``[mljob] report_dir`` is missing.
    """
    folder = settings.report_dir()
    if not folder:
        _skip("no page is written: [mljob] report_dir names no folder")
    return str(files.write(MonitoringReport.model_validate(report_json), Path(folder)))


def send_event(report_json: Mapping[str, Any]) -> None:
    """Send the report to Kafka.

    Raises:
        AirflowSkipException: The setting ``[mljob] report_topic`` is missing.
        ValueError: The topic of reports is also the topic of task events.
        DeliveryError: Kafka has not stored the report.
    """
    import uuid

    from mljob_airflow.events import producer
    from mljob_airflow.monitoring.report_message import message_from_report

    topic = settings.report_topic()
    if not topic:
        _skip("no event is sent: [mljob] report_topic names no topic")
    if topic == settings.topic():
        raise ValueError(
            f"[mljob] report_topic and topic are both {topic}: consumers of task events can't read reports; use another topic"
        )
    report = MonitoringReport.model_validate(report_json)
    producer.deliver(topic, message_from_report(report, event_id=str(uuid.uuid4())))


def _owner_links(dag_id: str) -> Mapping[str, str]:
    """Return a DAG's ``owner_links``. If Airflow can't return them for this DAG, return no links, so
    that the DAG's findings go to the fallback channel.

    Raises:
        AirflowApiError: Airflow is not available, or refuses the user of the Connection.
    """
    from mljob_airflow.monitoring.notifications.routing import UNAVAILABLE

    try:
        links: Mapping[str, str] = _reader().owner_links(dag_id)
    except AirflowApiError as error:
        if error.status in UNAVAILABLE | {401, 403}:
            raise
        log.warning("The owner_links of the DAG %s are ignored: %s", dag_id, error)
        return {}
    return links


def _state(variable: str, text: str | None, now: datetime) -> NotificationState:
    try:
        return states.from_json(json_object(variable, text, example="{}"), now)
    except ValueError as error:
        # With an empty state, owners may be notified twice. If the task failed here, it would fail
        # in every run, and owners would never be notified again.
        log.warning("The Variable %s is invalid, and is replaced by an empty one: %s", variable, error)
        return {}


def _thresholds(context: Mapping[str, Any], quiet_hours: int) -> Thresholds:
    from airflow.sdk import Variable

    dag_id = _dag_id(context)
    return effective(Variable.get(dag_id, default=None), context["params"], monitor=dag_id, quiet_hours=quiet_hours)


def _dag_id(context: Mapping[str, Any]) -> str:
    return str(context["ti"].dag_id)


@cache
def _reader() -> Any:
    """Return the reader of Airflow's REST API. Each call returns the same reader, so that the
    process logs in to Airflow only once.
    """
    from mljob_airflow.monitoring.rest_reader import AirflowReader

    return AirflowReader(Endpoint.configured())


def _skip(why: str) -> None:
    raise skip_exception()(why)
