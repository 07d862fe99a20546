"""The platform page. The page shows:

- the state of each Airflow, and the number of MLJobs with an active run there;
- the MLJobs in the phase Pending, grouped by the reason why the MLJobs wait;
- the problems that the monitoring DAGs have found.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

from pydantic import ValidationError

from mljob_contract.reports import Finding, MonitoringReport, Severity

from ...resource import MLJob
from .marks import Mark, condition_mark
from .occurrences import Occurrence
from .outside_text import count_of, cut, items_of, mapping_of, text_of, time_of
from .summary import JobSummary

MONITORS: Final = ("mljob_monitor", "mljob_monitor_bottlenecks")
"""The monitoring DAGs. Their task returns a report."""
MAX_AIRFLOWS: Final = 100
MAX_FINDINGS: Final = 200
_NAMED: Final = 8
"""The maximum number of waiting MLJobs that the page names for each reason."""
_GOOD_WHEN_TRUE: Final = frozenset(
    {"Ready", "Healthy", "EventsConnected", "AccessCredentials", "Secure", "VanishedRunsAccepted"}
)
_COMPONENTS: Final = {
    "metadatabase": "Database",
    "scheduler": "Scheduler",
    "dagProcessor": "DAG processor",
    "triggerer": "Triggerer",
}
_NO_FINDINGS: Final = (
    "No report. Run a monitoring DAG as an MLJob with the report of its task among spec.outputs, as "
    "docs/guides/view.md shows, and its findings appear here."
)


@dataclass(frozen=True, slots=True)
class Airflow:
    """An AirflowInstance, as the platform page shows it.

    Attributes:
        mark: The mark that shows the status of the condition Ready.
        message: Why the condition Ready is not true, or an empty text.
        active: How many MLJobs have an active run in this Airflow.
        limit: The maximum of ``active``, or None without a maximum.
        conditions: The conditions other than Ready that show a problem, at most 20.
    """

    name: str
    mark: Mark
    message: str
    version: str
    health: tuple[tuple[str, Mark], ...]
    active: int
    waiting: int
    limit: int | None
    seen_at: datetime | None
    conditions: tuple[Occurrence, ...]


@dataclass(frozen=True, slots=True)
class WaitingGroup:
    """The MLJobs in the phase Pending that wait for the same reason. ``count`` is the number of all
    these MLJobs. ``jobs`` has only the 8 oldest MLJobs, the oldest first.
    """

    reason: str
    count: int
    message: str
    jobs: tuple[JobSummary, ...]


@dataclass(frozen=True, slots=True)
class ShownFinding:
    """A problem that a monitoring DAG has found, as the platform page shows it."""

    mark: Mark
    title: str
    detail: str
    since: datetime | None


@dataclass(frozen=True, slots=True)
class PlatformPage:
    """The content of the platform page.

    Attributes:
        refusal: Why the page shows no AirflowInstances, or an empty text.
        findings: The problems that monitoring DAGs have found, as pairs: an owner of DAGs, and the
            problems of the owner's DAGs. The pair with ``platform`` instead of an owner has the
            problems without an owner, such as the problems of a pool.
        unread: Sentences about the reports of monitoring DAGs that ``findings`` lacks, because they
            are still being read or can't be read.
        no_findings: The text to show if ``findings`` and ``unread`` are empty.
    """

    airflows: tuple[Airflow, ...]
    refusal: str
    waiting: tuple[WaitingGroup, ...]
    findings: tuple[tuple[str, tuple[ShownFinding, ...]], ...]
    unread: tuple[str, ...]
    no_findings: str


def platform_page(
    instances: Iterable[Mapping[str, Any]],
    jobs: Iterable[JobSummary],
    monitors: Iterable[MLJob] = (),
    *,
    refusal: str = "",
    unread: Mapping[str, str] = MappingProxyType({}),
) -> PlatformPage:
    """Return the content of the platform page.

    Args:
        instances: The AirflowInstances as JSON.
        jobs: The MLJobs that the user of the page may see, the newest first.
        monitors: The newest succeeded MLJob of each monitoring DAG.
        refusal: Why the AirflowInstances are not shown, or an empty text.
        unread: The MLJobs of monitoring DAGs that ``monitors`` lacks. A key is an MLJob as
            ``namespace/name``. The value says why the MLJob can't be read, and is empty while the
            MLJob is being read.
    """
    airflows = sorted((_airflow(item) for item in list(instances)[:MAX_AIRFLOWS]), key=lambda airflow: airflow.name)
    reports = [report for job in monitors if (report := _report(job)) is not None]
    return PlatformPage(
        airflows=tuple(airflows),
        refusal=refusal,
        waiting=_waiting(jobs),
        findings=_findings(reports),
        unread=tuple(_unread(key, reason) for key, reason in unread.items()),
        no_findings="Nothing that needs attention." if reports else _NO_FINDINGS,
    )


def _airflow(item: Mapping[str, Any]) -> Airflow:
    spec, status = mapping_of(item.get("spec")), mapping_of(item.get("status"))
    conditions = {text_of(one.get("type"), 60): one for one in items_of(status.get("conditions"))}
    ready = conditions.pop("Ready", {})
    state = text_of(ready.get("status"), 10) or "Unknown"
    words = {"True": "ready", "False": "not ready"}.get(state, "not known")
    found = condition_mark(state, good="True", bad="False")
    return Airflow(
        name=text_of(mapping_of(item.get("metadata")).get("name"), 253),
        mark=Mark(found.icon, words, found.tone),
        message="" if state == "True" else text_of(ready.get("message")) or "No operator has checked this Airflow yet.",
        version=text_of(status.get("version"), 40),
        health=tuple(
            (_COMPONENTS.get(name, cut(name, 40)), _health(text_of(value, 20)))
            for name, value in mapping_of(status.get("health")).items()
        ),
        active=count_of(status.get("activeRuns")) or 0,
        waiting=count_of(status.get("waitingJobs")) or 0,
        limit=count_of(spec.get("maxActiveRuns")),
        seen_at=time_of(status.get("lastProbeTime")),
        conditions=tuple(_condition(name, one) for name, one in conditions.items() if _is_problem(name, one))[:20],
    )


def _health(word: str) -> Mark:
    return Mark("success", word, "good") if word == "healthy" else Mark("failed", word or "not known", "bad")


def _is_problem(name: str, one: Mapping[str, Any]) -> bool:
    return name in _GOOD_WHEN_TRUE and one.get("status") != "True"


def _condition(name: str, one: Mapping[str, Any]) -> Occurrence:
    mark = condition_mark(text_of(one.get("status"), 10), bad="False")
    return Occurrence(mark, name, text_of(one.get("message")), time_of(one.get("lastTransitionTime")))


def _waiting(jobs: Iterable[JobSummary]) -> tuple[WaitingGroup, ...]:
    groups: dict[str, list[JobSummary]] = {}
    for job in jobs:
        if job.phase == "Pending" and job.reason:
            groups.setdefault(job.reason, []).append(job)
    return tuple(
        WaitingGroup(reason, len(found), found[-1].message, tuple(reversed(found[-_NAMED:])))
        for reason, found in sorted(groups.items(), key=lambda item: -len(item[1]))
    )


def _report(job: MLJob) -> MonitoringReport | None:
    """Return the first valid report of a monitoring DAG among the outputs of an MLJob. Return None
    if no output is a valid report. An output can be any JSON value.
    """
    for value in job.outputs.values():
        if isinstance(value, dict) and value.get("monitor") in MONITORS:
            try:
                return MonitoringReport.model_validate(value)
            except ValidationError:
                continue
    return None


def _unread(key: str, reason: str) -> str:
    report = f"The report of MLJob {key}"
    return f"{report} can't be read: {reason}" if reason else f"{report} is being read."


def _findings(reports: Sequence[MonitoringReport]) -> tuple[tuple[str, tuple[ShownFinding, ...]], ...]:
    by_owner: dict[str, list[Finding]] = {}
    for finding in [finding for report in reports for finding in report.findings][:MAX_FINDINGS]:
        for owner in finding.owners or ("platform",):
            by_owner.setdefault(cut(owner, 120), []).append(finding)
    return tuple(
        (owner, tuple(_shown(finding) for finding in sorted(found, key=lambda finding: -finding.severity.rank)))
        for owner, found in sorted(by_owner.items())
    )


def _shown(finding: Finding) -> ShownFinding:
    marks = {
        Severity.CRITICAL: Mark("failed", "critical", "bad"),
        Severity.WARNING: Mark("blocked", "warning", "waiting"),
        Severity.INFO: Mark("info", "info", "neutral"),
    }
    return ShownFinding(marks[finding.severity], cut(finding.title, 300), cut(finding.detail), finding.since)
