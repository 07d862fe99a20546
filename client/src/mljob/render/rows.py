"""The rows of a list of MLJobs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from ..resource import MLJob
from ..sweep import POINT
from ..text import plain
from ..verdict import retry_is_suspended, retry_waits, stall_message
from . import fields, numbers, states, times
from .tasks import MAX_TASK_ID, tasks_of
from .waits import waits_for_run

MAX_NAME = 140
MAX_POINT = 80
"""The maximum number of characters of a sweep's values in a list."""
MAX_MESSAGE = 1024
"""The maximum number of characters of a message. The CRD has the same limit, so only an unusual
message is cut.
"""
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
    """A row of a list of MLJobs.

    Attributes:
        namespace: The namespace.
        name: The name.
        point: The values that the MLJob's sweep has chosen for this MLJob's params, such as
            ``epochs=5 lr=0.1``. Empty if the MLJob belongs to no sweep.
        sign: The icon and the word for the phase, or for a requested retry that has not begun.
        progress: The number of succeeded task instances and the number of all task instances, such
            as ``6/10``. For a backfill, the numbers count runs. Empty if not known.
        percent: How much of the run or the backfill has succeeded, in percent. None if not known.
        now: The current task or the reason of the phase. Empty if ``sign`` says enough.
        metrics: The newest metrics of the current task. If the current task has none, the metrics
            of the task that started last among the tasks with metrics. Empty if there are none.
        took: How long the run took, or has taken so far. Empty before its start, and
            while the MLJob waits for its next run.
        age: How old the MLJob is.
        message: The text of :func:`sentence`. Empty if the MLJob needs no attention
            (:func:`is_all_right`) and no requested retry waits. Also empty if the MLJob has no
            status yet and is less than 10 seconds (:data:`FRESH_SECONDS`) old.
        dag_id: The id of the DAG.
        attempts: The number of attempts. Empty before the first attempt.
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
    started = None if waits_for_run(job) else fields.time(status, "startTime")
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
        took=times.duration(times.between(started, ended or now)),
        age=times.duration(times.between(job.created_at, now)),
        message=sentence(job) if waits or not (is_all_right(job) or _is_fresh(job, now)) else "",
        dag_id=plain(job.dag_id, MAX_TASK_ID),
        attempts="" if attempts is None else str(attempts),
    )


def is_all_right(job: MLJob) -> bool:
    """Return whether the MLJob needs no attention. Four conditions must hold: the reason in the
    status means that the run is being submitted, is queued, is running or has succeeded; the MLJob
    is not being deleted; it is not stalled; and the conf has no unknown params.
    """
    has_problem = job.is_being_deleted or job.is_true("Stalled") or job.is_true("UnknownParams")
    return job.phase != "" and job.reason in _SMOOTH and not has_problem


def sentence(job: MLJob) -> str:
    """Return a text of one or more sentences about an MLJob, for people. The text has these parts:

    - The message of the status, without the kubectl command that requests a retry.
    - The message about unknown params, if the conf has unknown params.
    - The first of these facts that applies: the MLJob is being deleted, a requested retry has not
      begun, the MLJob has ended but the operator still has work to do, or the MLJob has ended and
      its changed spec can't run.

    For an MLJob without a status, the text is :data:`NEW`.
    """
    if not job.phase:
        return NEW
    said = plain(job.sentence or job.reason, MAX_MESSAGE)
    unknown = job.conditions.get("UnknownParams", {}) if job.is_true("UnknownParams") else {}
    parts = [said, plain(fields.text(unknown, "message"), MAX_MESSAGE)]
    if job.is_being_deleted:
        parts.insert(0, "The MLJob is being deleted.")
    elif retry_waits(job):
        parts.insert(0, retry_notice(job))
    elif job.phase in _ENDED and job.is_true("Reconciling"):
        parts.append(plain(fields.text(job.conditions["Reconciling"], "message"), MAX_MESSAGE))
    else:
        parts.append(plain(stall_message(job), MAX_MESSAGE))
    return " ".join(dict.fromkeys(part for part in parts if part))


def retry_notice(job: MLJob) -> str:
    """Return the beginning of the message for an MLJob whose requested retry has not begun. The
    caller appends the message of the attempt before the retry.
    """
    what = "until the MLJob is resumed" if retry_is_suspended(job) else "for the operator"
    return f"The requested retry waits {what}. The attempt before:"


def _is_fresh(job: MLJob, now: datetime) -> bool:
    age = times.between(job.created_at, now)
    return not job.phase and age is not None and age < FRESH_SECONDS


def _now(job: MLJob, current: str) -> str:
    if job.phase in ("Running", "Failed") and current:
        tasks = {task.task_id: task for task in tasks_of(job.raw_status)}
        return tasks[current].name if current in tasks else plain(current, MAX_TASK_ID)
    return "" if job.phase in ("Succeeded", job.reason) else plain(job.reason, MAX_TASK_ID)


def _metrics(job: MLJob, current: str) -> str:
    reporting = [task for task in tasks_of(job.raw_status) if task.metrics]
    chosen = [task for task in reporting if task.task_id == current] or reporting
    latest = max(chosen, key=lambda task: task.started_at or _NEVER, default=None)
    return "" if latest is None else numbers.metrics(latest.metrics)
