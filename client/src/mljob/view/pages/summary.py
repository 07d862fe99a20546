"""The summary of an MLJob. From the summary, the web view makes the MLJob's row in a list.

The web view keeps thousands of summaries in memory, but not the MLJobs themselves. A summary
usually takes about a kilobyte, because long texts are cut.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from ...finite import finite_number
from ...render.rows import retry_notice
from ...render.waits import waits_for_run, waits_since
from ...resource import MLJob, without_how_to_retry
from ...verdict import retry_waits, stall_message
from .outside_text import count_of, cut, items_of, mapping_of, text_of, time_of

FINISHED: Final = frozenset({"Succeeded", "Failed", "Cancelled"})
"""The phases of finished MLJobs."""
MAX_LABELS: Final = 32
MAX_MESSAGE: Final = 300
TREND: Final = 24
"""The maximum number of last values of the first metric that a summary keeps."""
_PROGRESS = re.compile(r"([0-9]{1,9})/([0-9]{1,9})")
_STEPS = ("epoch", "step", "iteration", "rows", "total", "seconds")
"""Metrics that show how far a run is, not how good its model is. These metrics come last in lists.
"""


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class JobSummary:
    """The summary of an MLJob, for a row of a list.

    Attributes:
        version: The resourceVersion.
        done: How many task instances have succeeded. For a backfill, how many runs have succeeded.
            Skipped and removed task instances count as succeeded, unless the run failed. None if
            the number is not known yet.
        percent: The progress from 0 to 100, or None if it is unknown.
        metrics: Names and values of at most 3 metrics of one task: the last task in
            ``status.tasks`` that has metrics.
        trend: The last values of the first metric in ``metrics``, the oldest first, at most 24.
            Values from before the view began to watch the MLJob are missing.
        started_at: When Airflow started the run. None while the MLJob waits for its next run.
        waits_since: Since when the MLJob waits for its next run, or None if it does not wait.
        error: The error of the failed task. Empty if the status has no such error, if the MLJob has
            not failed, or if a requested retry has not begun.
        is_stalled: Whether the condition Stalled is True.
        retry_waits: Whether the MLJob has succeeded or failed, and a requested retry has not begun.
        searched: Name, namespace, DAG, phase, reason and message in lower case, for searches.
    """

    uid: str
    version: str
    namespace: str
    name: str
    created_at: datetime | None
    type: str
    dag_id: str
    labels: tuple[tuple[str, str], ...]
    phase: str
    reason: str
    message: str
    done: int | None
    total: int | None
    percent: int | None
    task: str
    metrics: tuple[tuple[str, float], ...]
    trend: tuple[float, ...]
    error: str
    started_at: datetime | None
    ended_at: datetime | None
    waits_since: datetime | None
    is_deleting: bool
    is_stalled: bool
    retry_waits: bool
    searched: str

    @property
    def key(self) -> str:
        """The namespace and the name, joined by a slash. Links and forms contain this key."""
        return f"{self.namespace}/{self.name}"

    @property
    def is_finished(self) -> bool:
        """Whether the phase is Succeeded, Failed or Cancelled."""
        return self.phase in FINISHED

    @property
    def needs_words(self) -> bool:
        """Whether the MLJob's row in a list has a second line with the message.

        The row has no second line if the message is empty. Otherwise, the row has a second line if
        the MLJob is stalled, if a requested retry has not begun, or if the phase is Pending,
        Suspended, Queued, Cancelling, Failed or Cancelled.
        """
        return bool(self.message) and (
            self.is_stalled
            or self.retry_waits
            or self.phase in ("Pending", "Failed", "Cancelling", "Cancelled", "Suspended", "Queued")
        )


def _progress(value: object) -> tuple[int | None, int | None]:
    found = _PROGRESS.fullmatch(text_of(value, 32))
    return (int(found[1]), int(found[2])) if found else (None, None)


def _is_true(status: Mapping[str, Any], condition: str) -> bool:
    return any(
        item.get("type") == condition and item.get("status") == "True" for item in items_of(status.get("conditions"))
    )


def _metrics(task: Mapping[str, Any]) -> tuple[tuple[str, float], ...]:
    named = [
        (cut(name, 40), number)
        for name, value in mapping_of(task.get("metrics")).items()
        if isinstance(name, str) and (number := finite_number(value)) is not None
    ]
    named.sort(key=lambda item: item[0] in _STEPS)
    return tuple(named[:3])


def _latest_metrics(status: Mapping[str, Any]) -> tuple[tuple[str, float], ...]:
    for task in reversed(list(items_of(status.get("tasks")))):
        if found := _metrics(task):
            return found
    return ()


def _error(status: Mapping[str, Any], task_id: str) -> str:
    for task in items_of(status.get("tasks")):
        if task.get("taskId") == task_id:
            error = mapping_of(task.get("error"))
            kind, message = text_of(error.get("type"), 80), text_of(error.get("message"), MAX_MESSAGE)
            return f"{kind}: {message}" if kind and message else kind or message
    return ""


def _trend(metrics: tuple[tuple[str, float], ...], before: JobSummary | None) -> tuple[float, ...]:
    if not metrics:
        return ()
    name, value = metrics[0]
    if before is None or not before.metrics or before.metrics[0][0] != name:
        return (value,)
    if before.metrics == metrics:
        return before.trend
    return (*before.trend, value)[-TREND:]


def summary_of(item: dict[str, Any], before: JobSummary | None = None) -> JobSummary:
    """Return the summary of an MLJob. Fields of another type than expected count as missing.

    Args:
        item: The MLJob as JSON.
        before: The summary of the MLJob's previous version, or None. If the first metric of both
            summaries has the same name, the new ``trend`` continues the ``trend`` of ``before``.
    """
    metadata, spec, status = (mapping_of(item.get(part)) for part in ("metadata", "spec", "status"))
    phase, task_id = text_of(status.get("phase"), 40), text_of(status.get("currentTask"), 250)
    name, namespace = text_of(metadata.get("name"), 253), text_of(metadata.get("namespace"), 63)
    dag_id, said = text_of(spec.get("dagId"), 250), text_of(status.get("message"))
    job = MLJob(item)
    waits, since = retry_waits(job), waits_since(job)
    said = " ".join(part for part in (without_how_to_retry(said, namespace, name), stall_message(job)) if part)
    message = cut(f"{retry_notice(job)} {said}" if waits else said, MAX_MESSAGE)
    metrics = _latest_metrics(status)
    labels = tuple(
        (key[:316], value[:63])
        for key, value in list(mapping_of(metadata.get("labels")).items())[:MAX_LABELS]
        if isinstance(key, str) and isinstance(value, str)
    )
    done, total = _progress(status.get("progress"))
    percent = count_of(status.get("percent"))
    return JobSummary(
        uid=text_of(metadata.get("uid"), 64),
        version=text_of(metadata.get("resourceVersion"), 64),
        namespace=namespace,
        name=name,
        created_at=time_of(metadata.get("creationTimestamp")),
        type=text_of(spec.get("type"), 40) or "Custom",
        dag_id=dag_id,
        labels=labels,
        phase=phase,
        reason=text_of(status.get("reason"), 80),
        message=message,
        done=done,
        total=total,
        percent=min(percent, 100) if percent is not None else None,
        task=task_id,
        metrics=metrics,
        trend=_trend(metrics, before),
        error=_error(status, task_id) if phase == "Failed" and not waits else "",
        started_at=None if waits_for_run(job) else time_of(status.get("startTime")),
        ended_at=time_of(status.get("completionTime")) if phase in FINISHED else None,
        waits_since=time_of(since.isoformat()) if since is not None else None,
        is_deleting=metadata.get("deletionTimestamp") is not None,
        is_stalled=_is_true(status, "Stalled"),
        retry_waits=waits,
        searched=" ".join((name, namespace, dag_id, phase, text_of(status.get("reason"), 80), message)).lower(),
    )
