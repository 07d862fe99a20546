"""Everything that a decision and a status depend on, and the questions that both ask of it.

:mod:`.decisions` says what to do in a situation, :mod:`.report` what the status says of it. What they must agree on is here: whether there is an
attempt, whether it is to be stopped and why, whether it is over and what follows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from mljob_contract.backfill_marker import Marker
from mljob_contract.mljob import CancellationStrategy, DeletionPolicy, MLJobStatus, Phase, RetryStrategy, RunPolicy

from . import attempts
from .admission import Reservation
from .attempts import Attempt
from .effort import Effort
from .facts import RunFact, queued_again
from .identity import spec_hash
from .instance import OWN
from .job import Job
from .ledger import ABSENCE_TAKES, CONFIRMED_WITHIN, Ledger
from .phases import ACTIVE_TASK, TERMINAL_PHASES, RunState, TaskState
from .placement import NOWHERE, Obstacle, Surroundings, misfit, obstacle
from .run_key import RunKey

LIST_AGAIN_AFTER = timedelta(seconds=1)
"""How long Airflow may take to store what it has published of a run's end, before it is asked again."""

OUTPUTS_WITHIN = timedelta(seconds=30)
"""How long the verdict on a run that has ended waits for the run's tasks and outputs: who waits for the verdict reads the outputs next."""

VANISHED_LOOK_UP_EVERY = timedelta(seconds=60)
"""How often a run is asked for again that is missing, while that does not count."""

_STARTED = ACTIVE_TASK | {TaskState.UP_FOR_RETRY, TaskState.SUCCESS, TaskState.FAILED, TaskState.SKIPPED}


class Stop(StrEnum):
    """Why a run is cancelled; the reason in the status, which is stored before the cancellation begins. The first that applies counts."""

    DELETED = "Cancelling"
    CANCEL = "CancelRequested"
    DEADLINE = "DeadlineExceeded"
    PRE_RUNNING = "PreRunningDeadlineExceeded"
    SUSPEND = "Suspending"
    SPEC_CHANGED = "SpecChanged"


RESUMING = "Resuming"
"""The reason of a backfill that is to go on, until Airflow has taken that."""


@dataclass(frozen=True, slots=True)
class Situation:
    """All that a decision depends on.

    Attributes:
        prefix: Of dag run ids.
        cancel_fallback: How long the cancellation DAG has before the operator cancels through REST itself.
        around: The Airflows, and what they say of this MLJob.
        absence_withheld: Whether it does not count that Airflow has no such run: too many runs are missing there, or may be.
    """

    job: Job
    ledger: Ledger
    effort: Effort
    now: datetime
    prefix: str = "mljob"
    cancel_fallback: timedelta = timedelta(seconds=20)
    around: Surroundings = field(default_factory=Surroundings)
    absence_withheld: bool = False

    # The attempt

    @property
    def attempt(self) -> Attempt | None:
        """The newest attempt, stored or about to be."""
        return self.effort.attempt or attempts.current(self.job.status)

    @property
    def recorded(self) -> bool:
        """Whether the status speaks of the newest attempt: it must before anything is done for it."""
        return self.attempt == attempts.current(self.job.status)

    @property
    def status(self) -> MLJobStatus:
        """The status as it speaks of the newest attempt: the stored one, or the one to be stored next."""
        if self.recorded or self.attempt is None:
            return self.job.status
        return attempts.begin(self.job.status, self.attempt, self.now)

    @property
    def finished(self) -> bool:
        """Whether the status says how the MLJob ended."""
        return self.job.status.phase in TERMINAL_PHASES and self.recorded

    @property
    def open(self) -> bool:
        """Whether there is an attempt that is not known to be over: its run is in Airflow, or about to be, or may be."""
        if self.attempt is None or self.finished:
            return False
        return not (self.recorded and attempts.closed(self.job.status))

    @property
    def submitted(self) -> bool:
        """Whether the attempt has a run, as far as is known."""
        return self.ledger.run is not None or (self.recorded and self.job.status.submit_time is not None)

    @property
    def run_id(self) -> str:
        """The newest attempt's run id; before the first, the one that it will have."""
        return self.attempt.run_id if self.attempt else self._next_run(None, 1).run_id

    @property
    def dag_id(self) -> str:
        """The DAG of the run; before there is one, the DAG that the spec names."""
        return self.attempt.dag_id if self.attempt else self.job.spec.dag_id

    @property
    def airflow(self) -> str:
        """The Airflow that the run is in; before there is one, the Airflow that it would go to."""
        return self.attempt.airflow if self.attempt else self.target

    @property
    def run_key(self) -> RunKey:
        """The run: what is said of it counts, and of no other."""
        return RunKey(self.airflow, self.dag_id, self.run_id)

    @property
    def target(self) -> str:
        """The Airflow that the spec names, or else the default."""
        reference = self.job.spec.airflow_ref
        return reference.name if reference is not None else self.around.default

    @property
    def followed(self) -> bool:
        """Whether the MLJob has a run in Airflow that is not known to be over."""
        return self.open and self.submitted and not self.ledger.over

    @property
    def vanished(self) -> bool:
        """Whether the run is missing, and that does not count."""
        return self.followed and self.ledger.missed_at is not None and self.absence_withheld

    @property
    def by_clearing(self) -> bool:
        """Whether the attempt is the failed tasks of the last one's run, cleared."""
        return self.recorded and attempts.goes_on(self.job.status)

    @property
    def spec_differs(self) -> bool:
        """Whether the spec says to run something else than the attempt does; one that can't be read says nothing."""
        attempt = self.attempt
        if self.job.problem is not None:
            return False
        return attempt is not None and attempt.spec_hash not in ("", spec_hash(self.job.spec))

    @property
    def spec_refused(self) -> bool:
        """Whether a change of the spec has come too late: with runPolicy Once, later attempts too run what the first one did."""
        begun = self.submitted or bool(self.job.status.history)
        return self.spec_differs and begun and self.job.spec.run_policy is RunPolicy.ONCE

    @property
    def spec_renewed(self) -> bool:
        """Whether there is another spec to run."""
        return self.spec_differs and not self.spec_refused

    @property
    def run_again(self) -> bool:
        """Whether a finished MLJob has got another spec to run."""
        return self.finished and not self.job.deleting and not self.job.spec.cancel and self.spec_renewed

    @property
    def kept_from_running_again(self) -> Obstacle | None:
        """What keeps a finished MLJob from running the other spec that it has got; None: nothing, or it has got none."""
        return self.obstacle if self.run_again and self.due else None

    @property
    def cleared_in_airflow(self) -> bool:
        """Whether somebody cleared the run after its end: it was queued again."""
        run, ended, queued = self.ledger.run, attempts.ended_at(self.job.status), self.job.status.submit_time
        if not self.recorded or self.job.spec.cancel or run is None or run.created is None or ended is None:
            return False
        return queued_again(run.created, queued, ended) and not self._given_up

    @property
    def arrived_late(self) -> bool:
        """Whether a run goes on that was submitted before its attempt was given up, and was not there when it was looked for."""
        return self._given_up and self.ledger.run is not None and not self.ledger.over

    @property
    def _given_up(self) -> bool:
        """Whether the newest attempt is over without a run of its own, as far as was known then."""
        status = self.job.status
        over = self.attempt is not None and self.recorded and not self.open
        return over and status.submit_time is None and not attempts.goes_on(status)

    def next_attempt(self) -> Attempt:
        """The attempt that comes next: the same run where its failed tasks are to be cleared, else a run of its own."""
        status, last = self.job.status, self.attempt
        if last is None:
            return self._next_run(None, 1)
        if self.open:
            # Announced and not submitted: the spec has changed, or the run to go on with has nothing to clear.
            unused = None if self.by_clearing else last.run_id
            attempt = self._next_run(last, last.number, unused)
            before = (status.history or [])[-1:]
            taken_over = [entry.dag_run_id for entry in before] == [attempt.run_id]
            # The spec is again what has succeeded. With the number of what was announced, it would look like the same run cleared.
            return replace(attempt, number=last.number + 1) if taken_over else attempt
        ended = status.history[-1] if status.history and attempts.closed(status) else None
        clear = (
            self.job.spec.retry_strategy is RetryStrategy.CLEAR_FAILED
            and ended is not None
            and ended.phase is Phase.FAILED
            and ended.reason != "DagRunDeleted"
            and not self.spec_renewed
        )
        if clear:
            return attempts.same_run(last, last.number + 1)
        return self._next_run(last, last.number + 1)

    def _next_run(self, last: Attempt | None, number: int, unused: str | None = None) -> Attempt:
        newest = self.effort.newest or 0
        attempt = attempts.next_run(
            self.job, self.prefix, number, airflow=self.target, unused=unused, newest=newest if last is None else 0
        )
        if last is None or not self.spec_refused:
            return attempt
        return replace(attempt, dag_id=last.dag_id, spec_hash=last.spec_hash, airflow=last.airflow)

    # Starting

    @property
    def startable(self) -> bool:
        """Whether a run is to be started, at once or when something is not in the way any more."""
        if self.job.deleting or self.stop is not None or (self.open and self.submitted):
            return False
        return not self.finished or self.run_again

    @property
    def start_at(self) -> datetime | None:
        """When a run is to be started: after what failed last, and after the pause before a retry; None: at once."""
        trouble, times = self.effort.trouble, [] if self.open else [self.next_attempt_at]
        if trouble is not None and trouble.generation == self.job.generation:
            times.append(trouble.retry_at)
        return max((at for at in times if at is not None), default=None)

    @property
    def due(self) -> bool:
        """Whether that time has come."""
        return self.start_at is None or self.now >= self.start_at

    @property
    def may_have_run(self) -> bool:
        """Whether another MLJob of this name may have run this spec, and nobody has looked yet."""
        once_per_spec = self.job.spec.run_policy is RunPolicy.ONCE_PER_SPEC
        return once_per_spec and not self.job.is_backfill and self.attempt is None and self.effort.newest is None

    @property
    def announced_in_vain(self) -> bool:
        """Whether the open attempt is not what is to be run any more, and has no run yet."""
        moved = self.open and not self.by_clearing and self.airflow != self.target and self.target != NOWHERE
        nothing_to_clear = self.effort.cleared_nothing or (self.by_clearing and self.absent)
        return self.spec_renewed or nothing_to_clear or (moved and not self.spec_refused)

    @property
    def obstacle(self) -> Obstacle | None:
        """What keeps the next run from being started, other than that it was tried and failed."""
        if not self.startable:
            return None
        if self.job.problem is not None:
            return misfit(self.job.problem)
        announced = self.attempt if self.open and not self.announced_in_vain else None
        attempt = announced or self.next_attempt()
        return obstacle(self.around, attempt.airflow, attempt.dag_id)

    @property
    def in_doubt(self) -> bool:
        """Whether a submission may have taken effect, or may still."""
        return self.open and self.effort.unknown_until is not None and not self.submitted and not self.absent

    @property
    def unsent(self) -> bool:
        """Whether the attempt was begun by this process, which knows that none of its submissions has reached Airflow."""
        return self.effort.attempt is not None and self.effort.unknown_until is None and not self.submitted

    @property
    def lost(self) -> bool:
        """Whether the Airflow that the run is in is not known any more."""
        return self.open and self.submitted and not self._known

    @property
    def reachable(self) -> bool:
        """Whether the Airflow that the run is in can be asked, as far as is known."""
        return self._known and self.airflow not in self.around.not_ready

    @property
    def _known(self) -> bool:
        return self.around.own if self.airflow == OWN else self.airflow in self.around.instances

    @property
    def needs_airflow(self) -> bool:
        """Whether the attempt has something in Airflow that is still to be looked after, or may have."""
        there = self.submitted or not (self.absent or self.unsent)
        return self.attempt is not None and self.job.held and (self.finished or (self.open and there))

    @property
    def reservation(self) -> Reservation | None:
        """What the MLJob has in an Airflow, or wants of it."""
        if self.open and not self.over and not self.ledger.over and (self.submitted or self.in_doubt):
            return self.active_reservation
        if not self.startable or not self.due:
            return None
        obstacle = self.obstacle
        if obstacle is not None and obstacle.reason != "ConcurrencyLimit":
            return None
        announced = self.attempt if self.open and not self.announced_in_vain else None
        attempt = announced or self.next_attempt()
        return self.around.reservation(attempt.airflow, attempt.dag_id, active=False)

    @property
    def active_reservation(self) -> Reservation:
        """What the MLJob has from the moment in which its run is submitted."""
        return self.around.reservation(self.airflow, self.dag_id, active=True)

    # Stopping

    @property
    def announced_stop(self) -> Stop | None:
        """Why the run is being cancelled, as the status says: it stays so whatever becomes of the reason, because a run half cancelled is lost."""
        status = self.job.status
        if self.recorded and status.phase is Phase.CANCELLING and status.reason in set(Stop):
            return Stop(status.reason)
        return None

    @property
    def stop(self) -> Stop | None:
        """Why nothing may run, if so."""
        spec, announced = self.job.spec, self.announced_stop
        if self.job.deleting:
            return Stop.DELETED if spec.deletion_policy is DeletionPolicy.CANCEL else None
        if self.finished:
            return None
        if spec.cancel:
            return Stop.CANCEL
        if announced not in (None, Stop.SUSPEND, Stop.SPEC_CHANGED):
            return announced
        if (deadline := self.active_deadline) is not None and self.now >= deadline:
            return Stop.DEADLINE
        if (deadline := self.pre_running_deadline) is not None and self.now >= deadline and not self.may_have_started:
            return Stop.PRE_RUNNING
        if announced is not None and not (announced is Stop.SUSPEND and self.pausable):
            return announced
        if spec.suspend and not self.pausable:
            return Stop.SUSPEND
        if self.open and self.submitted and self.spec_renewed:
            return Stop.SPEC_CHANGED
        return None

    @property
    def pausable(self) -> bool:
        """Whether suspending stops nothing that runs: a backfill is paused, and goes on where it was."""
        return self.job.is_backfill and self.open and self.submitted

    @property
    def pause(self) -> bool | None:
        """Whether the backfill is to be paused, or to go on; None: neither. One that was paused in Airflow stays so until it is suspended and
        resumed here.
        """
        if not self.pausable or self.stop is not None:
            return None
        if self.job.spec.suspend:
            return True
        return False if self.pause_announced else None

    @property
    def pause_announced(self) -> bool:
        """Whether the status says that the backfill is paused, or may be because the MLJob has asked for that."""
        told = (condition.reason for condition in self.job.status.conditions or () if condition.type == "Suspended")
        return self.job.status.phase is Phase.SUSPENDED or next(told, None) in (Stop.SUSPEND, RESUMING)

    @property
    def paused_as_wanted(self) -> bool:
        """Whether Airflow has taken what :attr:`pause` wants. That the backfill goes on is only known from Airflow's answer to that very wish: what was
        known before may be older than the pause, or another process's.
        """
        course = self.ledger.course
        if self.pause:
            return course is not None and course.backfill.paused
        return self.effort.resumed == self.job.generation

    @property
    def marker(self) -> Marker:
        """How the attempt's backfill says whose it is."""
        attempt = self.attempt
        return Marker(self.run_id, attempt.number if attempt is not None else 1)

    @property
    def cancelled_by_dag(self) -> bool:
        """Whether the cancellation DAG ends the run. It ends one run; those of a backfill are ended through REST."""
        return self.job.spec.cancellation.strategy is CancellationStrategy.DAG and not self.job.is_backfill

    @property
    def active_deadline(self) -> datetime | None:
        """When the MLJob has been active for long enough."""
        seconds, since = self.job.spec.active_deadline_seconds, self.status.active_since
        if seconds is None or since is None or self.finished:
            return None
        return since + timedelta(seconds=seconds)

    @property
    def pre_running_deadline(self) -> datetime | None:
        """When the attempt's first task must have started; None once it has."""
        seconds, since = self.job.spec.pre_running_deadline_seconds, self.status.active_since
        if seconds is None or since is None or self.finished or (self.open and self._started):
            return None
        if history := self.job.status.history:
            backoff = history[-1].phase is Phase.FAILED
            waited = attempts.retry_delay(self.job.status.failed_attempts or 0) if backoff else timedelta(0)
            since = max(since, history[-1].completion_time + waited)
        return since + timedelta(seconds=seconds)

    @property
    def _started(self) -> bool:
        """Whether a task has started, as REST says."""
        run, tasks = self.ledger.run, self.ledger.tasks.values()
        begun = self.job.is_backfill and run is not None and run.state is not RunState.QUEUED
        return begun or any(fact.shown_state in _STARTED and not fact.unconfirmed for fact in tasks) or self.ledger.over

    @property
    def may_have_started(self) -> bool:
        """Whether an event says that a task has started, and Airflow is to be asked for that: its time to start is over."""
        deadline, looked_at = self.pre_running_deadline, self.effort.looked_up_at
        if deadline is None or self.now < deadline or (looked_at is not None and looked_at >= deadline):
            return False
        return self.open and self.submitted and self.ledger.unconfirmed_since is not None

    @property
    def retry_at(self) -> datetime | None:
        """When what failed last for this spec is tried again; deletion is a new generation, so it doesn't wait for older troubles."""
        trouble = self.effort.trouble
        if trouble is None or trouble.generation != self.job.generation or (trouble.starting and self.stop is not None):
            return None
        return trouble.retry_at

    @property
    def next_attempt_at(self) -> datetime | None:
        """When a failed attempt may be followed by another one."""
        status = self.job.status
        if not attempts.closed(status) or status.phase in TERMINAL_PHASES or self.spec_renewed:
            return None
        ended = (status.history or [])[-1]
        if ended.phase is not Phase.FAILED:
            return None
        return ended.completion_time + attempts.retry_delay(status.failed_attempts or 0)

    @property
    def deletion_deadline(self) -> datetime | None:
        """When a deletion stops waiting for Airflow."""
        if self.job.deleted_at is None:
            return None
        return self.job.deleted_at + timedelta(seconds=self.job.spec.cancellation.timeout_seconds)

    @property
    def late(self) -> bool:
        """Whether a deletion has waited for Airflow as long as it may."""
        return self.deletion_deadline is not None and self.now >= self.deletion_deadline

    @property
    def asked_in_vain(self) -> bool:
        """Whether this process has asked Airflow to end the run: the request failed, there is no such run, or the run was looked at afterwards."""
        effort = self.effort
        directly_at, looked_at = effort.cancelled_directly_at, effort.looked_up_at
        if directly_at is not None and looked_at is not None and looked_at >= directly_at:
            return True
        return self.ledger.gone or (effort.trouble is not None and not effort.trouble.starting)

    @property
    def expires_at(self) -> datetime | None:
        """When a finished MLJob is deleted."""
        return self.job.expires_at if self.finished else None

    @property
    def deadlines(self) -> Iterator[datetime]:
        """When this situation will change by itself."""
        if not self.job.deleting:
            for deadline in (self.active_deadline, self.pre_running_deadline, self.expires_at, self.doubt_at):
                if deadline is not None and deadline > self.now:
                    yield deadline
        for at in (self.deletion_deadline, self.confirm_at):
            if at is not None and at > self.now:
                yield at

    # What is asked because an event is a hint, and because one answer may be wrong

    @property
    def confirm_at(self) -> datetime | None:
        """When Airflow is to be asked whether the run has ended, as an event says; None: no event does, or Airflow has told."""
        heard, looked_at = self.ledger.heard_end, self.effort.looked_up_at
        if heard is None or not self.open or not self.submitted or self.ledger.missed_at is not None:
            return None
        at = heard.seen if looked_at is None or looked_at < heard.seen else looked_at + LIST_AGAIN_AFTER
        return max(at, self.retry_at or at)

    @property
    def end_unasked(self) -> RunFact | None:
        """The end of the run of which an event tells, while Airflow could not be asked for it."""
        heard, looked_at = self.ledger.heard_end, self.effort.looked_up_at
        return heard if heard is not None and (looked_at is None or looked_at < heard.seen) else None

    @property
    def doubt_at(self) -> datetime | None:
        """When what only events say is not taken for true any more, and Airflow is to be asked."""
        since = self.ledger.unconfirmed_since
        if since is None or not self.open or not self.submitted or self.ledger.over:
            return None
        return since + CONFIRMED_WITHIN

    @property
    def look_again_at(self) -> datetime | None:
        """When Airflow may be asked again for a run that it said it has not; None: it did not say so, or it is known to have none."""
        missed_at, unknown_until = self.ledger.missed_at, self.effort.unknown_until
        if missed_at is None or self.absent:
            return None
        if unknown_until is not None and missed_at < unknown_until:
            return unknown_until
        if self.vanished and self.ledger.gone:
            return (self.effort.looked_up_at or missed_at) + VANISHED_LOOK_UP_EVERY
        return missed_at + ABSENCE_TAKES

    # The end

    @property
    def absent(self) -> bool:
        """Whether it is proved that Airflow has no such run, and none that is still on its way.

        Airflow has said so twice, both times when a submission would have arrived; or once, and this process knows that it sent none. Where many runs are
        missing at once, nothing is proved.
        """
        missed_at, unknown_until = self.ledger.missed_at, self.effort.unknown_until
        if missed_at is None:
            return False
        if self.vanished:
            return False
        if self.unsent and not self.by_clearing:
            return True
        return self.ledger.gone and (unknown_until is None or missed_at >= unknown_until)

    @property
    def over(self) -> bool:
        """Whether the open attempt has come to its end: its run ended or is gone, or it turned out never to have been."""
        if not self.open or not self.recorded:
            return False
        if self.ledger.over:
            return self.told and not self.has_children_to_see_to
        return self.absent and (self.submitted or self.stop is not None)

    @property
    def has_children_to_see_to(self) -> bool:
        """Whether the run was cancelled, and runs that its tasks had started are to be looked for. A time bounds that, and a deletion's deadline. Nothing that may
        change back does: the status says how the attempt ended as soon as this is false.
        """
        run = self.ledger.run
        cancelled = self.stop is not None and self.open and run is not None and run.state is RunState.FAILED
        if not cancelled or run is None or self.job.is_backfill or self.effort.children_seen_to:
            return False
        patience = timedelta(seconds=self.job.spec.cancellation.timeout_seconds)
        return not self.late and self.now < (run.end or run.at) + patience

    @property
    def told(self) -> bool:
        """Whether the ended run's tasks and outputs have been read, or need not be waited for any more."""
        at = self.verdict_at
        reading = self.job.held and not self.ledger.listed and not self.ledger.gone
        nothing_to_read = not reading or self.job.deleting or self.ledger.course is not None
        return nothing_to_read or self.effort.over_since is not None or (at is not None and self.now >= at)

    @property
    def verdict_at(self) -> datetime | None:
        """When a run that has ended, as REST says, is judged without its tasks and outputs: Airflow can't be asked for them."""
        run = self.ledger.run
        if run is None or not self.ledger.over or not self.open or self.effort.over_since is not None:
            return None
        return run.seen + OUTPUTS_WITHIN

    @property
    def succeeded(self) -> bool:
        """Whether the run reached success; then it doesn't matter who wanted to stop it."""
        return self.ledger.run is not None and self.ledger.run.state is RunState.SUCCESS

    @property
    def retries_left(self) -> bool:
        """Whether another attempt follows one that fails."""
        return not self.job.deleting and (self.job.status.failed_attempts or 0) < self.job.spec.backoff_limit

    @property
    def ending(self) -> Stop | None:
        """What an attempt that is over was stopped for; None where it ended by itself, a moment before that would have been said."""
        return self.stop if not self.submitted or self.announced_stop is not None else None
