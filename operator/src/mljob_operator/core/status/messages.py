"""The phase, reason and message of an MLJob.

A message says what the MLJob does or waits for. If the MLJob is stuck, the message also says what
to do.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from mljob_contract.mljob import MLJobStatus, Phase

from ..airflow_instance.catalog import AIRFLOW_GONE
from ..mljob import attempts
from ..mljob.airflow_use import is_lost
from ..mljob.classification.cancellation import CancelReason
from ..mljob.classification.spec_change import SpecChange
from ..mljob.classification.starting import backoff_ends_at
from ..mljob.classification.state import Stage
from ..mljob.outstanding import is_retryable
from ..mljob.retry_request import how_to_retry
from ..run import halt
from ..run.run_key import SETTINGS_AIRFLOW
from ..run.vanishing import how_to_accept
from ..text.sentences import sentence
from ..text.storable import cut
from .context import Context
from .lost_outputs import LOST, NOT_READ, lost_outputs
from .summary import StatusSummary
from .workloads import workload

MAX_MESSAGE = 1024
MAX_MESSAGE_BYTES = 2048
"""The limits of a message, in characters (``MAX_MESSAGE``) and in bytes of JSON
(``MAX_MESSAGE_BYTES``). The message is stored several times, because conditions repeat it.
"""


def summarise(context: Context) -> StatusSummary:
    """Return the phase, reason and message of an MLJob. A terminal phase stays until another
    attempt begins.
    """
    state = context.state
    summary = _verdict(context) if state.current.finished else _BY_STAGE[state.stage](context)
    return StatusSummary(summary.phase, summary.reason, cut(summary.message, MAX_MESSAGE, MAX_MESSAGE_BYTES))


def closing(context: Context) -> StatusSummary:
    """Return the phase, reason and message of an attempt that failed or was cancelled, for
    ``status.history``.
    """
    state = context.state
    noun = workload(state.job).noun
    if (reason := state.ending.cancelled_for) is not None:
        return StatusSummary(Phase.CANCELLED, reason, _cancel_message(context, reason))
    if state.observed_run.not_found:
        return StatusSummary(Phase.FAILED, "DagRunDeleted", f"The {noun} was deleted in Airflow.")
    return workload(state.job).failed(state.observed_run)


def _verdict(context: Context) -> StatusSummary:
    status = context.state.job.status
    message = status.message or ""
    if context.state.transient.over_since is not None:
        message = message.removesuffix(NOT_READ)
    elif lost_outputs(context.state) is not None:
        message = message.removesuffix(NOT_READ) + LOST
    return StatusSummary(status.phase or Phase.FAILED, status.reason or str(status.phase), message)


def _blocked(context: Context) -> StatusSummary:
    start = context.state.start
    if start is None or start.blocker is None:
        return _waiting(context)
    return StatusSummary(Phase.PENDING, start.blocker.reason, start.blocker.message)


def _waiting(context: Context) -> StatusSummary:
    state = context.state
    noun = workload(state.job).noun
    if (last_error := state.transient.last_error) is not None:
        return StatusSummary(Phase.PENDING, last_error.reason, last_error.message)
    if (retry := _backoff(context)) is not None:
        return retry
    earlier = state.transient.unknown_until
    if state.start is not None and state.start.superseded and earlier is not None and not state.presence.absent:
        return StatusSummary(
            Phase.PENDING,
            "Submitting",
            f"An earlier submission may still reach Airflow. Waiting until {earlier:%H:%M:%S} UTC before submitting a {noun} of DAG "
            f"{state.run.dag_id}.",
        )
    dag_id = state.start.attempt.dag_id if state.start is not None else state.run.dag_id
    return StatusSummary(Phase.PENDING, "Submitting", f"Submitting a {noun} of DAG {dag_id}.")


def _backoff(context: Context) -> StatusSummary | None:
    state = context.state
    status = state.job.status
    at = backoff_ends_at(state.job) if state.change is not SpecChange.RENEWED else None
    if at is None or state.now >= at or state.current.open:
        return None
    return _retry(context, (status.history or [])[-1].message, status.failed_attempts or 0, at)


def _retry(context: Context, message: str, failures: int, at: datetime) -> StatusSummary:
    job = context.state.job
    left = job.spec.backoff_limit - failures + 1
    what = "one more attempt" if left == 1 else f"up to {left} more attempts"
    text = f"Attempt {job.status.attempts} failed; {what}, the next at {at:%H:%M:%S} UTC. {message}"
    return StatusSummary(Phase.PENDING, "RetryBackoff", text)


def _cancelling(context: Context) -> StatusSummary:
    state = context.state
    reason, last_error = state.cancellation.reason, state.transient.last_error
    if reason is None:
        return _running(context)
    if last_error is not None and not last_error.starting:
        return StatusSummary(Phase.CANCELLING, reason, last_error.message)
    method = _cancellation_method(context)
    return StatusSummary(
        Phase.CANCELLING,
        reason,
        method if reason is CancelReason.DELETED else f"{_cancel_message(context, reason)} {method}",
    )


def _cancellation_method(context: Context) -> str:
    state = context.state
    if not state.current.submitted:
        return f"Checking Airflow for a {workload(state.job).noun} to cancel."
    return workload(state.job).cancelling(state)


def _running(context: Context) -> StatusSummary:
    state = context.state
    status, observed_run = state.job.status, state.observed_run
    noun = workload(state.job).noun
    if is_lost(state):
        return _airflow_lost(context)
    if state.presence.vanished and state.run.airflow in state.catalog.not_ready:
        return StatusSummary(
            _phase_so_far(status),
            "RunsVanished",
            f"Airflow does not have the {noun}, and it does not have those of many other MLJobs either. So the {noun} does not count as deleted, and "
            f"the operator looks for it again each minute. If the runs are lost, a platform administrator makes them count as deleted with {how_to_accept(state.run.airflow)}.",
        )
    if (end := state.confirmation.unconfirmed_end) is not None and not observed_run.over:
        return StatusSummary(
            Phase.SUSPENDED if status.phase is Phase.SUSPENDED else Phase.RUNNING,
            "EndUnconfirmed",
            f"An event says that the {noun} has ended ({end.state}). Waiting for Airflow's REST API to confirm the end.{context.last_error}",
        )
    if observed_run.shown_run is None:
        # After a restart, the stored status stays until Airflow has answered.
        if status.phase in (Phase.QUEUED, Phase.RUNNING, Phase.SUSPENDED):
            return StatusSummary(status.phase, status.reason or "Submitted", status.message or "")
        return StatusSummary(Phase.QUEUED, "Submitted", f"Airflow has accepted the {noun}.")
    return workload(state.job).in_progress(context)


def _airflow_lost(context: Context) -> StatusSummary:
    state = context.state
    airflow, noun = state.run.airflow, workload(state.job).noun
    why = (
        f"AirflowInstance {airflow}, which has the {noun}, was deleted, so the state of the {noun} is unknown. Create the AirflowInstance again to follow the {noun}."
        if airflow != SETTINGS_AIRFLOW
        else f"The {noun} is in the Airflow of the operator's settings, and MLJOB_AIRFLOW_URL is no longer set. Set MLJOB_AIRFLOW_URL again to follow the {noun}."
    )
    return StatusSummary(_phase_so_far(state.job.status), AIRFLOW_GONE, why)


def _phase_so_far(status: MLJobStatus) -> Phase:
    return status.phase if status.phase in (Phase.RUNNING, Phase.SUSPENDED) else Phase.QUEUED


def _collecting(context: Context) -> StatusSummary:
    if is_lost(context.state):
        return _airflow_lost(context)
    return workload(context.state.job).collecting(context)


def _ended(context: Context) -> StatusSummary:
    state = context.state
    if state.ending.succeeded:
        return workload(state.job).succeeded(context)
    if (reason := state.ending.cancelled_for) is not None:
        return _after_cancellation(context, reason)
    failure = closing(context)
    limit, failures = state.job.spec.backoff_limit, (state.job.status.failed_attempts or 0) + 1
    if not state.job.deleting and failures <= limit:
        at = context.ended_at.replace(microsecond=0) + attempts.retry_delay(failures)
        return _retry(context, failure.message, failures, at)
    if limit:
        failure = StatusSummary(
            Phase.FAILED,
            "BackoffLimitExceeded",
            f"{failures} attempts failed (backoffLimit {limit}). The last one: {failure.message}",
        )
    return _with_how_to_retry(context, failure)


def _with_how_to_retry(context: Context, failure: StatusSummary) -> StatusSummary:
    """Append to the message of a failed MLJob how to request a retry. If the message gets too long,
    only the text before the appended text is cut. If the MLJob can't be retried, the message stays
    unchanged.
    """
    job = context.state.job
    if not is_retryable(job):
        return failure
    command = how_to_retry(job)
    text = cut(sentence(failure.message), MAX_MESSAGE - len(command), MAX_MESSAGE_BYTES - len(command))
    return StatusSummary(failure.phase, failure.reason, text + command)


def _stopped(context: Context) -> StatusSummary:
    reason = context.state.cancellation.reason
    return _after_cancellation(context, reason) if reason is not None else _waiting(context)


def _after_cancellation(context: Context, reason: CancelReason) -> StatusSummary:
    state = context.state
    noun = workload(state.job).noun
    match reason:
        case CancelReason.DELETED:
            if not state.current.open:
                text = "The MLJob was deleted; it has no run in progress."
            elif state.observed_run.not_found and state.current.submitted:
                text = f"The {noun} is not in Airflow any more."
            else:
                text = f"The {noun} was cancelled because the MLJob was deleted."
            return StatusSummary(Phase.CANCELLED, "Cancelled", text)
        case CancelReason.CANCEL:
            return StatusSummary(Phase.CANCELLED, reason, _cancel_message(context, reason))
        case CancelReason.DEADLINE | CancelReason.PRE_RUNNING:
            return _with_how_to_retry(context, StatusSummary(Phase.FAILED, reason, _cancel_message(context, reason)))
        case CancelReason.SUSPEND if state.job.spec.suspend:
            return StatusSummary(
                Phase.SUSPENDED, "Suspended", "The MLJob is suspended: set spec.suspend to false to run it."
            )
        case _:
            return StatusSummary(
                Phase.PENDING, "Submitting", f"{_cancel_message(context, reason)} The next attempt is being submitted."
            )


def _cancel_message(context: Context, reason: CancelReason) -> str:
    state = context.state
    spec = state.job.spec
    match reason:
        case CancelReason.DELETED:
            return "The MLJob was deleted."
        case CancelReason.CANCEL:
            return "The MLJob was cancelled: spec.cancel is true."
        case CancelReason.DEADLINE:
            return f"The MLJob was active for longer than activeDeadlineSeconds ({spec.active_deadline_seconds} s)."
        case CancelReason.PRE_RUNNING:
            why, halted = state.transient.kept_by, state.transient.halt
            if why is None and halted is not None:
                why = halt.message_of(halted, state.run.dag_id, workload(state.job).noun)
            if why is None and not state.current.open and state.job.status.phase is Phase.PENDING:
                # The stored status says what has blocked the start.
                why = state.job.status.message
            seconds = spec.pre_running_deadline_seconds
            return f"No task had started after preRunningDeadlineSeconds ({seconds} s). {why or ''}".rstrip()
        case CancelReason.SUSPEND:
            return "The MLJob was suspended."
        case CancelReason.SPEC_CHANGED:
            return f"The spec changed (runPolicy {spec.run_policy})."


def _retained(context: Context) -> StatusSummary:
    """Return the phase, reason and message of an MLJob that is being deleted with deletionPolicy
    Retain and has no run in progress.
    """
    status = context.state.job.status
    message = f"The MLJob is being deleted, so no {workload(context.state.job).noun} is started."
    return StatusSummary(status.phase or Phase.PENDING, status.reason or "Submitting", message)


_BY_STAGE: dict[Stage, Callable[[Context], StatusSummary]] = {
    Stage.BLOCKED: _blocked,
    Stage.BACKING_OFF: _waiting,
    Stage.STARTING: _waiting,
    Stage.RUNNING: _running,
    Stage.CANCELLING: _cancelling,
    Stage.COLLECTING: _collecting,
    Stage.ENDED: _ended,
    Stage.STOPPED: _stopped,
    Stage.RETAINED: _retained,
    Stage.FINISHED: _verdict,
}
