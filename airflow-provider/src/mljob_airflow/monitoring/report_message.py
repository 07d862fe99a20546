"""A monitor's report as a Kafka message. Not among the messages of tasks: each of those would load the models of the reports."""

from __future__ import annotations

from mljob_airflow.events.cloudevents import Message, headers
from mljob_contract.reports import CE_TYPE_REPORT, MonitoringReport


def message_from_report(report: MonitoringReport, *, event_id: str) -> Message:
    """Write a report as a message; its key is the monitor."""
    return Message(
        key=report.monitor.encode(),
        value=report.model_dump_json(exclude_none=True).encode(),
        headers=headers(event_id, report.source, CE_TYPE_REPORT, report.at, report.monitor),
    )
