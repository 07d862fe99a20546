"""What to do next for one MLJob. Each policy answers with an action, or passes (None).

Guards apply in every stage and come first. Then come the policies of the MLJob's stage. The first
action counts. The reconciler carries the action out, adds what it learned, classifies the inputs
again and asks for the next action, until the action is to wait.

Only the MLJob itself outlives a process. An operator that starts with an empty ``TransientState``
does the right thing, because every action is safe to repeat: run ids are computed, Airflow answers
a second submission with 409, and setting a failed task to failed changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from mljob_contract.mljob import DeletionPolicy

from ..run.observed_run import ABSENCE_TAKES, unasked
from .afterwards import arrived_late, was_cleared
from .airflow_use import is_reachable, needs_airflow
from .attempts import Attempt, same_run
from .confirmation import LIST_AGAIN_AFTER
from .spec_change import SpecChange
from .starting import Start
from .state import Stage, State

LOOK_UP_EVERY = timedelta(seconds=5)
"""How often Airflow is asked for a run that is being cancelled. Events and the change feed don't
report a deleted run.
"""
CANCEL_DAG_TAKES = timedelta(seconds=60)
"""How long the cancellation DAG may take once it runs. It sets tasks failed in the DAG's order and
gives teardown tasks time to run.
"""
CANCEL_AGAIN_AFTER = timedelta(seconds=10)
"""How long a cancellation through REST may take to show its effect before it is repeated."""


@dataclass(frozen=True, slots=True)
class AddFinalizer:
    """Add the finalizer, so that the MLJob is not removed while it has a run."""


@dataclass(frozen=True, slots=True)
class CountRuns:
    """Count the runs of this spec in Airflow. An earlier MLJob of this name may have started
    several, and the newest run counts.
    """


@dataclass(frozen=True, slots=True)
class BeginAttempt:
    """Begin this attempt: the status describes it from now on."""

    attempt: Attempt


@dataclass(frozen=True, slots=True)
class TakeOver:
    """Announce that this process submits the attempt's run, so that the process that announced the
    attempt before does not.
    """


@dataclass(frozen=True, slots=True)
class Store:
    """Write the status first, so that after a crash the next process knows what was about to be
    done.
    """


@dataclass(frozen=True, slots=True)
class Submit:
    """Trigger the dag run.

    Attributes:
        conf_of: The run whose conf the new run gets; None: it gets the conf of the spec.
    """

    conf_of: str | None = None


@dataclass(frozen=True, slots=True)
class ClearFailed:
    """Clear the run's failed tasks, and the tasks that could not run because of them, so that they
    run again.
    """


@dataclass(frozen=True, slots=True)
class Pause:
    """Pause the backfill, so that no further run of it starts, or resume it."""

    paused: bool


@dataclass(frozen=True, slots=True)
class LookUpRun:
    """Ask Airflow for the run's state."""


@dataclass(frozen=True, slots=True)
class ListTasks:
    """Ask Airflow for the run and all its task instances."""


@dataclass(frozen=True, slots=True)
class ReadQuestions:
    """Ask Airflow for the questions of tasks that await input."""


@dataclass(frozen=True, slots=True)
class TriggerCancellation:
    """Trigger the cancellation DAG."""


@dataclass(frozen=True, slots=True)
class CheckCancellation:
    """Ask Airflow whether the cancellation DAG's run has begun."""


@dataclass(frozen=True, slots=True)
class CancelDirectly:
    """Set the run's unfinished task instances failed, then the run, through REST."""


@dataclass(frozen=True, slots=True)
class HandleChildren:
    """Look for runs that the cancelled run's tasks had started. Cancel them if the spec says so,
    and report them in an Event.
    """


@dataclass(frozen=True, slots=True)
class NoteRetention:
    """Note in Airflow that the run continues without its MLJob on purpose. This is tried once,
    because the deletion does not wait for Airflow.
    """


@dataclass(frozen=True, slots=True)
class Release:
    """Write the status, then remove the finalizer.

    Attributes:
        abandoned: Whether the run may still be active, because its cancellation did not succeed in
            time.
    """

    abandoned: bool = False


@dataclass(frozen=True, slots=True)
class Expire:
    """Delete the finished MLJob, because its time to live has passed."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Do nothing until something changes, or until a time; None: no such time."""

    until: datetime | None = None


Action = (
    AddFinalizer
    | CountRuns
    | BeginAttempt
    | TakeOver
    | Store
    | Submit
    | ClearFailed
    | Pause
    | LookUpRun
    | ListTasks
    | ReadQuestions
    | TriggerCancellation
    | CheckCancellation
    | CancelDirectly
    | HandleChildren
    | NoteRetention
    | Release
    | Expire
    | Wait
)
Policy = Callable[[State], Action | None]


def decide(state: State) -> Action:
    """The next action. A wait ends at the next time at which the state changes by itself.

    Airflow is not asked again for a run that it did not find until its answer can prove something.
    """
    policies = (*GUARDS, *POLICIES[state.stage])
    action = next((action for policy in policies if (action := policy(state)) is not None), Wait())
    again_at = state.presence.ask_again_at
    if isinstance(action, LookUpRun | ListTasks) and again_at is not None and state.now < again_at:
        action = Wait(again_at)
    return Wait(_soonest(action.until, *_changes_at(state))) if isinstance(action, Wait) else action


def _changes_at(state: State) -> list[datetime]:
    """The future times at which the state changes by itself."""
    deadlines, confirmation = state.deadlines, state.confirmation
    times = [deadlines.deletion, confirmation.end_at]
    if not state.job.deleting:
        times += [deadlines.active, deadlines.pre_running, deadlines.expiry, confirmation.doubt_at]
    return [at for at in times if at is not None and at > state.now]


def _soonest(*times: datetime | None) -> datetime | None:
    return min((at for at in times if at is not None), default=None)


def _in_the_future(state: State, at: datetime | None) -> bool:
    return at is not None and state.now < at


# Guards


def handle_children(s: State) -> Action | None:
    """Once a run is cancelled, its tasks start no further runs. Then the operator looks for the
    runs that they had started.
    """
    if not s.ending.children_due:
        return None
    if _in_the_future(s, s.retry_at):
        return Wait(_soonest(s.retry_at, s.deadlines.deletion))
    return HandleChildren()


def let_deletion_through(s: State) -> Action | None:
    """A deletion completes when there is nothing to cancel, when deletionPolicy is Retain, or when
    its deadline has passed.
    """
    if not s.job.deleting:
        return None
    if not s.job.has_finalizer:
        return Wait()
    ended = not s.current.open or s.ending.over or s.observed_run.over
    if s.job.spec.deletion_policy is DeletionPolicy.RETAIN:
        takes_note = not ended and needs_airflow(s) and not s.job.is_backfill and is_reachable(s)
        return NoteRetention() if takes_note and not s.transient.retention_noted else Release()
    if ended:
        return Release()
    return Release(abandoned=True) if s.deadlines.overdue and s.cancellation.asked_in_vain else None


def take_over(s: State) -> Action | None:
    """An attempt that another process announced and did not submit is taken over before anything is
    done for it.

    This happens at once after a start, and later if the other process may still be running.
    """
    if _is_beyond_status(s) or not s.current.open or s.current.submitted or s.transient.attempt is not None:
        return None
    if _in_the_future(s, s.transient.left_until):
        return Wait(s.transient.left_until)
    return TakeOver()


def store_first(s: State) -> Action | None:
    """The status describes the attempt before anything is done for it, and has the reason of a
    cancellation before the run is cancelled.
    """
    if _is_beyond_status(s):
        return None
    cancellation = s.cancellation
    unannounced = cancellation.reason not in (None, cancellation.announced)
    if not s.current.recorded or (s.current.open and not s.ending.over and unannounced):
        return Store()
    return None


def _is_beyond_status(s: State) -> bool:
    """Whether the API server refuses the status of an MLJob that is being deleted.

    The run is cancelled even so, because the object itself says that it is being deleted.
    """
    return s.job.deleting and s.transient.refused


# Policies of stages


def cancel_late_run(s: State) -> Action | None:
    """A run that arrived after its attempt was given up is cancelled, because no other policy
    cancels it. The next run waits for its end.
    """
    if not arrived_late(s):
        return None
    cancelled_at = s.transient.cancel_requests.sent_at
    at = cancelled_at + CANCEL_AGAIN_AFTER if cancelled_at is not None else s.now
    at = max(at, s.retry_at or at)
    return CancelDirectly() if s.now >= at else Wait(at)


def follow_cleared_run(s: State) -> Action | None:
    """A run that somebody cleared in Airflow after its end is a new attempt, which the operator
    follows.
    """
    attempt = s.current.attempt
    if s.current.open or attempt is None or s.cancellation.reason is not None or not was_cleared(s):
        return None
    return BeginAttempt(same_run(attempt, attempt.number + 1)) if s.job.has_finalizer else AddFinalizer()


def confirm_the_end(s: State) -> Action | None:
    """An event of the run's end may be wrong, so only REST's answer counts. Airflow is asked at
    once, and again while it may not have stored the end yet.
    """
    at = s.confirmation.end_at
    return LookUpRun() if at is not None and s.now >= at else None


def cancel_the_run(s: State) -> Action | None:
    """The cancellation DAG comes first. REST cancels if there is no such DAG, if the DAG fails or
    takes too long, or if a deletion's deadline has passed.
    """
    if s.observed_run.over:
        return None
    requests, deletion = s.transient.cancel_requests, s.deadlines.deletion
    if _in_the_future(s, s.retry_at):
        return Wait(_soonest(s.retry_at, deletion))
    if s.observed_run.run is None or s.presence.vanished:
        # After a restart, or after a submission without an answer, it is not known whether there is
        # a run.
        return LookUpRun()
    by_dag = s.cancellation.by_dag and requests.dag_refused is None and not s.deadlines.overdue
    if by_dag and requests.dag_triggered_at is None:
        return TriggerCancellation()
    directly_at = _cancel_directly_at(s)
    if s.now >= directly_at:
        asked = requests.dag_checked_at is not None or requests.sent_at is not None
        return CancelDirectly() if asked or not by_dag else CheckCancellation()
    look_up_at = (s.transient.looked_up_at or requests.dag_triggered_at or s.now) + LOOK_UP_EVERY
    return LookUpRun() if s.now >= look_up_at else Wait(_soonest(directly_at, look_up_at, deletion))


def _cancel_directly_at(s: State) -> datetime:
    """When REST cancels the run: at once without a cancellation DAG, else when that DAG's time has
    passed. The time is longer once its run has begun.
    """
    requests = s.transient.cancel_requests
    if requests.sent_at is not None:
        return requests.sent_at + CANCEL_AGAIN_AFTER
    if requests.dag_triggered_at is None or requests.dag_refused is not None or s.deadlines.overdue:
        return s.now
    return requests.dag_triggered_at + (CANCEL_DAG_TAKES if requests.dag_running else s.inputs.cancel_fallback)


def pause_or_resume(s: State) -> Action | None:
    """Pause or resume a backfill as ``spec.suspend`` says.

    The status says that the backfill is paused before Airflow is asked to pause it, and until
    Airflow has resumed it. After a restart, only the status shows whether the MLJob or a person has
    paused a backfill.
    """
    if s.pausing is None or s.pausing.done or s.presence.vanished:
        return None
    known = s.observed_run.observed_backfill is not None
    if known and not s.pausing.announced:
        return Store()
    if _in_the_future(s, s.retry_at):
        return Wait(s.retry_at)
    return Pause(s.pausing.wanted) if known else LookUpRun()


def collect_results(s: State) -> Action | None:
    """When a run has ended, all its tasks and outputs are read once. They are not read for an MLJob
    that is about to run another spec.
    """
    observed_run, transient = s.observed_run, s.transient
    forgotten = s.current.finished and s.current.submitted and observed_run.run is None
    if (s.start is not None and s.start.rerun) or not (observed_run.over or forgotten):
        return None
    if not s.job.has_finalizer or observed_run.listed or observed_run.not_found:
        return None
    if _in_the_future(s, s.retry_at):
        # The verdict waits for the results no longer than until its own time.
        return None if s.stage is Stage.ENDED else Wait(_soonest(s.retry_at, s.ending.verdict_at))
    if transient.over_since is None or transient.looked_up_at is None:
        return ListTasks()
    again_at = transient.looked_up_at + LIST_AGAIN_AFTER
    return ListTasks() if s.now >= again_at else Wait(again_at)


def store_the_end(s: State) -> Action | None:
    """The end of the attempt is stored before anything else is done about it."""
    return Store()


def release(s: State) -> Action | None:
    """An MLJob without a run in Airflow, which is to have none, needs no finalizer."""
    return Release() if s.job.has_finalizer else None


def expire(s: State) -> Action | None:
    """A finished MLJob is deleted when its time to live has passed."""
    expiry = s.deadlines.expiry
    return Expire() if expiry is not None and s.now >= expiry and not s.job.has_finalizer else None


def wait_for_the_backoff(s: State) -> Action | None:
    """After a failure, a run is started when the backoff has passed."""
    return Wait(s.start.at if s.start is not None else None)


def clear_up(s: State) -> Action | None:
    """A crashed operator may have submitted the announced run, so a blocked MLJob still finds out
    whether it has a run.

    The run may be in progress, and the deletion of its AirflowInstance waits for it.
    """
    unknown_until = s.transient.unknown_until
    if not s.presence.in_doubt or unknown_until is None or not is_reachable(s):
        return Wait()
    return LookUpRun() if s.now >= unknown_until else Wait(unknown_until)


def start_the_run(s: State) -> Action | None:
    """The finalizer is added before the run is submitted, so that no run is left behind. The run id
    is computed, so that no run is started twice.
    """
    start = s.start
    if start is None:
        return None
    if not s.job.has_finalizer:
        return AddFinalizer()
    if not s.current.open:
        return _count_runs(s) if start.may_have_run else BeginAttempt(start.attempt)
    if start.superseded:
        return _replace(s, start)
    return _submit(s)


def _replace(s: State, start: Start) -> Action:
    """Another attempt replaces the announced attempt. A crashed operator may have submitted the
    announced run, so Airflow is asked first.
    """
    unused = s.presence.absent or s.presence.unsent or s.transient.cleared_nothing
    return BeginAttempt(start.attempt) if unused else LookUpRun()


def _submit(s: State) -> Action:
    unknown_until = s.transient.unknown_until
    if s.job.is_backfill and unknown_until is not None and not s.presence.absent:
        # Airflow assigns the ids of backfills, so a second request would create a second backfill.
        # The operator first finds out whether the earlier request took effect.
        return LookUpRun()
    if s.current.by_clearing:
        return ClearFailed() if s.observed_run.missed_at is None else LookUpRun()
    if s.presence.in_doubt and unknown_until is not None and s.now >= unknown_until:
        # The limits on active runs need to know whether this run exists, even if it can't be
        # submitted again.
        return LookUpRun()
    history = s.job.status.history
    return Submit(conf_of=history[-1].dag_run_id if s.change is SpecChange.REFUSED and history else None)


def _count_runs(s: State) -> Action:
    """Airflow must answer twice that there is no further run of this spec. Otherwise the MLJob
    might take over an older run and its end.
    """
    counted_at = s.transient.counted_at
    again_at = counted_at + ABSENCE_TAKES if counted_at is not None else s.now
    return CountRuns() if s.now >= again_at else Wait(again_at)


def follow(s: State) -> Action | None:
    """A run in progress reports its changes by events and the change feed.

    Airflow is asked after a restart, when the run may be missing or an event may be wrong, and for
    the question of a task that awaits input.
    """
    if _in_the_future(s, s.retry_at):
        return Wait(s.retry_at)
    if not s.current.open:
        return None
    doubt_at, missed = s.confirmation.doubt_at, s.current.submitted and s.presence.ask_again_at is not None
    doubted = doubt_at is not None and s.now >= doubt_at
    if s.transient.doubt or doubted or missed or s.deadlines.start_unconfirmed:
        return ListTasks()
    if s.current.submitted and s.cancellation.reason is None and unasked(s.observed_run):
        return ReadQuestions()
    return None


GUARDS: tuple[Policy, ...] = (handle_children, let_deletion_through, take_over, store_first)

_AFTER_AN_ATTEMPT = (cancel_late_run, follow_cleared_run, collect_results)
POLICIES: dict[Stage, tuple[Policy, ...]] = {
    Stage.BLOCKED: (*_AFTER_AN_ATTEMPT, clear_up),
    Stage.BACKING_OFF: (*_AFTER_AN_ATTEMPT, wait_for_the_backoff),
    Stage.STARTING: (*_AFTER_AN_ATTEMPT, start_the_run),
    Stage.RUNNING: (confirm_the_end, pause_or_resume, follow),
    Stage.CANCELLING: (confirm_the_end, cancel_the_run, collect_results, follow),
    Stage.COLLECTING: (confirm_the_end, collect_results, follow),
    Stage.ENDED: (confirm_the_end, collect_results, store_the_end),
    Stage.STOPPED: (*_AFTER_AN_ATTEMPT, release),
    Stage.RETAINED: (),
    Stage.FINISHED: (*_AFTER_AN_ATTEMPT, release, expire, follow),
}
"""The policies of each stage, in their order."""
