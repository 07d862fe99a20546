"""Makes the Kafka message with a report.

This is a separate module, so that a task that only sends task events does not load the models of
reports.
"""

from __future__ import annotations

from mljob_airflow.events.cloudevents import Message, headers
from mljob_contract.reports import CE_TYPE_REPORT, MonitoringReport


def message_from_report(report: MonitoringReport, *, event_id: str) -> Message:
    """The message for a report. The message's key is the monitor's DAG id.

    Args:
        report: The report.
        event_id: The CloudEvents attribute ``id``, which has to be unique for the report's source.
    """
    return Message(
        key=report.monitor.encode(),
        value=report.model_dump_json(exclude_none=True).encode(),
        headers=headers(event_id, report.source, CE_TYPE_REPORT, report.at, report.monitor),
    )
