"""Limits the number of findings in a report, and the size of the report, which has to fit into a
Kafka message.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from mljob_airflow.monitoring.fairness import in_turn
from mljob_airflow.monitoring.observations import Dag
from mljob_contract.message import Message
from mljob_contract.reports import MAX_FINDINGS, Finding, FindingKind, MonitoringReport

MAX_BYTES = 900_000
"""The maximum size of a report's JSON, in bytes. By default, a Kafka producer sends messages of at most
1,000,000 bytes, which include the key and the headers.
"""

Part = TypeVar("Part", bound=Message)


def within_limits(report: MonitoringReport) -> MonitoringReport:
    """Return the report with its findings sorted, the most severe first, and with at most
    :data:`~mljob_contract.reports.MAX_FINDINGS` findings and :data:`MAX_BYTES` bytes.

    A report that is too large loses these parts, in this order, and names the kinds of the lost
    findings in its field ``incomplete``:

    1. the ``history`` of all findings,
    2. the keys of the muted findings, and mutes that need more than half of the bytes,
    3. findings. The owners take turns (:func:`.in_turn`), and each owner keeps the most severe.
    """
    ordered = in_turn(sorted(report.findings, key=_by_severity), _dag_of)
    why = f"the report has only {MAX_FINDINGS} of {len(ordered)} findings"
    report = _with_findings(report, ordered, ordered[:MAX_FINDINGS], why)
    if _size(report) > MAX_BYTES:
        shorter = [finding.model_copy(update={"history": ()}) for finding in report.findings]
        report = report.model_copy(update={"findings": tuple(shorter)})
    if _size(report) > MAX_BYTES:
        report = _without_muted_keys(report)
        ordered = in_turn(report.findings, _dag_of)
        why = f"the report has only the findings that fit into {MAX_BYTES} bytes"
        room = MAX_BYTES - _size(_with_findings(report, ordered, (), why))
        report = _with_findings(report, ordered, _fitting(ordered, room), why)
    return report


def _with_findings(
    report: MonitoringReport, findings: Sequence[Finding], kept: Sequence[Finding], why: str
) -> MonitoringReport:
    keys = {finding.key for finding in kept}
    lost = (finding.kind for finding in findings if finding.key not in keys)
    return report.model_copy(
        update={
            "findings": tuple(sorted(kept, key=_by_severity)),
            "incomplete": dict.fromkeys(lost, why) | report.incomplete,
        }
    )


def _without_muted_keys(report: MonitoringReport) -> MonitoringReport:
    lost = (FindingKind(key.partition(":")[0]) for mute in report.mutes for key in mute.keys)
    why = f"the report names no muted findings, to fit into {MAX_BYTES} bytes"
    mutes = [mute.model_copy(update={"keys": ()}) for mute in report.mutes]
    return report.model_copy(
        update={
            "mutes": tuple(_fitting(mutes, MAX_BYTES // 2)),
            "incomplete": dict.fromkeys(lost, why) | report.incomplete,
        }
    )


def _fitting(parts: Iterable[Part], room: int) -> list[Part]:
    """Return the parts whose JSON fits into ``room`` bytes together with the parts before."""
    fitting = []
    for part in parts:
        size = _size(part) + len(",")
        if size <= room:
            fitting.append(part)
            room -= size
    return fitting


def _size(message: Message) -> int:
    return len(message.model_dump_json(exclude_none=True).encode())


def _by_severity(finding: Finding) -> tuple[int, str, str]:
    return -finding.severity.rank, finding.kind, finding.subject


def _dag_of(finding: Finding) -> Dag:
    return Dag(finding.dag_id or finding.subject, finding.owners)
