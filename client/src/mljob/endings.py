"""The errors for MLJobs that failed, stalled, were cancelled or deleted, or did not end while the
client waited. The functions build the errors from the MLJob's last known state, without requests.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from .changes import Outage
from .errors import JobCancelled, JobDeleted, JobFailed, JobStalled, JobTimeout
from .failure_log import LogEnd
from .resource import MLJob
from .text import plain
from .verdict import Verdict

LOG_TAIL: Final = 20
"""The maximum number of lines of the failed task's log in an error."""
_MAX_TEXT: Final = 1_000


@dataclass(frozen=True, slots=True)
class FailedTask:
    """A failed task in the status of an MLJob.

    Attributes:
        task_id: The id of the task.
        map_index: The map index of the task's first failed instance. -1 if the task is not mapped,
            or if the status names no failed instance.
        error: The type and the text of the task's exception, or None.
    """

    task_id: str
    map_index: int = -1
    error: str | None = None


def failed_task(job: MLJob) -> FailedTask | None:
    """Return the :class:`FailedTask` for the failed task in the status, or None. If several tasks
    have failed, choose the task in ``status.currentTask``. If this task has not failed, choose the
    first failed task in ``status.tasks``.
    """
    listed = job.raw_status.get("tasks")
    tasks = [task for task in listed if isinstance(task, dict)] if isinstance(listed, list) else []
    failed = [task for task in tasks if task.get("state") == "failed"]
    current = job.raw_status.get("currentTask")
    first = next((task for task in failed if task.get("taskId") == current), failed[0] if failed else None)
    if first is None or not isinstance(first.get("taskId"), str):
        return None
    return FailedTask(first["taskId"], _failed_index(first), _error(first.get("error")))


def failure(job: MLJob, verdict: Verdict, log: LogEnd | None = None) -> JobFailed:
    """Return the error for a failed or stalled MLJob. The reason and the message of a stalled MLJob
    are those of the condition Stalled, because the phase may describe the run of an earlier spec.

    Args:
        job: The MLJob.
        verdict: FAILED or STALLED.
        log: The end of the failed task's log, or None.
    """
    task = failed_task(job) if verdict is Verdict.FAILED else None
    kind = JobFailed if verdict is Verdict.FAILED else JobStalled
    state = "failed" if verdict is Verdict.FAILED else "can't go on"
    reason, sentence = (job.reason, job.sentence) if verdict is Verdict.FAILED else _stall(job)
    text = f"MLJob {job.namespace}/{job.name} {state}: {plain(sentence or reason, _MAX_TEXT)}"
    if task is not None and task.error and task.error not in text:
        text += f"\nThe error of task {plain(task.task_id)}: {task.error}"
    if task is not None and log is not None and log.lines:
        title = log.title(f"the log of task {plain(task.task_id)}")
        text = "\n".join([text, title, *(f"  {line}" for line in log.lines)])
    return kind(
        text,
        job,
        reason=reason,
        task=task.task_id if task else None,
        map_index=task.map_index if task else -1,
        error=task.error if task else None,
        log=log.lines if log is not None else (),
    )


def cancelled(job: MLJob) -> JobCancelled:
    """Return the error for a cancelled MLJob. If the MLJob is being deleted, return the error for a
    deletion instead.
    """
    if job.is_being_deleted:
        return deleted(job)
    return JobCancelled(
        f"MLJob {job.namespace}/{job.name} was cancelled: {plain(job.message or job.reason, _MAX_TEXT)}", job
    )


def deleted(job: MLJob) -> JobDeleted:
    """Return the error for an MLJob that was deleted before it ended, or before the end of a
    requested retry or of a run of its changed spec.
    """
    before = "it had run again" if job.phase in (Verdict.SUCCEEDED, Verdict.FAILED) else "it ended"
    return JobDeleted(
        f"MLJob {job.namespace}/{job.name} was deleted before {before}. Its last phase was {job.phase or 'none'}.", job
    )


def timed_out(job: MLJob, seconds: float, outage: Outage | None = None) -> JobTimeout:
    """Return the error for an MLJob whose end the client has not read in time.

    Args:
        job: The last state of the MLJob that the client has read.
        seconds: The time for which the client waited.
        outage: The outage that has not ended, or None if the connection works.
    """
    said = f": {plain(job.message, _MAX_TEXT)}" if job.message else "."
    return JobTimeout(
        f"{time_out_sentence(f'MLJob {job.namespace}/{job.name}', seconds, outage)} "
        f"Its {'phase' if outage is None else 'last known phase'} is {job.phase or 'not known yet'}{said}",
        job,
    )


def time_out_sentence(subject: str, seconds: float, outage: Outage | None) -> str:
    """Say that an MLJob did not end in time, and goes on. During an outage, the client does not know
    whether the MLJob goes on: then say since when the connection is lost, and why.

    Args:
        subject: The MLJob, such as ``It``.
        seconds: The time for which the client waited.
        outage: The outage that has not ended, or None if the connection works.
    """
    if outage is None:
        return f"{subject} did not end within {seconds:g} seconds, and goes on."
    return f"{subject} did not end within {seconds:g} seconds, or its end was not read. {str(outage).rstrip('.')}."


def _stall(job: MLJob) -> tuple[str, str]:
    condition = job.conditions.get("Stalled", {})
    reason, message = condition.get("reason"), condition.get("message")
    return (
        reason if isinstance(reason, str) and reason else job.reason,
        message if isinstance(message, str) and message else job.sentence,
    )


def _failed_index(task: dict[str, Any]) -> int:
    mapped = task.get("mapped")
    indexes = mapped.get("failedIndexes") if isinstance(mapped, dict) else None
    first = indexes[0] if isinstance(indexes, list) and indexes else -1
    return first if isinstance(first, int) else -1


def _error(error: Any) -> str | None:
    if not isinstance(error, dict) or not isinstance(message := error.get("message"), str):
        return None
    kind = error.get("type")
    return plain(f"{kind}: {message}" if isinstance(kind, str) else message, _MAX_TEXT)
