"""The conditions of an MLJob."""

from __future__ import annotations

from dataclasses import replace

from mljob_contract.mljob import Phase

from ..airflow_instance.catalog import Blocker
from ..mljob.classification.backfill_pause import RESUMING
from ..mljob.classification.cancellation import CancelReason
from ..mljob.classification.spec_change import SpecChange
from ..mljob.classification.state import Stage, State
from ..run.states import TERMINAL_PHASES
from ..text.storable import cut
from .changed_fields import changed_fields
from .conditions import DesiredCondition
from .messages import MAX_MESSAGE, MAX_MESSAGE_BYTES
from .summary import StatusSummary

_REFUSED = (
    "{} after the run was submitted, and runPolicy is Once: the change has no effect. "
    "Create an MLJob with another name to run the new spec, or set runPolicy to OnChange."
)
_CANCELLED = (
    "{}, and cancel is true: the changed spec does not run. Create an MLJob with another name to run the new spec."
)
_COUNTING = "Looking in Airflow for earlier runs of this spec."
_UNREADABLE = "{}. The spec does not affect the existing run. Correct the spec to have it applied."


def conditions_of(state: State, summary: StatusSummary) -> list[DesiredCondition]:
    """Return the conditions of the MLJob. Reconciling and Stalled, the conditions of kstatus, are
    always in the result. Their status is True or False.

    The other conditions are only sometimes in the result:

    - Complete is True if the MLJob has succeeded. If the spec has changed and the changed spec has
      not run, Complete describes the earlier spec.
    - Failed is True if the MLJob has failed or was cancelled.
    - Suspended is True if the MLJob is suspended. Otherwise, Suspended is False if the MLJob was
      suspended before, or if the operator is pausing or resuming the MLJob's backfill.
    - SpecApplied is False if the operator refuses a change of the spec, or can't apply the change
      now.
    - UnknownParams is True if the conf has keys that are not params of the DAG.
    """
    unapplied = _unapplied(state)
    conditions = [
        *_verdict(state, summary, is_unapplied=bool(unapplied)),
        *_suspended(state, summary),
        *unapplied,
        *_unknown_params(state),
    ]
    if (blocker := rerun_blocker(state)) is not None:
        blocker = replace(blocker, message=cut(blocker.message, MAX_MESSAGE, MAX_MESSAGE_BYTES))
        if state.change is SpecChange.RENEWED:
            conditions.append(DesiredCondition("SpecApplied", False, blocker.reason, blocker.message))
        return [
            *conditions,
            DesiredCondition("Reconciling", not blocker.stalls, blocker.reason, blocker.message),
            DesiredCondition("Stalled", blocker.stalls, blocker.reason, blocker.message),
        ]
    if _counts_runs(state):
        return [
            *conditions,
            DesiredCondition("Reconciling", True, "Submitting", _COUNTING),
            DesiredCondition("Stalled", False, "Submitting", ""),
        ]
    stuck = summary.phase is Phase.PENDING and _needs_a_change(state)
    suspended = summary.phase is Phase.SUSPENDED and state.job.spec.suspend
    reconciling = not (summary.phase in TERMINAL_PHASES or stuck or suspended)
    conditions.append(_condition("Reconciling", reconciling, summary))
    if summary.phase is Phase.SUCCEEDED and unapplied:
        # The run of the old spec succeeded. Clients that wait for the new spec learn from Stalled
        # that the new spec does not run.
        return [*conditions, *(replace(condition, type="Stalled", holds=True) for condition in unapplied)]
    return [*conditions, _condition("Stalled", stuck or summary.phase in (Phase.FAILED, Phase.CANCELLED), summary)]


def rerun_blocker(state: State) -> Blocker | None:
    """Return why a finished MLJob can't run again now, although its changed spec or a requested
    retry demands another run. Return None if nothing demands another run, if nothing blocks the
    run, or if it is too early for the run (:attr:`.Start.due`). A failed request to count the runs
    of the spec is returned as a Blocker.
    """
    start, last_error = state.start, state.transient.last_error
    if start is None or not start.rerun:
        return None
    if start.blocker is not None:
        return start.blocker if start.due else None
    if start.uncounted and last_error is not None and last_error.counting:
        return Blocker(last_error.reason, last_error.message, last_error.stalls)
    return None


def waits_to_rerun(state: State) -> bool:
    """Return whether a finished MLJob is about to run again, and can't run again at once: something
    blocks the run (:func:`rerun_blocker`), or the operator still counts the runs of the spec.
    """
    return rerun_blocker(state) is not None or _counts_runs(state)


def _counts_runs(state: State) -> bool:
    return state.start is not None and state.start.rerun and state.start.uncounted


def _verdict(state: State, summary: StatusSummary, *, is_unapplied: bool) -> list[DesiredCondition]:
    if summary.phase is Phase.SUCCEEDED:
        of_earlier_spec = is_unapplied or state.change is not SpecChange.NONE
        return [DesiredCondition("Complete", True, summary.reason, summary.message, of_earlier_spec)]
    if summary.phase in (Phase.FAILED, Phase.CANCELLED):
        return [DesiredCondition("Failed", True, summary.reason, summary.message)]
    return []


def _condition(kind: str, holds: bool, summary: StatusSummary) -> DesiredCondition:
    return DesiredCondition(kind, holds, summary.reason, summary.message if holds else "")


def _needs_a_change(state: State) -> bool:
    if state.stage is Stage.BLOCKED and state.start is not None and state.start.blocker is not None:
        return state.start.blocker.stalls
    last_error = state.transient.last_error
    return last_error is not None and last_error.stalls


def _suspended(state: State, summary: StatusSummary) -> list[DesiredCondition]:
    """Return the condition Suspended in these three cases, otherwise an empty list:

    - The MLJob is in the phase Suspended. Only in this case, the condition has the status True.
    - The operator has to pause or to resume the MLJob's backfill.
    - The stored status has the condition Suspended.
    """
    suspended = summary.phase is Phase.SUSPENDED
    pause = state.backfill_pause if summary.phase not in TERMINAL_PHASES else None
    pending = pause is not None and not pause.done
    was_suspended = any(condition.type == "Suspended" for condition in state.job.status.conditions or ())
    if not (suspended or pending or was_suspended):
        return []
    reason = "Suspended" if suspended else "Resumed"
    if pending and pause is not None:
        reason = CancelReason.SUSPEND if pause.pauses else RESUMING
    return [DesiredCondition("Suspended", suspended, reason, summary.message if suspended else "")]


def _unknown_params(state: State) -> list[DesiredCondition]:
    """Return the condition UnknownParams if the conf has keys that are not params of the DAG.
    Otherwise return an empty list.

    If this process has not built the conf of the newest attempt, the unknown keys come from the
    condition in the stored status. A stored status of another spec is ignored.
    """
    message = state.transient.unknown_params
    if message is None and state.current.status.spec_hash == state.job.status.spec_hash:
        stored = [condition for condition in state.job.status.conditions or () if condition.type == "UnknownParams"]
        message = stored[0].message if stored else None
    if not message:
        return []
    return [DesiredCondition("UnknownParams", True, "UnknownParams", cut(message, MAX_MESSAGE, MAX_MESSAGE_BYTES))]


def _unapplied(state: State) -> list[DesiredCondition]:
    """Return the condition SpecApplied with the status False in these three cases, otherwise an
    empty list:

    - The spec has changed, and runPolicy Once refuses the change.
    - The spec has changed, and the changed spec has ``cancel: true``, so no run of this spec starts.
    - The spec is invalid, and the MLJob already has a run of an earlier spec.
    """
    if state.change is SpecChange.REFUSED:
        return [DesiredCondition("SpecApplied", False, "RunPolicyOnce", _text(_REFUSED, changed_fields(state)))]
    if state.change is SpecChange.RENEWED and state.job.spec.cancel:
        return [DesiredCondition("SpecApplied", False, CancelReason.CANCEL, _text(_CANCELLED, changed_fields(state)))]
    problem, first_run = state.job.parsed.problem, state.start is not None and not state.start.rerun
    if problem is None or state.current.attempt is None or first_run or state.job.deleting:
        return []
    return [DesiredCondition("SpecApplied", False, "ValidationFailed", _text(_UNREADABLE, problem))]


def _text(template: str, value: str) -> str:
    return cut(template.format(value), MAX_MESSAGE, MAX_MESSAGE_BYTES)
