"""The actions that a person can do with an MLJob in its current state.

Each action is a request to the Kubernetes API. The API server decides whether the person may do the
action.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mljob_contract.mljob import DeletionPolicy, MLJobSpec, MLJobStatus, Phase, RetryStrategy

from ...resource import MLJob
from ...verdict import retry_waits

_ENDED = frozenset({Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED})
_ACTIVE = frozenset({Phase.QUEUED, Phase.RUNNING})
_DEADLINES = frozenset({"DeadlineExceeded", "PreRunningDeadlineExceeded"})
"""Reasons of failures after which a retry has a new run, because the last run was cancelled."""


class Verb(StrEnum):
    """The name of an action in the view's URLs."""

    RETRY = "retry"
    CANCEL = "cancel"
    SUSPEND = "suspend"
    RESUME = "resume"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Action:
    """An action that a person can do with an MLJob in its current state.

    Attributes:
        verb: The name of the action in the view's URLs.
        label: The text of the button.
        consequences: What the action will do, in sentences.
        is_final: Whether the action can't be undone.
        is_advised: Whether the button of the action stands out.
    """

    verb: Verb
    label: str
    consequences: tuple[str, ...]
    is_final: bool
    is_advised: bool = False

    def question(self, name: str) -> str:
        """Return the question that asks a person to confirm the action, such as ``Cancel
        churn-train?``.
        """
        return f"{'Retry' if self.verb is Verb.RETRY else self.label} {name}?"


def actions_for(job: MLJob) -> tuple[Action, ...]:
    """Return the actions that are possible now, in the order of their buttons. An MLJob that is
    being deleted has no actions.

    Raises:
        InvalidResource: The spec or the status does not fit the client's model of an MLJob.
    """
    if job.is_being_deleted:
        return ()
    name, spec, status = job.name, job.spec, job.status
    run = _run(name, status)
    found = [_delete(name, spec, status, run)]
    if status.phase in _ENDED:
        if status.phase == Phase.CANCELLED:
            return tuple(found)
        if not retry_waits(job):
            found.insert(0, _retry(name, spec, status))
        elif spec.suspend:
            found.insert(0, _resume(name))
        return tuple(found)
    if not spec.cancel:
        found.insert(0, _cancel(name, status, run))
    found.insert(0, _resume(name) if spec.suspend else _suspend(name, spec, status, run))
    return tuple(found)


def _run(name: str, status: MLJobStatus) -> str:
    return f"Run {status.dag_run_id}" if status.dag_run_id else f"The run of {name}"


def _running_tasks(status: MLJobStatus) -> str:
    running = status.task_counts.running if status.task_counts else 0
    if running == 0:
        return "No task is running."
    return "1 task is running." if running == 1 else f"{running} tasks are running."


def _ending(status: MLJobStatus, run: str) -> tuple[str, ...]:
    if status.phase in _ACTIVE:
        return (f"{run} is cancelled in Airflow.", _running_tasks(status))
    return ("No run is in progress.",)


def _retry(name: str, spec: MLJobSpec, status: MLJobStatus) -> Action:
    if status.phase == Phase.SUCCEEDED:
        what = f"All tasks of {name} run again, in a new run. The outputs of the last run leave the status."
        return Action(Verb.RETRY, "Run again", (what,), is_final=True)
    if spec.retry_strategy == RetryStrategy.NEW_RUN or status.reason in _DEADLINES:
        what = f"All tasks of {name} run again, in a new run."
    else:
        what = f"The tasks of {name} that failed, or did not run because of that, run again. Finished tasks don't."
    consequences = (what, "Automatic retries count from zero.")
    return Action(Verb.RETRY, "Retry what failed", consequences, is_final=False, is_advised=True)


def _cancel(name: str, status: MLJobStatus, run: str) -> Action:
    final = f"{name} stays as a record in phase Cancelled, and can't run again. To run it later, suspend it instead."
    return Action(Verb.CANCEL, "Cancel", (*_ending(status, run), final), is_final=True)


def _suspend(name: str, spec: MLJobSpec, status: MLJobStatus, run: str) -> Action:
    if spec.backfill is not None:
        what: tuple[str, ...] = ("The backfill is paused. Its runs in progress finish, and no other run starts.",)
    else:
        what = (*_ending(status, run), f"{name} runs from the start, in a new run, when somebody resumes it.")
    return Action(Verb.SUSPEND, "Suspend", what, is_final=False)


def _resume(name: str) -> Action:
    return Action(
        Verb.RESUME,
        "Resume",
        (f"{name} continues: as soon as Airflow has room, it runs.",),
        is_final=False,
        is_advised=True,
    )


def _delete(name: str, spec: MLJobSpec, status: MLJobStatus, run: str) -> Action:
    if status.phase in _ACTIVE and spec.deletion_policy == DeletionPolicy.RETAIN:
        first: tuple[str, ...] = (f"{run} continues in Airflow, and nobody follows it.",)
    else:
        first = _ending(status, run) if status.phase not in _ENDED else ()
    kept = "Its run stays in Airflow." if status.dag_run_id else "No run was submitted."
    last = f"MLJob {name} is deleted, with its status, outputs and history. {kept}"
    return Action(Verb.DELETE, "Delete", (*first, last), is_final=True)
