"""The Kubernetes Events for a change of an MLJob's status, and the Events about runs that a
cancelled run had started. The reasons of Events are stable, because alerts match on the reasons.
"""

from __future__ import annotations

from collections.abc import Sequence

from mljob_contract.mljob import RETRY_REQUESTED_AT, Condition, MLJobStatus, Phase

from ..frozen import frozen
from ..mljob.classification.backfill_pause import RESUMING
from ..mljob.classification.cancellation import CANCEL_REASONS
from ..mljob.upstream import WAITING
from ..run.children import Child, in_words
from ..run.halt import Halt
from ..run.states import TERMINAL_PHASES

NORMAL = "Normal"
WARNING = "Warning"
MAX_NOTE = 1024
"""The maximum length of an Event's message, in characters. The Kubernetes API server has this limit
for the field ``note`` of events.k8s.io/v1.
"""
MAX_RUN_EVENTS = 5
"""The maximum number of runs of a backfill that have an Event each if they fail at once. More runs
share one Event.
"""

FAILURES = ("DeadlineExceeded", "PreRunningDeadlineExceeded", "BackoffLimitExceeded")
"""The reasons of a failed MLJob that are also the reasons of its Event. For any other reason, the
run itself has failed, and the Event has the reason Failed.
"""
_NO_WARNING = frozenset(
    {
        RESUMING,
        "Submitting",
        "Submitted",
        "Queued",
        "ConcurrencyLimit",
        WAITING,
        None,
        *CANCEL_REASONS,
    }
)


@frozen
class KubeEvent:
    """A Kubernetes Event to create.

    Attributes:
        type: Normal or Warning.
        reason: The reason in one CamelCase word.
        message: One or more sentences. The first ``MAX_NOTE`` characters are stored.
    """

    type: str
    reason: str
    message: str


_WARNING_PHASES = (Phase.PENDING, Phase.QUEUED, Phase.CANCELLING)
"""Phases in which every new reason creates an Event, except the reasons in ``_NO_WARNING``. In
other phases, only the reasons of a halted DAG create an Event.
"""
_HALTS = frozenset(Halt)
_CANCELLED = (Phase.CANCELLING, Phase.CANCELLED, Phase.SUSPENDED)
"""Phases of an MLJob whose tasks can only fail because the operator cancels, or has cancelled, the
run. The tasks of a suspended backfill are not in the status.
"""


def events_of(old: MLJobStatus, new: MLJobStatus) -> list[KubeEvent]:
    """Return the Events for a change of the status from ``old`` to ``new``."""
    events: list[KubeEvent] = []
    again = new.attempts != old.attempts
    if again and old.attempts is not None and new.last_handled_retry != old.last_handled_retry:
        events.append(
            KubeEvent(
                NORMAL, "RetryRequested", f"Attempt {new.attempts} begins: annotation {RETRY_REQUESTED_AT} requests it."
            )
        )
    elif again and old.attempts is not None and old.phase in TERMINAL_PHASES and new.dag_run_id == old.dag_run_id:
        events.append(
            KubeEvent(
                NORMAL,
                "ClearedInAirflow",
                f"Run {new.dag_run_id} was cleared in Airflow; following it as attempt {new.attempts}.",
            )
        )
    if new.submit_time and (again or not old.submit_time):
        run = f"backfill {new.backfill.id}" if new.backfill else f"run {new.dag_run_id}"
        events.append(KubeEvent(NORMAL, "Submitted", f"Submitted {run} of DAG {new.dag_id}: {new.dag_run_url}"))
    if (unapplied := _condition(new, "SpecApplied")) is not None and _condition(old, "SpecApplied") is None:
        waits = new.observed_generation == old.observed_generation
        events.append(KubeEvent(WARNING, unapplied.reason if waits else "SpecChangeRefused", unapplied.message))
    events.extend(_unknown_params(old, new))
    events.extend(_failed_tasks(old, new))
    events.extend(_failed_runs(old, new))
    events.extend(_questions(old, new))
    if new.phase != old.phase:
        events.extend(_phase_change(old, new))
    elif new.reason != old.reason and new.message and (new.phase in _WARNING_PHASES or new.reason in _HALTS):
        events.extend(_warning(new))
    return events


def of_children(ended: Sequence[Child], left: Sequence[Child], run_id: str) -> list[KubeEvent]:
    """Return the Events about the children of a cancelled run: the runs that tasks of the cancelled
    run had started.

    Args:
        ended: The children that the operator has cancelled.
        left: The children that are still in progress.
        run_id: The id of the cancelled run that had started the children.
    """
    events = []
    if ended:
        events.append(
            KubeEvent(
                NORMAL, "ChildrenCancelled", f"Runs that run {run_id} had started were cancelled: {in_words(ended)}."
            )
        )
    if left:
        events.append(
            KubeEvent(
                WARNING,
                "ChildrenLeft",
                f"Runs that run {run_id} had started are still in progress: {in_words(left)}. With spec.cancellation.children set to Cancel, the operator cancels "
                "such runs if the namespace may run their DAGs.",
            )
        )
    return events


def _condition(status: MLJobStatus, kind: str) -> Condition | None:
    return next((condition for condition in status.conditions or () if condition.type == kind), None)


def _phase_change(old: MLJobStatus, new: MLJobStatus) -> list[KubeEvent]:
    resumed = old.phase is Phase.SUSPENDED
    match new.phase:
        case Phase.QUEUED | Phase.RUNNING if resumed:
            events = [KubeEvent(NORMAL, "Resumed", "The backfill goes on.")]
        case Phase.PENDING if resumed:
            events = [KubeEvent(NORMAL, "Resumed", "The MLJob is not suspended any more."), *_warning(new)]
        case Phase.RUNNING:
            what = "the first run of the backfill" if new.backfill else f"run {new.dag_run_id}"
            events = [KubeEvent(NORMAL, "Running", f"Airflow started {what}.")]
        case Phase.SUCCEEDED:
            events = [KubeEvent(NORMAL, "Succeeded", _message(new))]
        case Phase.FAILED:
            events = [KubeEvent(WARNING, (new.reason if new.reason in FAILURES else None) or "Failed", _message(new))]
        case Phase.CANCELLING:
            events = [KubeEvent(NORMAL, "Cancelling", _message(new))]
        case Phase.CANCELLED:
            events = [KubeEvent(NORMAL, "Cancelled", _message(new))]
        case Phase.SUSPENDED:
            events = [KubeEvent(NORMAL, "Suspended", _message(new))]
        case _:
            events = _warning(new)
    return events


def _message(status: MLJobStatus) -> str:
    return status.message or ""


def _warning(new: MLJobStatus) -> list[KubeEvent]:
    if new.reason in _NO_WARNING:
        return []
    return [KubeEvent(WARNING, new.reason or "", _message(new))]


def _questions(old: MLJobStatus, new: MLJobStatus) -> list[KubeEvent]:
    before = {(task.task_id, task.try_number) for task in old.tasks or () if task.input is not None}
    events = []
    for task in new.tasks or ():
        if task.input is None or (task.task_id, task.try_number) in before or new.phase is not Phase.RUNNING:
            continue
        subject = f": {task.input.subject}" if task.input.subject else ""
        instances = f" ({task.input.instances} instances)" if (task.input.instances or 0) > 1 else ""
        where = f" Answer at {task.input.url}" if task.input.url else ""
        text = f"Task {task.task_id}{instances} waits for a person's answer{subject}"
        events.append(KubeEvent(NORMAL, "AwaitingInput", f"{text[:800]}{where}"))
    return events


def _unknown_params(old: MLJobStatus, new: MLJobStatus) -> list[KubeEvent]:
    before, after = _condition(old, "UnknownParams"), _condition(new, "UnknownParams")
    if after is None or (before is not None and before.message == after.message):
        return []
    return [KubeEvent(WARNING, "UnknownParams", after.message)]


def _is_cancelling_or_cancelled(status: MLJobStatus) -> bool:
    return status.phase in _CANCELLED or status.reason in CANCEL_REASONS


def _failed_tasks(old: MLJobStatus, new: MLJobStatus) -> list[KubeEvent]:
    # The operator writes the status of a cancellation before the operator asks Airflow to cancel
    # the run. So ``old`` is such a status when the cancelled tasks fail.
    if _is_cancelling_or_cancelled(old):
        return []
    if new.progress is None:
        # Without progress, the operator has not listed the tasks through the REST API yet. Until
        # then, the operator may not know whether a retry follows a failure.
        return []
    failed = [task for task in new.tasks or () if task.state == "failed"]
    if not failed:
        return []
    before = {task.task_id for task in old.tasks or () if task.state == "failed"} if old.progress is not None else set()
    events = []
    for task in failed:
        if task.task_id in before:
            continue
        error = ""
        if task.error is not None:
            error = f": {task.error.type}: {task.error.message}" if task.error.type else f": {task.error.message}"
        instances = f" ({task.mapped.states.get('failed', 0)} of {task.mapped.total} instances)" if task.mapped else ""
        events.append(
            KubeEvent(
                WARNING,
                "TaskFailed",
                f"Task {task.task_id}{instances} failed at try {task.try_number}{error}",
            )
        )
    return events


def _failed_runs(old: MLJobStatus, new: MLJobStatus) -> list[KubeEvent]:
    if new.backfill is None:
        return []
    before = {run.dag_run_id for run in old.backfill.failed_runs or ()} if old.backfill else set()
    failed = [run for run in new.backfill.failed_runs or () if run.dag_run_id not in before]
    if len(failed) > MAX_RUN_EVENTS:
        return [
            KubeEvent(
                WARNING,
                "RunFailed",
                f"{len(failed)} runs have failed, from {failed[0].dag_run_id} to {failed[-1].dag_run_id}",
            )
        ]
    return [KubeEvent(WARNING, "RunFailed", f"Run {run.dag_run_id} failed: {run.url}") for run in failed]
