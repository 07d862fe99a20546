"""The rows of a list of MLJobs: the state, the progress, and the message of an MLJob that needs
attention.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from ..resource import MLJob
from ..sweep import POINT
from ..text import plain
from ..verdict import retry_is_suspended, retry_waits
from . import fields, numbers, states, times
from .tasks import MAX_TASK_ID, tasks_of

MAX_NAME = 140
MAX_POINT = 80
"""The maximum number of characters of a sweep's values in a list."""
MAX_MESSAGE = 400
"""The maximum number of characters of a message in a list."""
_SMOOTH = frozenset({"Submitting", "Submitted", "Queued", "Running", "TaskRunning", "RunsInProgress", "Succeeded"})
"""The reasons of an MLJob that is all right. With any other reason, the row of the MLJob in a list
also has the message.
"""
_NEVER = datetime.min.replace(tzinfo=UTC)
FRESH_SECONDS = 10
"""For this many seconds after the creation of an MLJob without a status, its row has no message,
because the operator may not have read the MLJob yet.
"""
NEW = "No operator has read this MLJob yet. If this lasts, ask whether the operator runs and watches this namespace."
"""The message of an MLJob without a status."""
_ENDED = ("Succeeded", "Failed")


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a list.

    Attributes:
        namespace: The namespace.
        name: The name.
        point: The values of the sweep's params that the MLJob runs with, such as ``epochs=5
            lr=0.1``. An empty text for an MLJob outside a sweep.
        sign: The icon, the word and the tone that stand for the phase, or for a requested retry
            that has not begun yet.
        progress: How many task instances succeeded, out of how many: ``6/10``. An empty text if the
            status has no progress.
        percent: The share of the run that has succeeded, in percent, or None.
        now: The current task, if the MLJob is running or failed and has a current task. Otherwise
            the reason of the phase. An empty text if the MLJob has succeeded, if the reason is the
            same word as the phase, or while a requested retry waits to begin.
        metrics: The last metrics of one task, or an empty text.
        took: How long the run took or takes, or an empty text before its start.
        age: How old the MLJob is.
        message: The message of an MLJob that needs attention, or an empty text.
        dag_id: The id of the DAG.
        attempts: The number of attempts, or an empty text before the first attempt.
    """

    namespace: str
    name: str
    point: str
    sign: states.Sign
    progress: str
    percent: int | None
    now: str
    metrics: str
    took: str
    age: str
    message: str
    dag_id: str
    attempts: str


def row_of(job: MLJob, now: datetime) -> Row:
    """Return the row of an MLJob at the time ``now``."""
    status = job.raw_status
    current = fields.text(status, "currentTask")
    ended = fields.time(status, "completionTime")
    attempts = fields.whole(status, "attempts")
    waits = retry_waits(job)
    return Row(
        namespace=plain(job.namespace, MAX_NAME),
        name=plain(job.name, MAX_NAME),
        point=plain(job.annotations.get(POINT, ""), MAX_POINT),
        sign=states.of_phase(job.phase, retry_waits=waits),
        progress=plain(fields.text(status, "progress"), 20),
        percent=fields.whole(status, "percent"),
        now="" if waits else _now(job, current),
        metrics=_metrics(job, current),
        took=times.duration(times.between(fields.time(status, "startTime"), ended or now)),
        age=times.duration(times.between(job.created_at, now)),
        message=sentence(job) if waits or not (is_all_right(job) or _is_fresh(job, now)) else "",
        dag_id=plain(job.dag_id, MAX_TASK_ID),
        attempts="" if attempts is None else str(attempts),
    )


def is_all_right(job: MLJob) -> bool:
    """Return whether the MLJob makes progress or has succeeded, so that a list needs no message
    about the MLJob. Return False for an MLJob without a phase, an MLJob that is being deleted, and
    an MLJob whose conf has unknown params.
    """
    return job.phase != "" and job.reason in _SMOOTH and not job.is_being_deleted and not job.is_true("UnknownParams")


def sentence(job: MLJob, limit: int = MAX_MESSAGE) -> str:
    """Return a text for people about an MLJob. The text has the message of the status, without the
    kubectl command that requests a retry. If the status has no message, the text has the reason. If
    the MLJob has no phase, the text is :data:`NEW`.

    The text has more sentences in these cases:

    - The MLJob is being deleted.
    - A requested retry waits to begin.
    - The conf has unknown params.
    - The MLJob has ended, and the operator still has work to do for the MLJob.

    Args:
        job: The MLJob.
        limit: The maximum number of characters of each part of the text. While a requested retry
            waits to begin, the maximum number of characters of the whole text.
    """
    if not job.phase:
        return NEW
    said = plain(job.sentence or job.reason, limit)
    unknown = job.conditions.get("UnknownParams", {}) if job.is_true("UnknownParams") else {}
    parts = [said, plain(fields.text(unknown, "message"), limit)]
    if job.is_being_deleted:
        parts.insert(0, "The MLJob is being deleted.")
    elif retry_waits(job):
        return plain(" ".join(part for part in (retry_notice(job), *parts) if part), limit)
    elif job.phase in _ENDED and job.is_true("Reconciling"):
        parts.append(plain(fields.text(job.conditions["Reconciling"], "message"), limit))
    return " ".join(dict.fromkeys(part for part in parts if part))


def retry_notice(job: MLJob) -> str:
    """Return the beginning of the message for an MLJob if a requested retry has not begun yet. This
    beginning says what the retry waits for, and ends with "The attempt before:". The caller appends
    the message of the last attempt.
    """
    what = "until the MLJob is resumed" if retry_is_suspended(job) else "for the operator"
    return f"The requested retry waits {what}. The attempt before:"


def _is_fresh(job: MLJob, now: datetime) -> bool:
    """Return whether the MLJob has no phase, and was created less than :data:`FRESH_SECONDS` ago.
    The operator may not have read such a new MLJob yet.
    """
    age = times.between(job.created_at, now)
    return not job.phase and age is not None and age < FRESH_SECONDS


def _now(job: MLJob, current: str) -> str:
    if job.phase in ("Running", "Failed") and current:
        tasks = {task.task_id: task for task in tasks_of(job.raw_status)}
        return tasks[current].name if current in tasks else plain(current, MAX_TASK_ID)
    return "" if job.phase in ("Succeeded", job.reason) else plain(job.reason, MAX_TASK_ID)


def _metrics(job: MLJob, current: str) -> str:
    """Return the metrics of the current task if it has metrics. Otherwise, return the metrics of
    another task: the task with metrics that started last. Return an empty text if no task has
    metrics.
    """
    reporting = [task for task in tasks_of(job.raw_status) if task.metrics]
    chosen = [task for task in reporting if task.task_id == current] or reporting
    latest = max(chosen, key=lambda task: task.started_at or _NEVER, default=None)
    return "" if latest is None else numbers.metrics(latest.metrics)
