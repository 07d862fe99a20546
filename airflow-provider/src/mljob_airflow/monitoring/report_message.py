"""Makes the Kafka message with a monitoring report, the result of one run of a monitoring DAG.

This module is separate from :mod:`mljob_airflow.events.cloudevents`, because a task that only sends
task events must not import the models of reports.
"""

from __future__ import annotations

from mljob_airflow.events.cloudevents import Message, headers
from mljob_contract.reports import CE_TYPE_REPORT, MonitoringReport


def message_from_report(report: MonitoringReport, *, event_id: str) -> Message:
    """Make the Kafka message with a monitoring report. The message's key is the id of the
    monitoring DAG.

    Args:
        report: The report.
        event_id: The CloudEvents attribute ``id``, unique for the report's source.
    """
    return Message(
        key=report.monitor.encode(),
        value=report.model_dump_json(exclude_none=True).encode(),
        headers=headers(event_id, report.source, CE_TYPE_REPORT, report.at, report.monitor),
    )
