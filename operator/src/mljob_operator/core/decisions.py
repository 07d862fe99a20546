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

from mljob_contract.mljob import CancellationStrategy, DeletionPolicy

from .job import Job
from .ledger import Ledger
from .phases import TERMINAL_PHASES

LOOK_UP_EVERY = timedelta(seconds=5)
"""How often a run under cancellation is asked for by itself, beside events and the change feed, which don't tell of a deleted run."""
LIST_AGAIN_AFTER = timedelta(seconds=1)
"""How long Airflow may take to store what it has published of a run's end, before the tasks are listed again."""
CANCEL_DAG_TAKES = timedelta(seconds=60)
"""How long the cancellation DAG may take once it runs: it fails tasks in the DAG's order and gives teardown tasks time to run."""
CANCEL_AGAIN_AFTER = timedelta(seconds=10)
"""How long a direct cancellation may take to show before it is tried again."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """What keeps an MLJob from going on.

    Attributes:
        reason: One CamelCase word.
        message: What is wrong and what to do about it.
        generation: The spec's generation that it happened to; another one deserves another try.
        retry_at: When to try again; None: waiting can't help, only a change of the spec can.
        failures: How many times in a row.
    """

    reason: str
    message: str
    generation: int
    retry_at: datetime | None
    failures: int = 1


@dataclass(frozen=True, slots=True)
class Effort:
    """What this process has tried for an MLJob.

    Attributes:
        unknown_until: A submission went out without an answer and may still take effect until then.
        submitted_generation: The spec's generation that it went out with.
        searched_at: When all DAGs were searched for the run.
        cancel_dag_at: When the cancellation DAG was triggered.
        cancel_dag_checked_at: When it was asked whether that DAG's run has begun.
        cancel_dag_running: Whether it had.
        cancel_dag_refused: Why that DAG can't do it, for example that it is paused.
        cancelled_directly_at: When the run was cancelled through REST.
        looked_up_at: When the run was last asked for.
        over_since: When the run was first known to have ended.
        doubt: The run was missed, or not all of its tasks are known: ask for both.
        paused: Whether the run's DAG is paused.
        dag_id: The DAG that the run was submitted to, or found in, before the status says so.
    """

    trouble: Trouble | None = None
    unknown_until: datetime | None = None
    submitted_generation: int | None = None
    searched_at: datetime | None = None
    cancel_dag_at: datetime | None = None
    cancel_dag_checked_at: datetime | None = None
    cancel_dag_running: bool = False
    cancel_dag_refused: str | None = None
    cancelled_directly_at: datetime | None = None
    looked_up_at: datetime | None = None
    over_since: datetime | None = None
    doubt: bool = False
    paused: bool = False
    dag_id: str | None = None


@dataclass(frozen=True, slots=True)
class Situation:
    """All that a decision depends on."""

    job: Job
    ledger: Ledger
    effort: Effort
    now: datetime
    cancel_fallback: timedelta = timedelta(seconds=20)
    """How long the cancellation DAG has before the operator cancels through REST itself."""

    @property
    def dag_id(self) -> str:
        """The DAG of the run; before there is one, the DAG that the spec names."""
        return self.job.status.dag_id or self.effort.dag_id or self.job.spec.dag_id

    @property
    def submitted(self) -> bool:
        """Whether there is a run, as far as is known."""
        return self.job.status.submit_time is not None or self.ledger.run is not None

    @property
    def finished(self) -> bool:
        """Whether the status already says how it ended."""
        return self.job.status.phase in TERMINAL_PHASES

    @property
    def outcome_unknown(self) -> bool:
        """Whether a submission may still take effect."""
        return self.effort.unknown_until is not None and self.now < self.effort.unknown_until

    @property
    def searched(self) -> bool:
        """Whether a search for the run has said all that it can."""
        searched, unknown = self.effort.searched_at, self.effort.unknown_until
        return searched is not None and (unknown is None or searched >= unknown)

    @property
    def retry_at(self) -> datetime | None:
        """When what failed last for this spec is tried again; deletion is a new generation, so it doesn't wait for older troubles."""
        trouble = self.effort.trouble
        return trouble.retry_at if trouble and trouble.generation == self.job.generation else None

    @property
    def deadline(self) -> datetime | None:
        """When a deletion stops waiting for Airflow."""
        if self.job.deleted_at is None:
            return None
        return self.job.deleted_at + timedelta(seconds=self.job.spec.cancellation.timeout_seconds)


@dataclass(frozen=True, slots=True)
class AddFinalizer:
    """Make sure that the MLJob can't go while it has a run."""


@dataclass(frozen=True, slots=True)
class Submit:
    """Trigger the DAG run."""


@dataclass(frozen=True, slots=True)
class SearchRun:
    """Look for the MLJob's run in all DAGs: the spec may have named another one when it was submitted."""


@dataclass(frozen=True, slots=True)
class LookUpRun:
    """Ask for the run's state."""


@dataclass(frozen=True, slots=True)
class ListTasks:
    """Ask for the run and all its task instances."""


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
class Release:
    """Write the status, then take our finalizer away.

    Attributes:
        abandoned: The run may still be active: Airflow could not be made to end it in time.
    """

    abandoned: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do until something happens, or until a time."""

    until: datetime | None = None


Action = (
    AddFinalizer
    | Submit
    | SearchRun
    | LookUpRun
    | ListTasks
    | TriggerCancellation
    | CheckCancellation
    | CancelDirectly
    | Release
    | Wait
)
Policy = Callable[[Situation], Action | None]


def decide(situation: Situation) -> Action:
    """The next action: the first policy's that has one."""
    for policy in POLICIES:
        if (action := policy(situation)) is not None:
            return action
    return Wait()


def nothing_owed(s: Situation) -> Action | None:
    """An object that we do not hold, and whose story is over or being deleted, is left alone."""
    if not s.job.held and (s.job.deleting or s.finished):
        return Wait()
    return None


def let_deletion_through(s: Situation) -> Action | None:
    """Deletion completes when there is nothing to cancel, when the user said so, or when time is up."""
    if s.deadline is None:
        return None
    if s.finished or s.ledger.over or s.job.spec.deletion_policy is DeletionPolicy.RETAIN:
        return Release()
    if s.ledger.gone and not s.outcome_unknown and (s.searched or s.submitted):
        return Release()
    if s.now >= s.deadline:
        return Release(abandoned=True)
    return None


def cancel_the_run(s: Situation) -> Action | None:
    """The cancellation DAG first; REST where it can't, or doesn't in time."""
    if s.deadline is None:
        return None
    effort, now = s.effort, s.now
    if (retry_at := s.retry_at) is not None and now < retry_at:
        return Wait(min(retry_at, s.deadline))
    if s.ledger.run is None:
        # After a restart, or deleted before the submission was answered: is there a run at all?
        if s.outcome_unknown and effort.searched_at is not None:
            return Wait(min(effort.unknown_until or s.deadline, s.deadline))
        return SearchRun()
    by_dag = s.job.spec.cancellation.strategy is CancellationStrategy.DAG and effort.cancel_dag_refused is None
    if by_dag and effort.cancel_dag_at is None:
        return TriggerCancellation()
    directly_at = _cancel_directly_at(s)
    if now >= directly_at:
        asked = effort.cancel_dag_checked_at is not None or effort.cancelled_directly_at is not None
        return CancelDirectly() if asked or not by_dag else CheckCancellation()
    look_up_at = (effort.looked_up_at or effort.cancel_dag_at or now) + LOOK_UP_EVERY
    if now >= look_up_at:
        return LookUpRun()
    return Wait(min(directly_at, look_up_at, s.deadline))


def _cancel_directly_at(s: Situation) -> datetime:
    """When REST does it: at once where no DAG will, else when the DAG has had its time; a run that began has more of it."""
    effort = s.effort
    if effort.cancelled_directly_at is not None:
        return effort.cancelled_directly_at + CANCEL_AGAIN_AFTER
    if effort.cancel_dag_at is None or effort.cancel_dag_refused is not None:
        return s.now
    return effort.cancel_dag_at + (CANCEL_DAG_TAKES if effort.cancel_dag_running else s.cancel_fallback)


def finish(s: Situation) -> Action | None:
    """When the run has ended, its tasks are listed once in full; then the MLJob owes and is owed nothing."""
    if not (s.finished or s.ledger.over or (s.ledger.gone and s.submitted)):
        return None
    if s.ledger.gone or s.ledger.listed or not s.submitted:
        return Release() if s.job.held else Wait()
    if s.retry_at is not None and s.now < s.retry_at:
        return Wait(s.retry_at)
    if s.effort.over_since is not None and s.effort.looked_up_at is not None:
        again_at = s.effort.looked_up_at + LIST_AGAIN_AFTER
        return ListTasks() if s.now >= again_at else Wait(again_at)
    return ListTasks()


def start_the_run(s: Situation) -> Action | None:
    """The finalizer before the run, so that no run is left behind; the computed id, so that no run is started twice."""
    if s.submitted:
        return None
    trouble = s.effort.trouble
    if (
        trouble is not None
        and trouble.generation == s.job.generation
        and not (trouble.retry_at and s.now >= trouble.retry_at)
    ):
        return Wait(trouble.retry_at)
    if not s.job.held:
        return AddFinalizer()
    edited = s.job.generation > 1
    if edited and s.outcome_unknown and s.effort.submitted_generation != s.job.generation:
        return Wait(s.effort.unknown_until)
    if edited and not s.searched:
        return SearchRun()
    return Submit()


def follow(s: Situation) -> Action | None:
    """A run in progress tells of itself; only a doubt whether it is still there, or a restart, makes us ask."""
    if s.retry_at is not None and s.now < s.retry_at:
        return Wait(s.retry_at)
    if s.effort.doubt:
        return ListTasks()
    return None


POLICIES: tuple[Policy, ...] = (
    nothing_owed,
    let_deletion_through,
    cancel_the_run,
    finish,
    start_the_run,
    follow,
)
