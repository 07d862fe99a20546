"""A report as a Kafka message. In a module of its own, so that a task that sends events does not
load the models of reports.
"""

from __future__ import annotations

from mljob_airflow.events.cloudevents import Message, headers
from mljob_contract.reports import CE_TYPE_REPORT, MonitoringReport


def message_from_report(report: MonitoringReport, *, event_id: str) -> Message:
    """``report`` as a message, whose key is the monitor."""
    return Message(
        key=report.monitor.encode(),
        value=report.model_dump_json(exclude_none=True).encode(),
        headers=headers(event_id, report.source, CE_TYPE_REPORT, report.at, report.monitor),
    )
