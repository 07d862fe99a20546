"""Decides what to do next for one MLJob. A policy is a function that returns an action, or None to
leave the decision to the next policy. The first policy that returns an action decides.

Each MLJob is in one stage, such as Starting, Running or Finished. Guards are policies that apply in
every stage and come first. Then come the policies of the MLJob's stage. After each action, the
operator determines the state again and asks for the next action, until the action is to wait, to
remove the finalizer or to delete the MLJob.

Every action must be safe to repeat, because a new process does not know which requests the previous
process has sent. If the operator submits a single run twice, both submissions have the same dag run
id, and Airflow answers the second submission with 409. Before the operator repeats a request to
create a backfill, the operator looks in Airflow for the backfill of the earlier request.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from mljob_contract.mljob import DeletionPolicy

from ..run.observed_run import ABSENCE_CONFIRMED_AFTER, has_unread_question
from .actions import (
    Action,
    AddFinalizer,
    BeginAttempt,
    CancelDirectly,
    CheckCancellation,
    ClearFailed,
    CountRuns,
    Expire,
    HandleChildren,
    ListTasks,
    LookUpRun,
    NoteRetention,
    Pause,
    ReadQuestions,
    ReadUpstreams,
    Release,
    Store,
    Submit,
    TakeOver,
    TriggerCancellation,
    Wait,
)
from .afterwards import arrived_late, was_cleared
from .airflow_use import is_reachable, needs_airflow
from .attempts import newest_run, same_run
from .capabilities import capabilities
from .classification.confirmation import LIST_AGAIN_AFTER
from .classification.spec_change import SpecChange
from .classification.starting import Start
from .classification.state import Stage, State
from .upstream import READ_AGAIN_AFTER

LOOK_UP_EVERY = timedelta(seconds=5)
"""The time between two look-ups of a run that is being cancelled. Events and the change feed don't
report that a run was deleted.
"""
CANCEL_DAG_TAKES = timedelta(seconds=60)
"""The longest time that a run of the cancellation DAG may take after the operator has seen that
this run has started. The cancellation DAG sets tasks to failed in the order of the cancelled run's
DAG, and gives teardown tasks time to run.
"""
CANCEL_AGAIN_AFTER = timedelta(seconds=10)
"""The time after which a cancellation through Airflow's REST API is repeated if the run has not
ended.
"""
Policy = Callable[[State], Action | None]


def decide(state: State) -> Action:
    """Return the next action: the action of the first policy that returns an action, or ``Wait``.

    Two rules can change this action:

    - A wait ends no later than the next time at which the state changes without an event.
    - If Airflow has answered that the run does not exist, the operator waits until
      ``presence.ask_again_at`` before it asks again. Before this time, a second answer would not
      prove that the run does not exist.
    """
    policies = (*GUARDS, *POLICIES[state.stage])
    action = next((action for policy in policies if (action := policy(state)) is not None), Wait())
    again_at = state.presence.ask_again_at
    if isinstance(action, LookUpRun | ListTasks) and again_at is not None and state.now < again_at:
        action = Wait(again_at)
    return Wait(_soonest(action.until, *_changes_at(state))) if isinstance(action, Wait) else action


def _changes_at(state: State) -> list[datetime]:
    """Return the future times at which the state changes without an event."""
    deadlines, confirmation = state.deadlines, state.confirmation
    times = [deadlines.deletion, confirmation.end_at, _read_upstreams_at(state)]
    if not state.job.deleting:
        times += [deadlines.active, deadlines.pre_running, deadlines.expiry, confirmation.verify_at]
    return [at for at in times if at is not None and at > state.now]


def _soonest(*times: datetime | None) -> datetime | None:
    return min((at for at in times if at is not None), default=None)


def _in_the_future(state: State, at: datetime | None) -> bool:
    return at is not None and state.now < at


# Guards


def handle_children(s: State) -> Action | None:
    """Decide to find the active runs that tasks of the cancelled run have started, and to report or
    cancel these runs. The search begins after the end of the cancelled run, because an ended run
    starts no further runs.
    """
    if not s.ending.children_due:
        return None
    if _in_the_future(s, s.retry_at):
        return Wait(_soonest(s.retry_at, s.deadlines.deletion))
    return HandleChildren()


def let_deletion_through(s: State) -> Action | None:
    """Decide to remove the finalizer of an MLJob that is being deleted, in one of these cases:

    - There is no run to cancel.
    - ``spec.deletionPolicy`` is Retain. If a run is in progress and Airflow can be reached, the
      operator first adds a note to the run. Backfills get no note.
    - The deadline of the deletion has passed, and the operator has tried to cancel the run without
      success.
    """
    if not s.job.deleting:
        return None
    if not s.job.has_finalizer:
        return Wait()
    ended = not s.current.open or s.ending.over or s.observed_run.over
    if s.job.spec.deletion_policy is DeletionPolicy.RETAIN:
        takes_note = not ended and needs_airflow(s) and capabilities(s.job).has_note and is_reachable(s)
        return NoteRetention() if takes_note and not s.transient.retention_noted else Release()
    if ended:
        return Release()
    return Release(abandoned=True) if s.deadlines.overdue and s.cancellation.asked_in_vain else None


def take_over(s: State) -> Action | None:
    """Decide to take over an attempt that another operator process has stored in the status, if
    this process does not know whether the run was submitted. While the other process may still
    submit the run, decide to wait.
    """
    if _skips_the_status(s) or not s.current.open or s.current.submitted or s.transient.attempt is not None:
        return None
    if _in_the_future(s, s.transient.left_until):
        return Wait(s.transient.left_until)
    return TakeOver()


def store_first(s: State) -> Action | None:
    """Decide to store the status before the next request to Airflow, in each of these cases:

    - The stored status does not describe the newest attempt yet.
    - The newest attempt carries out a retry that a user has requested, and the stored status does
      not show this request yet.
    - The run has to be cancelled, and the stored status does not show the reason yet.
    """
    if _skips_the_status(s):
        return None
    cancellation = s.cancellation
    unannounced = cancellation.reason not in (None, cancellation.announced)
    if not s.current.recorded or s.handles_retry or (s.current.open and not s.ending.over and unannounced):
        return Store()
    return None


def _skips_the_status(s: State) -> bool:
    """Return whether the MLJob is being deleted and the Kubernetes API server has refused the last
    status as invalid. The operator cancels the run of such an MLJob, and does not store the reason
    first.
    """
    return s.job.deleting and s.transient.refused


# Policies of stages


def cancel_late_run(s: State) -> Action | None:
    """Decide to cancel a run that appeared in Airflow after its attempt had ended without a run."""
    if not arrived_late(s):
        return None
    cancelled_at = s.transient.cancel_requests.sent_at
    at = cancelled_at + CANCEL_AGAIN_AFTER if cancelled_at is not None else s.now
    at = max(at, s.retry_at or at)
    return CancelDirectly() if s.now >= at else Wait(at)


def follow_cleared_run(s: State) -> Action | None:
    """Decide to begin a new attempt with the same run if somebody has cleared the ended run in
    Airflow. If the MLJob has no finalizer, decide to add the finalizer first.
    """
    attempt = s.current.attempt
    if s.current.open or attempt is None or s.cancellation.reason is not None or not was_cleared(s):
        return None
    return BeginAttempt(same_run(attempt, attempt.number + 1)) if s.job.has_finalizer else AddFinalizer()


def confirm_the_end(s: State) -> Action | None:
    """Decide to read the run from Airflow if an event reports that the run has ended, and Airflow's
    REST API has not confirmed this.
    """
    at = s.confirmation.end_at
    return LookUpRun() if at is not None and s.now >= at else None


def cancel_the_run(s: State) -> Action | None:
    """Decide to cancel the run by the cancellation DAG, which ends runs of other DAGs. If the
    operator does not know whether the run exists, decide to look up the run first.

    Decide to cancel the run through the REST API instead if ``spec.cancellation.strategy`` is Api,
    if the MLJob is a backfill, if the cancellation DAG can't be triggered or takes too long, or if
    the deadline of the MLJob's deletion has passed.
    """
    if s.observed_run.over:
        return None
    requests, deletion = s.transient.cancel_requests, s.deadlines.deletion
    if _in_the_future(s, s.retry_at):
        return Wait(_soonest(s.retry_at, deletion))
    if s.observed_run.run is None or s.presence.vanished:
        # After a restart, or if a submission got no answer, the operator doesn't know whether the
        # run exists.
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
    requests = s.transient.cancel_requests
    if requests.sent_at is not None:
        return requests.sent_at + CANCEL_AGAIN_AFTER
    if requests.dag_triggered_at is None or requests.dag_refused is not None or s.deadlines.overdue:
        return s.now
    if requests.dag_running and requests.dag_checked_at is not None:
        return requests.dag_checked_at + CANCEL_DAG_TAKES
    return requests.dag_triggered_at + s.inputs.cancel_fallback


def pause_or_resume(s: State) -> Action | None:
    """Decide to pause or resume a backfill, as ``spec.suspend`` says.

    Before the operator asks Airflow to pause a backfill, the operator stores the pause in the
    status. The status shows the pause until Airflow has resumed the backfill. So the operator can
    tell its own pause from a person's pause, even after a restart.
    """
    if s.backfill_pause is None or s.backfill_pause.done or s.presence.vanished:
        return None
    known = s.observed_run.observed_backfill is not None
    if known and not s.backfill_pause.announced:
        return Store()
    if _in_the_future(s, s.retry_at):
        return Wait(s.retry_at)
    return Pause(s.backfill_pause.pauses) if known else LookUpRun()


def collect_results(s: State) -> Action | None:
    """Decide to read all tasks and the outputs after the run has ended. If Airflow still lists
    unfinished tasks, decide to read again, for about 10 seconds. A finished MLJob that is about to
    run again skips this policy.
    """
    observed_run, transient = s.observed_run, s.transient
    forgotten = s.current.finished and s.current.submitted and observed_run.run is None
    if (s.start is not None and s.start.rerun) or not (observed_run.over or forgotten):
        return None
    if not s.job.has_finalizer or observed_run.listed or observed_run.not_found:
        return None
    if _in_the_future(s, s.retry_at):
        # The final phase waits for the results until ``verdict_at`` at the latest.
        return None if s.stage is Stage.ENDED else Wait(_soonest(s.retry_at, s.ending.verdict_at))
    if transient.over_since is None or transient.looked_up_at is None:
        return ListTasks()
    again_at = transient.looked_up_at + LIST_AGAIN_AFTER
    return ListTasks() if s.now >= again_at else Wait(again_at)


def hold_restored(s: State) -> Action | None:
    """Decide to add the finalizer to a finished MLJob whose status was restored from the annotation
    mljob.dev/finished. The operator can then read the tasks and outputs from Airflow again. This
    policy does not apply to backfills.
    """
    if s.job.recorded is None or s.job.has_finalizer:
        return None
    return AddFinalizer() if s.current.submitted and capabilities(s.job).has_chosen_id else None


def store_the_end(s: State) -> Action | None:
    """Decide to store the end of the attempt in the status. The next attempt begins only after
    this.
    """
    return Store()


def release(s: State) -> Action | None:
    """Decide to remove the finalizer of an MLJob that has no run in progress and starts no run."""
    return Release() if s.job.has_finalizer else None


def expire(s: State) -> Action | None:
    """Decide to delete the finished MLJob when its time to live has ended."""
    expiry = s.deadlines.expiry
    return Expire() if expiry is not None and s.now >= expiry and not s.job.has_finalizer else None


def wait_for_the_backoff(s: State) -> Action | None:
    """After a failed attempt or a failed request, decide to wait until the next run may start."""
    return Wait(s.start.at if s.start is not None else None)


def read_upstreams(s: State) -> Action | None:
    """Decide to read the upstream MLJobs: the MLJobs whose outputs become part of the conf. This
    policy applies only while an upstream MLJob prevents the start of the run, for example because
    the upstream MLJob has not finished. The read is repeated every ``READ_AGAIN_AFTER``.
    """
    at = _read_upstreams_at(s)
    return ReadUpstreams(s.start.needed.names) if s.start is not None and at is not None and s.now >= at else None


def _read_upstreams_at(s: State) -> datetime | None:
    if s.stage is not Stage.BLOCKED or s.start is None or s.start.blocker is not s.start.needed.blocker:
        return None
    known_at = s.inputs.upstreams_known_at
    return s.now if s.start.needed.unread or known_at is None else known_at + READ_AGAIN_AFTER


def clear_up(s: State) -> Action | None:
    """Decide what to do while something, such as a limit on active runs, prevents the start of the
    next run:

    - If the MLJob has finished and is to run again, remove its finalizer.
    - If the MLJob has no attempt yet, and somebody has to make a change before the first run, remove
      the finalizer that the API server has added at the creation.
    - If a submission may have reached Airflow, and Airflow can be reached, look up the run. The
      look-up waits until the submission can no longer arrive.
    - Otherwise, wait.

    Without the removal and the look-up, the MLJob could block the deletion of an AirflowInstance, or
    could not be deleted without an operator.
    """
    if s.current.finished or (s.current.attempt is None and s.start is not None and not _starts_by_itself(s.start)):
        return release(s)
    unknown_until = s.transient.unknown_until
    if not s.presence.in_doubt or unknown_until is None or not is_reachable(s):
        return Wait()
    return LookUpRun() if s.now >= unknown_until else Wait(unknown_until)


def _starts_by_itself(start: Start) -> bool:
    return start.blocker is not None and start.blocker.is_temporary


def start_the_run(s: State) -> Action | None:
    """Decide on the next of these steps to start the run:

    1. Add the finalizer.
    2. With runPolicy OncePerSpec, before the first attempt with a spec: count the runs of this spec
       in Airflow.
    3. Begin an attempt.
    4. Submit the run.

    The finalizer comes first, so that the operator can cancel the run if the MLJob is deleted.
    """
    start = s.start
    if start is None:
        return None
    if not s.job.has_finalizer:
        return AddFinalizer()
    if not s.current.open:
        return _begin(s, start)
    if start.superseded:
        return _replace(s, start)
    return _submit(s)


def _begin(s: State, start: Start) -> Action:
    return _count_runs(s) if start.uncounted else BeginAttempt(start.attempt)


def _replace(s: State, start: Start) -> Action:
    """Decide to replace the attempt in the status by another attempt. An operator may have
    submitted the run of the replaced attempt, and crashed before it recorded the submission. If
    Airflow may have this run, decide to look up the run first.
    """
    unused = s.presence.absent or s.presence.unsent or s.transient.cleared_nothing
    return _begin(s, start) if unused else LookUpRun()


def _submit(s: State) -> Action:
    unknown_until = s.transient.unknown_until
    if not capabilities(s.job).has_chosen_id and unknown_until is not None and not s.presence.absent:
        # Airflow assigns the ids of backfills, so a repeated request would create a second
        # backfill. The operator first finds out whether the earlier request took effect.
        return LookUpRun()
    if s.current.by_clearing:
        return ClearFailed() if s.observed_run.missed_at is None or s.presence.absent else LookUpRun()
    if s.presence.in_doubt and unknown_until is not None and s.now >= unknown_until:
        # The limits on active runs must count this run if it exists, even if it can't be submitted
        # again.
        return LookUpRun()
    if s.change is SpecChange.REFUSED and s.current.attempt is not None:
        return Submit(conf_of=newest_run(s.job.status, s.current.attempt.spec_hash))
    return Submit()


def _count_runs(s: State) -> Action:
    """Decide to count the runs of the spec in Airflow. If Airflow wrongly answers 404 for one of the
    runs, the count is too low. So the operator repeats the count after ``ABSENCE_CONFIRMED_AFTER``,
    until two successive answers name the same newest run.
    """
    count = s.inputs.run_count
    again_at = count.missed_at + ABSENCE_CONFIRMED_AFTER if count is not None and count.missed_at is not None else s.now
    return CountRuns() if s.now >= again_at else Wait(again_at)


def follow(s: State) -> Action | None:
    """Decide whether to ask Airflow about a run in progress. Usually no request is needed, because
    events and the change feed report the changes of the run. The change feed is the list of recent
    changes that the operator reads from Airflow every few seconds.

    Decide to ask Airflow in each of these cases:

    - The change feed may lack changes of the run, for example after a restart of the operator.
    - The Kubernetes API server has refused a status, so the operator has dropped the facts that
      were not stored yet.
    - The run was cleared, and the operator does not know all its tasks.
    - Airflow has answered that the run does not exist.
    - Airflow's REST API has not confirmed an event in time.
    - A task awaits input from a person, and the operator has not read the task's question.

    After a failed request, decide to wait until the request may be repeated.
    """
    if _in_the_future(s, s.retry_at):
        return Wait(s.retry_at)
    if not s.current.open:
        return None
    verify_at, missed = s.confirmation.verify_at, s.current.submitted and s.presence.ask_again_at is not None
    unverified = verify_at is not None and s.now >= verify_at
    if s.transient.needs_look_up or unverified or missed or s.deadlines.start_unconfirmed:
        return ListTasks()
    if s.current.submitted and s.cancellation.reason is None and has_unread_question(s.observed_run):
        return ReadQuestions()
    return None


GUARDS: tuple[Policy, ...] = (handle_children, let_deletion_through, take_over, store_first)

_AFTER_AN_ATTEMPT = (cancel_late_run, follow_cleared_run, collect_results)
POLICIES: dict[Stage, tuple[Policy, ...]] = {
    Stage.BLOCKED: (*_AFTER_AN_ATTEMPT, read_upstreams, clear_up),
    Stage.BACKING_OFF: (*_AFTER_AN_ATTEMPT, wait_for_the_backoff),
    Stage.STARTING: (*_AFTER_AN_ATTEMPT, start_the_run),
    Stage.RUNNING: (confirm_the_end, pause_or_resume, follow),
    Stage.CANCELLING: (confirm_the_end, cancel_the_run, collect_results, follow),
    Stage.COLLECTING: (confirm_the_end, collect_results, follow),
    Stage.ENDED: (confirm_the_end, collect_results, store_the_end),
    Stage.STOPPED: (*_AFTER_AN_ATTEMPT, release),
    Stage.RETAINED: (),
    Stage.FINISHED: (*_AFTER_AN_ATTEMPT, hold_restored, release, expire, follow),
}
"""The policies of each stage. The first policy that returns an action decides."""
