"""The conditions of an MLJob, which follow from its state and its summary."""

from __future__ import annotations

from dataclasses import replace

from mljob_contract.mljob import Phase

from ..airflow_instance.catalog import Blocker
from ..mljob.backfill_pause import RESUMING
from ..mljob.cancellation import CancelReason
from ..mljob.spec_change import SpecChange
from ..mljob.state import Stage, State
from ..run.states import TERMINAL_PHASES
from ..text.storable import cut
from .conditions import DesiredCondition
from .messages import MAX_MESSAGE, MAX_MESSAGE_BYTES
from .summary import StatusSummary

_REFUSED = (
    "dagId, conf, confFrom, airflowRef, backfill or logicalDate changed after the run was submitted, and runPolicy is Once: the change has no effect. "
    "Create an MLJob with another name to run the new spec, or set runPolicy to OnChange."
)
_UNREADABLE = "{}. The spec does not affect the existing run. Correct the spec to have it applied."


def conditions_of(state: State, story: StatusSummary) -> list[DesiredCondition]:
    """Return the conditions of the MLJob, of the types Complete, Failed, Suspended, SpecApplied,
    Reconciling and Stalled.
    """
    unapplied = _unapplied(state)
    wanted = [*_verdict(story), *_suspended(state, story), *unapplied]
    if (blocker := rerun_blocker(state)) is not None:
        return [
            *wanted,
            DesiredCondition("SpecApplied", False, blocker.reason, blocker.message),
            DesiredCondition("Reconciling", not blocker.stalls, blocker.reason, blocker.message),
            DesiredCondition("Stalled", blocker.stalls, blocker.reason, blocker.message),
        ]
    stuck = story.phase is Phase.PENDING and _is_hopeless(state)
    held = story.phase is Phase.SUSPENDED and state.job.spec.suspend
    moving = not (story.phase in TERMINAL_PHASES or stuck or held)
    wanted.append(_told("Reconciling", moving, story))
    if story.phase is Phase.SUCCEEDED and unapplied:
        # The run of the old spec succeeded. Clients that wait for the new spec learn from Stalled
        # that it does not run.
        return [*wanted, *(replace(condition, type="Stalled", holds=True) for condition in unapplied)]
    return [*wanted, _told("Stalled", stuck or story.phase in (Phase.FAILED, Phase.CANCELLED), story)]


def rerun_blocker(state: State) -> Blocker | None:
    """Return what prevents a finished MLJob from running its new spec. Return None if nothing does,
    or if the spec is unchanged.
    """
    start = state.start
    return start.blocker if start is not None and start.rerun and start.due else None


def _verdict(story: StatusSummary) -> list[DesiredCondition]:
    if story.phase is Phase.SUCCEEDED:
        return [DesiredCondition("Complete", True, story.reason, story.message)]
    if story.phase in (Phase.FAILED, Phase.CANCELLED):
        return [DesiredCondition("Failed", True, story.reason, story.message)]
    return []


def _told(kind: str, holds: bool, story: StatusSummary) -> DesiredCondition:
    """Return a condition with the reason of the summary. Its message is empty if the condition does
    not hold, which keeps the output of `kubectl describe` short.
    """
    return DesiredCondition(kind, holds, story.reason, story.message if holds else "")


def _is_hopeless(state: State) -> bool:
    """Return whether waiting alone does not help, because somebody has to change something. The
    blocker decides this, or the last error if there is no blocker.
    """
    if state.stage is Stage.BLOCKED and state.start is not None and state.start.blocker is not None:
        return state.start.blocker.stalls
    last_error = state.transient.last_error
    return last_error is not None and last_error.stalls


def _suspended(state: State, story: StatusSummary) -> list[DesiredCondition]:
    """Return the condition Suspended, if it applies. For a backfill, its reason also shows that
    Airflow has not accepted the pause or the resumption yet.
    """
    suspended = story.phase is Phase.SUSPENDED
    pause = state.backfill_pause if story.phase not in TERMINAL_PHASES else None
    pending = pause is not None and not pause.done
    told = any(condition.type == "Suspended" for condition in state.job.status.conditions or ())
    if not (suspended or pending or told):
        return []
    reason = "Suspended" if suspended else "Resumed"
    if pending and pause is not None:
        reason = CancelReason.SUSPEND if pause.wanted else RESUMING
    return [DesiredCondition("Suspended", suspended, reason, story.message if suspended else "")]


def _unapplied(state: State) -> list[DesiredCondition]:
    """Return the condition SpecApplied, if the current spec is not the spec of the run."""
    if state.change is SpecChange.REFUSED:
        return [DesiredCondition("SpecApplied", False, "RunPolicyOnce", _REFUSED)]
    problem = state.job.parsed.problem
    if problem is None or state.current.attempt is None or state.start is not None or state.job.deleting:
        return []
    text = cut(_UNREADABLE.format(problem), MAX_MESSAGE, MAX_MESSAGE_BYTES)
    return [DesiredCondition("SpecApplied", False, "ValidationFailed", text)]
