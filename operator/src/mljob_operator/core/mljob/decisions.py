"""What to do next for one MLJob: policies, each of which answers with an action or passes.

Guards hold in every stage and come first; then come the policies of the MLJob's stage. The first action counts. The reconciler carries the action out, adds what
it learned, classifies again and asks again, until the answer is to wait.

Nothing is remembered between processes but the MLJob itself. An operator that starts with an empty ``TransientState`` does the right thing, because every action is safe
to repeat: run ids are computed, Airflow answers a second submission with 409, and failing a failed task changes nothing.
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
"""How often a run under cancellation is asked for by itself, beside events and the change feed, which don't tell of a deleted run."""
CANCEL_DAG_TAKES = timedelta(seconds=60)
"""How long the cancellation DAG may take once it runs: it fails tasks in the DAG's order and gives teardown tasks time to run."""
CANCEL_AGAIN_AFTER = timedelta(seconds=10)
"""How long a direct cancellation may take to show before it is tried again."""


@dataclass(frozen=True, slots=True)
class AddFinalizer:
    """Make sure that the MLJob can't go while it has a run."""


@dataclass(frozen=True, slots=True)
class CountRuns:
    """Ask how many runs there are of this spec: an MLJob that was here before may have taken several, and the newest one counts."""


@dataclass(frozen=True, slots=True)
class BeginAttempt:
    """Speak of this attempt from now on."""

    attempt: Attempt


@dataclass(frozen=True, slots=True)
class TakeOver:
    """Announce that this process submits the attempt's run: from then on the process that announced the attempt doesn't."""


@dataclass(frozen=True, slots=True)
class Store:
    """Write the status before going on: what is done next must be known to whoever carries on after a crash."""


@dataclass(frozen=True, slots=True)
class Submit:
    """Trigger the dag run.

    Attributes:
        conf_of: The run whose conf it gets, where the spec's is not meant.
    """

    conf_of: str | None = None


@dataclass(frozen=True, slots=True)
class ClearFailed:
    """Have the run's failed tasks run again, and those that could not run because of them."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Let no other run of the backfill start, or let them start again."""

    paused: bool


@dataclass(frozen=True, slots=True)
class LookUpRun:
    """Ask for the run's state."""


@dataclass(frozen=True, slots=True)
class ListTasks:
    """Ask for the run and all its task instances."""


@dataclass(frozen=True, slots=True)
class ReadQuestions:
    """Ask what the tasks that await input ask of people."""


@dataclass(frozen=True, slots=True)
class TriggerCancellation:
    """Trigger the cancellation DAG."""


@dataclass(frozen=True, slots=True)
class CheckCancellation:
    """Ask whether the cancellation DAG's run has begun."""


@dataclass(frozen=True, slots=True)
class CancelDirectly:
    """Set the run's unfinished task instances failed, then the run, through REST."""


@dataclass(frozen=True, slots=True)
class HandleChildren:
    """Look for runs that the cancelled run's tasks had started; end them where the spec says so, and tell of them."""


@dataclass(frozen=True, slots=True)
class NoteRetention:
    """Have the run's note say that the run goes on without its MLJob on purpose; tried once, for the deletion does not wait for Airflow."""


@dataclass(frozen=True, slots=True)
class Release:
    """Write the status, then take our finalizer away.

    Attributes:
        abandoned: The run may still be active: Airflow could not be made to end it in time.
    """

    abandoned: bool = False


@dataclass(frozen=True, slots=True)
class Expire:
    """Delete the MLJob: it has been finished for long enough."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do until something happens, or until a time."""

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

    Airflow is not asked again for a run that it said it has not, before the answer can prove something.
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
    """Once a run is cancelled, its tasks start no more runs: those that they had started are looked for."""
    if not s.ending.children_due:
        return None
    if _in_the_future(s, s.retry_at):
        return Wait(_soonest(s.retry_at, s.deadlines.deletion))
    return HandleChildren()


def let_deletion_through(s: State) -> Action | None:
    """A deletion completes when there is nothing to cancel, when the user said so, or when time is up."""
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
    """An attempt that another process announced and did not submit is taken over before anything is done for it: at once after a start, and later where that
    process may still be at work.
    """
    if _is_beyond_status(s) or not s.current.open or s.current.submitted or s.transient.attempt is not None:
        return None
    if _in_the_future(s, s.transient.left_until):
        return Wait(s.transient.left_until)
    return TakeOver()


def store_first(s: State) -> Action | None:
    """The status names the attempt before anything is done for it, and the reason to cancel before the run is cancelled."""
    if _is_beyond_status(s):
        return None
    cancellation = s.cancellation
    unannounced = cancellation.reason not in (None, cancellation.announced)
    if not s.current.recorded or (s.current.open and not s.ending.over and unannounced):
        return Store()
    return None


def _is_beyond_status(s: State) -> bool:
    """Whether the API server refuses the status of an MLJob that is being deleted. The object itself says that it is deleted, so its run is cancelled all the
    same.
    """
    return s.job.deleting and s.transient.refused


# Policies of stages


def cancel_late_run(s: State) -> Action | None:
    """The status already says how the attempt ended, so nothing else ends this run; the next run waits for that."""
    if not arrived_late(s):
        return None
    cancelled_at = s.transient.cancelled_directly_at
    at = cancelled_at + CANCEL_AGAIN_AFTER if cancelled_at is not None else s.now
    at = max(at, s.retry_at or at)
    return CancelDirectly() if s.now >= at else Wait(at)


def follow_cleared_run(s: State) -> Action | None:
    """A run that somebody cleared in Airflow after its end is a new attempt, which the operator follows."""
    attempt = s.current.attempt
    if s.current.open or attempt is None or s.cancellation.reason is not None or not was_cleared(s):
        return None
    return BeginAttempt(same_run(attempt, attempt.number + 1)) if s.job.has_finalizer else AddFinalizer()


def confirm_the_end(s: State) -> Action | None:
    """An event may be wrong: only Airflow's REST API ends a run. Airflow is asked at once, and again while it may not have stored the end yet."""
    at = s.confirmation.end_at
    return LookUpRun() if at is not None and s.now >= at else None


def cancel_the_run(s: State) -> Action | None:
    """The cancellation DAG comes first. REST cancels where there is no such DAG, where it fails or takes too long, and where a deletion has waited long enough."""
    if s.observed_run.over:
        return None
    transient, deletion = s.transient, s.deadlines.deletion
    if _in_the_future(s, s.retry_at):
        return Wait(_soonest(s.retry_at, deletion))
    if s.observed_run.run is None or s.presence.vanished:
        # After a restart, or where the submission was not answered: is there a run at all?
        return LookUpRun()
    by_dag = s.cancellation.by_dag and transient.cancel_dag_refused is None and not s.deadlines.overdue
    if by_dag and transient.cancel_dag_at is None:
        return TriggerCancellation()
    directly_at = _cancel_directly_at(s)
    if s.now >= directly_at:
        asked = transient.cancel_dag_checked_at is not None or transient.cancelled_directly_at is not None
        return CancelDirectly() if asked or not by_dag else CheckCancellation()
    look_up_at = (transient.looked_up_at or transient.cancel_dag_at or s.now) + LOOK_UP_EVERY
    return LookUpRun() if s.now >= look_up_at else Wait(_soonest(directly_at, look_up_at, deletion))


def _cancel_directly_at(s: State) -> datetime:
    """When REST cancels the run: at once where no DAG will, else when the cancellation DAG has had its time, of which a DAG run that has begun has more."""
    transient = s.transient
    if transient.cancelled_directly_at is not None:
        return transient.cancelled_directly_at + CANCEL_AGAIN_AFTER
    if transient.cancel_dag_at is None or transient.cancel_dag_refused is not None or s.deadlines.overdue:
        return s.now
    return transient.cancel_dag_at + (CANCEL_DAG_TAKES if transient.cancel_dag_running else s.inputs.cancel_fallback)


def pause_or_resume(s: State) -> Action | None:
    """The status says that a backfill is paused before Airflow hears of it, and until Airflow has let the backfill go on. After a restart, nothing else tells a
    backfill that the MLJob has paused from a backfill that a person has paused.
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
    """When a run has ended, its tasks and outputs are read once in full. Nothing of a run is read for an MLJob that is about to run another spec."""
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
    """The status says how the attempt ended before anything follows from that."""
    return Store()


def release(s: State) -> Action | None:
    """An MLJob that has no run in Airflow, and is to have none, needs no finalizer."""
    return Release() if s.job.has_finalizer else None


def expire(s: State) -> Action | None:
    """A finished MLJob is deleted when its time to live has passed."""
    expiry = s.deadlines.expiry
    return Expire() if expiry is not None and s.now >= expiry and not s.job.has_finalizer else None


def wait_for_the_backoff(s: State) -> Action | None:
    """A run is started after the pause that a failure asks for."""
    return Wait(s.start.at if s.start is not None else None)


def clear_up(s: State) -> Action | None:
    """A process that crashed may have submitted the announced run. Whether there is a run has to be known, whatever keeps the operator from submitting it again:
    the run may be in progress, and whoever deletes the AirflowInstance waits for it.
    """
    unknown_until = s.transient.unknown_until
    if not s.presence.in_doubt or unknown_until is None or not is_reachable(s):
        return Wait()
    return LookUpRun() if s.now >= unknown_until else Wait(unknown_until)


def start_the_run(s: State) -> Action | None:
    """The finalizer comes before the run, so that no run is left behind; the run id is computed, so that no run is started twice."""
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
    """Another attempt takes the place of an announced one. A process that crashed may have submitted the announced run, so Airflow is asked first."""
    unused = s.presence.absent or s.presence.unsent or s.transient.cleared_nothing
    return BeginAttempt(start.attempt) if unused else LookUpRun()


def _submit(s: State) -> Action:
    unknown_until = s.transient.unknown_until
    if s.job.is_backfill and unknown_until is not None and not s.presence.absent:
        # Airflow gives backfills their ids, so a second creation would be a second backfill: the answer to an earlier creation is waited for.
        return LookUpRun()
    if s.current.by_clearing:
        return ClearFailed() if s.observed_run.missed_at is None else LookUpRun()
    if s.presence.in_doubt and unknown_until is not None and s.now >= unknown_until:
        # Whether the run has a place in its Airflow has to be known, whatever may keep it from being submitted again.
        return LookUpRun()
    history = s.job.status.history
    return Submit(conf_of=history[-1].dag_run_id if s.change is SpecChange.REFUSED and history else None)


def _count_runs(s: State) -> Action:
    """Airflow must say twice that there is no further run of this spec: an older run would be taken over, with its end."""
    counted_at = s.transient.counted_at
    again_at = counted_at + ABSENCE_TAKES if counted_at is not None else s.now
    return CountRuns() if s.now >= again_at else Wait(again_at)


def follow(s: State) -> Action | None:
    """A run in progress tells of itself. Airflow is asked after a restart, where the run may be gone or an event may be wrong, and for a task that waits for a
    person.
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
"""The policies of each stage, in the order in which they are asked."""
