"""What to do next for one MLJob: a chain of policies, each of which answers with an action or passes.

The reconciler carries an action out, adds what it learned to the situation and asks again, until the answer is to wait. Nothing here is
remembered between processes but the MLJob itself: ``Effort`` is what this process has tried, and an operator that starts
with an empty one does the right thing, because every action is safe to repeat (the run ids are computed, a second submission
is answered with 409, failing a task that has failed is no change).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from mljob_contract.mljob import DeletionPolicy

from .attempts import Attempt, same_run
from .ledger import ABSENCE_TAKES, unasked
from .situation import LIST_AGAIN_AFTER, Situation

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
class SeeToChildren:
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
    | SeeToChildren
    | NoteRetention
    | Release
    | Expire
    | Wait
)
Policy = Callable[[Situation], Action | None]


def decide(situation: Situation) -> Action:
    """The next action: the first policy's that has one; a wait ends when a deadline does.

    A run that Airflow said it has not is not asked for again before the answer can prove something.
    """
    action = next((action for policy in POLICIES if (action := policy(situation)) is not None), Wait())
    again_at = situation.look_again_at
    if isinstance(action, LookUpRun | ListTasks) and again_at is not None and situation.now < again_at:
        action = Wait(again_at)
    if isinstance(action, Wait):
        due = [at for at in (action.until, *situation.deadlines) if at is not None]
        return Wait(min(due, default=None))
    return action


def see_to_children(s: Situation) -> Action | None:
    """Once a run has been cancelled, no task of it starts another one any more."""
    if not s.has_children_to_see_to:
        return None
    if s.retry_at is not None and s.now < s.retry_at:
        return Wait(_soonest(s.retry_at, s.deletion_deadline))
    return SeeToChildren()


def let_deletion_through(s: Situation) -> Action | None:
    """Deletion completes when there is nothing to cancel, when the user said so, or when time is up."""
    if s.deletion_deadline is None:
        return None
    if not s.job.held:
        return Wait()
    if not s.open:
        return Release()
    if s.job.spec.deletion_policy is DeletionPolicy.RETAIN:
        has_run = s.needs_airflow and not s.over and not s.ledger.over and not s.job.is_backfill
        return NoteRetention() if has_run and s.reachable and not s.effort.retention_noted else Release()
    if s.over or s.ledger.over:
        return Release()
    if s.late and s.asked_in_vain:
        return Release(abandoned=True)
    return None


def take_over(s: Situation) -> Action | None:
    """An attempt that another process has announced and not submitted is taken over before anything else is done for it: at once after a start,
    later where that process may be at work.

    Where the API server refuses the status of an MLJob that is being deleted, its run is cancelled all the same.
    """
    if s.job.deleting and s.effort.refused:
        return None
    if not s.open or s.submitted or s.effort.attempt is not None:
        return None
    if s.effort.left_until is not None and s.now < s.effort.left_until:
        return Wait(s.effort.left_until)
    return TakeOver()


def store_what_is_next(s: Situation) -> Action | None:
    """Nothing is done for an attempt, and no run is cancelled, before the status says so. Who isn't stopped is not held up.

    That an MLJob was deleted is in the object itself: where the API server refuses the status, the run is cancelled all the same.
    """
    if s.job.deleting and s.effort.refused:
        return None
    if not s.recorded or (s.open and not s.over and s.stop not in (None, s.announced_stop)):
        return Store()
    return None


def cancel_what_arrived_late(s: Situation) -> Action | None:
    """The status says already how the attempt has ended, so nothing else ends the run; the next one waits for that."""
    if not s.arrived_late:
        return None
    again_at = (
        s.effort.cancelled_directly_at + CANCEL_AGAIN_AFTER if s.effort.cancelled_directly_at is not None else s.now
    )
    at = max(again_at, s.retry_at or again_at)
    return CancelDirectly() if s.now >= at else Wait(at)


def follow_what_was_cleared(s: Situation) -> Action | None:
    """A run that somebody cleared in Airflow after its end is a new attempt, which we follow."""
    if s.open or not s.cleared_in_airflow or s.attempt is None or s.stop is not None:
        return None
    if not s.job.held:
        return AddFinalizer()
    return BeginAttempt(same_run(s.attempt, s.attempt.number + 1))


def confirm_the_end(s: Situation) -> Action | None:
    """An event may be wrong: only Airflow's REST API ends a run. It is asked at once, and again while it may not have stored the end yet."""
    return LookUpRun() if s.confirm_at is not None and s.now >= s.confirm_at else None


def cancel_the_run(s: Situation) -> Action | None:
    """The cancellation DAG first; REST where it can't, or doesn't in time, or where there is none: who waits for a deletion that long waits no longer."""
    if s.stop is None or not s.open or s.over or s.ledger.over:
        return None
    effort, now = s.effort, s.now
    if (retry_at := s.retry_at) is not None and now < retry_at:
        return Wait(_soonest(retry_at, s.deletion_deadline))
    if s.ledger.run is None or s.vanished:
        # After a restart, or stopped before the submission was answered: is there a run at all?
        return LookUpRun()
    by_dag = s.cancelled_by_dag and effort.cancel_dag_refused is None and not s.late
    if by_dag and effort.cancel_dag_at is None:
        return TriggerCancellation()
    directly_at = _cancel_directly_at(s)
    if now >= directly_at:
        asked = effort.cancel_dag_checked_at is not None or effort.cancelled_directly_at is not None
        return CancelDirectly() if asked or not by_dag else CheckCancellation()
    look_up_at = (effort.looked_up_at or effort.cancel_dag_at or now) + LOOK_UP_EVERY
    if now >= look_up_at:
        return LookUpRun()
    return Wait(_soonest(directly_at, look_up_at, s.deletion_deadline))


def _clear_up(s: Situation) -> Action:
    """What was announced may have been submitted by a process that did not live to say so. Whatever keeps it from being submitted again, whether there is
    a run has to be known: it may be going on, and who deletes the AirflowInstance waits for it.
    """
    unknown = s.effort.unknown_until
    if not s.in_doubt or unknown is None or not s.reachable:
        return Wait()
    return LookUpRun() if s.now >= unknown else Wait(unknown)


def _soonest(*times: datetime | None) -> datetime | None:
    return min((at for at in times if at is not None), default=None)


def _cancel_directly_at(s: Situation) -> datetime:
    """When REST does it: at once where no DAG will, else when the DAG has had its time; a run that began has more of it."""
    effort = s.effort
    if effort.cancelled_directly_at is not None:
        return effort.cancelled_directly_at + CANCEL_AGAIN_AFTER
    if effort.cancel_dag_at is None or effort.cancel_dag_refused is not None or s.late:
        return s.now
    return effort.cancel_dag_at + (CANCEL_DAG_TAKES if effort.cancel_dag_running else s.cancel_fallback)


def pause_or_resume(s: Situation) -> Action | None:
    """A backfill is suspended by pausing it. The status says so before Airflow hears of it, and until Airflow has let the backfill go on: after a
    restart too, nothing else tells a backfill that the MLJob has paused from one that a person has.
    """
    if s.pause is None or s.over or s.ledger.over or s.vanished or s.paused_as_wanted:
        return None
    if s.ledger.course is not None and not s.pause_announced:
        return Store()
    if s.retry_at is not None and s.now < s.retry_at:
        return Wait(s.retry_at)
    return Pause(s.pause) if s.ledger.course is not None else LookUpRun()


def take_stock(s: Situation) -> Action | None:
    """When the run has ended, its tasks are listed once in full; a finished MLJob then owes and is owed nothing.

    A run that was cleared after a cancellation is under way again and none of ours: it is not waited for. Nor is the old run of an MLJob that is about to
    run another spec.
    """
    listing = not s.run_again and (
        s.ledger.over or (s.finished and s.attempt is not None and s.submitted and s.ledger.run is None)
    )
    if listing and s.job.held and not s.ledger.listed and not s.ledger.gone:
        if s.retry_at is not None and s.now < s.retry_at:
            return Wait(_soonest(s.retry_at, s.verdict_at))
        if s.effort.over_since is not None and s.effort.looked_up_at is not None:
            again_at = s.effort.looked_up_at + LIST_AGAIN_AFTER
            return ListTasks() if s.now >= again_at else Wait(again_at)
        return ListTasks()
    if s.over:
        return Store()
    if s.finished and not s.run_again:
        return Release() if s.job.held else None
    return None


def expire(s: Situation) -> Action | None:
    """A finished MLJob goes when its time is up, unless it has got another spec to run."""
    if s.expires_at is not None and s.now >= s.expires_at and not s.job.held and not s.run_again:
        return Expire()
    return None


def start_the_run(s: Situation) -> Action | None:
    """The finalizer before the run, so that no run is left behind; the computed id, so that no run is started twice."""
    if s.job.deleting or (s.finished and not s.run_again) or (s.open and s.submitted):
        return None
    if s.stop is not None:
        return Release() if s.job.held else Wait()
    if s.start_at is not None and not s.due:
        return Wait(s.start_at)
    if s.obstacle is not None:
        return _clear_up(s)
    if not s.job.held:
        return AddFinalizer()
    if not s.open:
        return _count_runs(s) if s.may_have_run else BeginAttempt(s.next_attempt())
    if s.announced_in_vain:
        # What was announced may have been submitted by a process that did not live to say so.
        unused = s.absent or s.unsent or s.effort.cleared_nothing
        return BeginAttempt(s.next_attempt()) if unused else LookUpRun()
    if s.job.is_backfill and s.effort.unknown_until is not None and not s.absent:
        # Airflow gives backfills their ids, so the same one twice would be two: an earlier creation is waited for.
        return LookUpRun()
    if s.by_clearing:
        return ClearFailed() if s.ledger.missed_at is None else LookUpRun()
    if s.in_doubt and s.effort.unknown_until is not None and s.now >= s.effort.unknown_until:
        # Whether it has taken a place in its Airflow has to be known, whatever may keep it from being submitted again.
        return LookUpRun()
    history = s.job.status.history
    return Submit(conf_of=history[-1].dag_run_id if s.spec_refused and history else None)


def _count_runs(s: Situation) -> Action:
    """That there is no other run has to be said twice: an older one would be taken over, with its end."""
    again_at = s.effort.counted_at + ABSENCE_TAKES if s.effort.counted_at is not None else s.now
    return CountRuns() if s.now >= again_at else Wait(again_at)


def follow(s: Situation) -> Action | None:
    """A run in progress tells of itself. Airflow is asked after a restart, where it is doubted that the run is still there or that an event was
    true, and for a task that waits for a person.
    """
    if s.retry_at is not None and s.now < s.retry_at:
        return Wait(s.retry_at)
    doubted = s.doubt_at is not None and s.now >= s.doubt_at
    missed = s.submitted and s.look_again_at is not None
    if s.open and (s.effort.doubt or doubted or missed or s.may_have_started):
        return ListTasks()
    if s.open and s.submitted and s.stop is None and unasked(s.ledger):
        return ReadQuestions()
    return None


POLICIES: tuple[Policy, ...] = (
    see_to_children,
    let_deletion_through,
    take_over,
    store_what_is_next,
    cancel_what_arrived_late,
    follow_what_was_cleared,
    confirm_the_end,
    cancel_the_run,
    pause_or_resume,
    take_stock,
    expire,
    start_the_run,
    follow,
)
