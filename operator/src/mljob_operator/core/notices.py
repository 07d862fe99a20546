"""The Kubernetes Events that a change of status is worth: what ``kubectl describe`` shows at 3 a.m.

Events come from transitions only, so a status that says the same again makes none, and a message that repeats with every retry is said once.
Reasons are stable: alerts match on them.
"""

from __future__ import annotations

from dataclasses import dataclass

from mljob_contract.mljob import MLJobStatus, Phase

from .phases import TERMINAL_PHASES

NORMAL = "Normal"
WARNING = "Warning"


@dataclass(frozen=True, slots=True)
class Notice:
    """A Kubernetes Event to be.

    Attributes:
        type: Normal or Warning.
        reason: CamelCase.
        message: A sentence, at most 1,024 characters (the apiserver's limit).
    """

    type: str
    reason: str
    message: str


def notices(old: MLJobStatus, new: MLJobStatus, *, deleting: bool = False) -> list[Notice]:
    """What to tell of the step from ``old`` to ``new``; deletion is a new generation of the object, not a changed spec."""
    told: list[Notice] = []
    if new.submit_time and not old.submit_time:
        told.append(
            Notice(NORMAL, "Submitted", f"Submitted run {new.dag_run_id} of DAG {new.dag_id}: {new.dag_run_url}")
        )
    elif _spec_changed(old, new) and not deleting:
        told.append(
            Notice(
                WARNING,
                "SpecChangeIgnored",
                f"The spec changed after run {new.dag_run_id} was submitted; a change of dagId or conf doesn't affect it. Delete and create the MLJob to run the new spec.",
            )
        )
    told.extend(_failed_tasks(old, new))
    if new.phase != old.phase:
        told.extend(_phase_change(new))
    elif new.reason != old.reason and new.phase in (Phase.PENDING, Phase.QUEUED, Phase.CANCELLING) and new.message:
        told.extend(_trouble(new))
    return told


def _spec_changed(old: MLJobStatus, new: MLJobStatus) -> bool:
    """Whether the spec changed under a run in progress."""
    in_progress = old.submit_time is not None and old.phase not in TERMINAL_PHASES
    return in_progress and new.observed_generation != (old.observed_generation or new.observed_generation)


def _phase_change(new: MLJobStatus) -> list[Notice]:
    message = (new.message or "")[:1024]
    match new.phase:
        case Phase.RUNNING:
            return [Notice(NORMAL, "Running", f"Airflow started run {new.dag_run_id}.")]
        case Phase.SUCCEEDED:
            return [Notice(NORMAL, "Succeeded", message)]
        case Phase.FAILED:
            return [Notice(WARNING, "Failed", message)]
        case Phase.CANCELLING:
            return [Notice(NORMAL, "Cancelling", message)]
        case Phase.CANCELLED:
            return [Notice(NORMAL, "Cancelled", message)]
        case _:
            return _trouble(new)


def _trouble(new: MLJobStatus) -> list[Notice]:
    if new.reason in ("Submitting", "Queued", "Cancelling", None):
        return []
    return [Notice(WARNING, new.reason or "", (new.message or "")[:1024])]


def _failed_tasks(old: MLJobStatus, new: MLJobStatus) -> list[Notice]:
    """One Warning for each task that came to fail; a mapped task says how many of its instances did."""
    if new.progress is None:
        # Until REST has told how many tries there are, a failure in the official producer's events may be a retry to be.
        return []
    before = {task.task_id: task.state for task in old.tasks or ()} if old.progress is not None else {}
    told = []
    for task in new.tasks or ():
        if task.state != "failed" or before.get(task.task_id) == "failed":
            continue
        error = ""
        if task.error is not None:
            error = f": {task.error.type}: {task.error.message}" if task.error.type else f": {task.error.message}"
        instances = f" ({task.mapped.states.get('failed', 0)} of {task.mapped.total} instances)" if task.mapped else ""
        told.append(
            Notice(
                WARNING, "TaskFailed", f"Task {task.task_id}{instances} failed at try {task.try_number}{error}"[:1024]
            )
        )
    return told
