"""The attempts of an MLJob. An MLJob has one attempt at a time. An attempt starts a new dag run,
takes over an earlier run (runPolicy OncePerSpec), or continues the previous attempt's run after
tasks of this run were cleared.

The operator stores an attempt in the status before the run of the attempt is submitted, so that the
next process finds the attempt after a crash. ``status.history`` has the last ``MAX_HISTORY`` (10)
ended attempts. The attempt with which the MLJob ended is not in the history, because the other
fields of the status show this attempt.

After the first attempt, a new attempt begins in these cases:

- The operator retries the MLJob after a failure, or because a user has requested a retry.
- A suspended MLJob is resumed. A paused backfill continues in the same attempt instead.
- The spec changes, and runPolicy allows a run of the changed spec.
- Somebody has cleared the run in Airflow.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from operator import attrgetter

from mljob_contract.mljob import MAX_HISTORY, AttemptStatus, MLJobStatus, Phase, RunPolicy, UpstreamRun
from mljob_contract.run_id import RunId

from ..frozen import frozen
from ..run.run_key import SETTINGS_AIRFLOW
from ..run.states import TERMINAL_PHASES, RunState
from ..text.storable import cut
from .identity import dag_run_id, digest_of, pin
from .outstanding import wants_retry
from .resource.job import Job
from .retry_request import without_how_to_retry
from .run_count import RunCount

FIRST_BACKOFF = timedelta(seconds=10)
LONGEST_BACKOFF = timedelta(minutes=6)
"""The shortest delay (``FIRST_BACKOFF``) and the longest delay (``LONGEST_BACKOFF``) before a
retry, as for a batch/v1 Job (kubernetes.io: "Pod backoff failure policy").
"""
MAX_MESSAGE = 300
MAX_MESSAGE_BYTES = 600
"""The limits of an attempt's message in the history, in characters (``MAX_MESSAGE``) and in bytes
of JSON (``MAX_MESSAGE_BYTES``).
"""

_fields_of_attempt = attrgetter(
    "attempts", "dag_id", "dag_run_id", "spec_hash", "airflow_instance", "submitted_by", "upstreams"
)
"""Returns the fields of a status from which :func:`current` makes the attempt."""

_OF_ONE_RUN = (
    "dag_run_state",
    "start_time",
    "progress",
    "percent",
    "task_counts",
    "tasks",
    "tasks_omitted",
    "backfill",
)


@frozen
class Attempt:
    """One attempt to run the DAG of an MLJob.

    Attributes:
        number: The number of the attempt, counted from 1 over the whole life of the MLJob.
        dag_id: The id of the DAG.
        run_id: The id of the dag run. Airflow chooses the run ids of a backfill. So for a backfill,
            this is the run id that the MLJob would have as a single run
            (:mod:`mljob_contract.backfill_marker`). An attempt that continues the run of the
            previous attempt has the same run id.
        spec_hash: The hash of the spec that the attempt runs.
        airflow: The name of the AirflowInstance for the run, or ``SETTINGS_AIRFLOW`` for the
            Airflow of the operator's settings.
        submitter: The name of the only operator process that may submit the run, or None if the
            status names no such process.
        upstreams: The runs of other MLJobs whose outputs are in the conf of the run.
    """

    number: int
    dag_id: str
    run_id: str
    spec_hash: str
    airflow: str = SETTINGS_AIRFLOW
    submitter: str | None = None
    upstreams: tuple[UpstreamRun, ...] = ()


def current(status: MLJobStatus) -> Attempt | None:
    """Return the attempt that the status describes, or None before the first attempt."""
    if not status.attempts or status.dag_run_id is None or status.dag_id is None:
        return None
    return Attempt(
        status.attempts,
        status.dag_id,
        status.dag_run_id,
        status.spec_hash or "",
        status.airflow_instance or SETTINGS_AIRFLOW,
        status.submitted_by,
        tuple(status.upstreams or ()),
    )


def are_same(one: MLJobStatus, other: MLJobStatus) -> bool:
    """Return whether two statuses describe the same attempt."""
    # Equal fields are the usual case, and then no attempt has to be made.
    return _fields_of_attempt(one) == _fields_of_attempt(other) or current(one) == current(other)


def closed(status: MLJobStatus) -> bool:
    """Return whether the attempt that the status describes has ended, but the MLJob has not."""
    return bool(status.history) and (status.history or [])[-1].attempt == status.attempts


def had_run(attempt: AttemptStatus) -> bool:
    """Return whether Airflow had a run of an ended attempt."""
    # Earlier versions of the operator did not store the submit time.
    return attempt.submit_time is not None or attempt.start_time is not None


def newest_run(status: MLJobStatus, spec_hash: str) -> str | None:
    """Return the id of the newest run in the history that ran the spec with this hash, or None if
    the history has no such run. An entry without a hash counts as one with this hash, because
    earlier versions of the operator did not store the hash.
    """
    for entry in reversed(status.history or ()):
        if had_run(entry) and entry.spec_hash in (None, spec_hash):
            return entry.dag_run_id
    return None


def runs_of_spec(job: Job, digest: str, *, unused: str | None = None) -> dict[int, Phase]:
    """Return the runs in the status that have a digest in their id: the number of each run, and the
    phase in which its attempt ended or is. With runPolicy OncePerSpec, these are the runs of a
    spec. ``unused`` is a run id that is not in the result, or None.
    """
    ran = [(entry.dag_run_id, entry.phase) for entry in job.status.history or ()]
    if job.status.dag_run_id is not None and not closed(job.status):
        ran.append((job.status.dag_run_id, job.status.phase or Phase.PENDING))
    return {
        run.number: phase
        for text, phase in ran
        if text != unused and (run := RunId.parse(text)) is not None and run.digest == digest
    }


def next_run(
    job: Job, prefix: str, number: int, *, airflow: str, unused: str | None = None, count: RunCount | None = None
) -> Attempt:
    """Return an attempt that starts a new run. With runPolicy OncePerSpec, the attempt may take
    over an earlier run instead.

    Run ids end in a number. The number of a new run is one higher than the highest number of this
    MLJob's earlier runs. With runPolicy OncePerSpec, only the earlier runs of the current spec
    count. The attempt takes over the newest of these runs in one of these cases:

    - The run succeeded, and no retry is requested.
    - The status does not name the run, the run is in progress, and no retry is requested.
    - The status does not name the run, and the attempt is the first attempt of the MLJob.

    Args:
        job: The MLJob.
        prefix: The prefix of dag run ids.
        number: The number of the attempt.
        airflow: The name of the Airflow for the run.
        unused: A run id that is in the status, although Airflow has no such run. The new run may
            get this run id. None if there is no such run id.
        count: The runs of the current spec that Airflow has (runPolicy OncePerSpec). Has an effect
            only if the count is complete, and the status names no run of this spec.
    """
    may_take_over = job.spec.run_policy is RunPolicy.ONCE_PER_SPEC and not wants_retry(job)
    last, takes_over = 0, False
    if known := runs_of_spec(job, digest_of(pin(job)), unused=unused):
        last = max(known)
        takes_over = may_take_over and known[last] is Phase.SUCCEEDED
    elif count is not None and count.complete and count.runs:
        last = count.runs
        takes_over = number == 1 or (may_take_over and count.newest_state is not RunState.FAILED)
    run_id = dag_run_id(prefix, job.namespace, job.name, pin(job), last if takes_over else last + 1)
    return Attempt(number, job.spec.dag_id, str(run_id), job.parsed.hash, airflow)


def same_run(attempt: Attempt, number: int) -> Attempt:
    """Return an attempt with the number ``number`` and the same run as ``attempt``."""
    return replace(attempt, number=number)


def goes_on(status: MLJobStatus) -> bool:
    """Return whether the attempt that the status describes continues the run of the previous
    attempt.
    """
    before = [entry for entry in status.history or () if entry.attempt != status.attempts]
    return bool(before) and before[-1].dag_run_id == status.dag_run_id


def run_facts_since(status: MLJobStatus) -> datetime | None:
    """Return the time before which the states of the run belong to the previous attempt. Return
    None if the current attempt does not continue the run of the previous attempt (:func:`goes_on`),
    or if the current attempt has ended but the MLJob has not (:func:`closed`).

    A run that was cleared ends a second time, and an event of the first end may arrive late. The
    result is the time at which Airflow queued the run again. As long as this time is not in the
    status, the result is one second after the end of the previous attempt.
    """
    if not goes_on(status) or closed(status):
        return None
    if status.submit_time is not None:
        return status.submit_time
    before = [entry for entry in status.history or () if entry.attempt != status.attempts]
    return before[-1].completion_time + timedelta(seconds=1)


def ended_at(status: MLJobStatus) -> datetime | None:
    """Return when the attempt that the status describes ended, or None if the attempt has not
    ended.
    """
    if status.phase in TERMINAL_PHASES:
        return status.completion_time
    return (status.history or [])[-1].completion_time if closed(status) else None


def last_end(status: MLJobStatus) -> tuple[Phase, str] | None:
    """Return the phase and the reason with which the attempt that the status describes ended.
    Return None if the attempt has not ended.
    """
    if status.phase in TERMINAL_PHASES:
        return status.phase, status.reason or str(status.phase)
    ended = (status.history or [])[-1] if closed(status) else None
    return (ended.phase, ended.reason) if ended is not None else None


def close(
    status: MLJobStatus, phase: Phase, reason: str, message: str, at: datetime, *, failed: bool = False
) -> MLJobStatus:
    """Return the status with one more entry at the end of the history: the attempt that the status
    describes. An entry with the same attempt number is removed first. Only the last ``MAX_HISTORY``
    (10) entries are kept.

    Args:
        status: The status that describes the attempt.
        phase: The phase with which the attempt ended.
        reason: The reason of the end.
        message: The message about the end. A long message is cut.
        at: When the attempt ended.
        failed: Whether to increase ``failed_attempts`` by one.
    """
    number = status.attempts or 1
    entry = AttemptStatus(
        attempt=number,
        dag_run_id=status.dag_run_id or "",
        phase=phase,
        reason=reason,
        message=cut(message, MAX_MESSAGE, MAX_MESSAGE_BYTES),
        progress=status.progress,
        spec_hash=status.spec_hash,
        submit_time=status.submit_time,
        start_time=status.start_time,
        completion_time=at.replace(microsecond=0),
        airflow_instance=status.airflow_instance,
    )
    kept = [earlier for earlier in status.history or () if earlier.attempt != number]
    failures = (status.failed_attempts or 0) + 1 if failed else status.failed_attempts
    return status.model_copy(update={"history": [*kept, entry][-MAX_HISTORY:], "failed_attempts": failures})


def begin(status: MLJobStatus, attempt: Attempt, now: datetime) -> MLJobStatus:
    """Return the status to store before the run of ``attempt`` is submitted. If ``status``
    describes an earlier attempt, the earlier attempt is added to the history, unless the history
    already has the earlier attempt.
    """
    finished = status.phase in TERMINAL_PHASES
    if not finished and not closed(status) and status.attempts is not None and attempt.number > status.attempts:
        why = "The spec changed before the run was submitted."
        status = close(status, Phase.CANCELLED, "SpecChanged", why, now)
    if finished and not closed(status) and status.attempts is not None:
        # failedAttempts already counts the failure that ended the MLJob.
        status = close(
            status,
            status.phase or Phase.FAILED,
            status.reason or str(status.phase),
            without_how_to_retry(status.message or ""),
            status.completion_time or now,
        )
    update: dict[str, object] = {
        "attempts": attempt.number,
        "dag_id": attempt.dag_id,
        "airflow_instance": attempt.airflow or None,
        "dag_run_id": attempt.run_id,
        "spec_hash": attempt.spec_hash,
        "submitted_by": attempt.submitter,
        "upstreams": list(attempt.upstreams) or None,
        "dag_run_url": None,
        "submit_time": None,
        "completion_time": None,
        "current_task": None,
        "outputs": None,
        "outputs_omitted": None,
    }
    if attempt.run_id != status.dag_run_id:
        update |= dict.fromkeys(_OF_ONE_RUN)
    if status.spec_hash not in (None, attempt.spec_hash):
        update["failed_attempts"] = None
        update["active_since"] = now.replace(microsecond=0)
    if finished or status.phase is Phase.SUSPENDED:
        update["active_since"] = now.replace(microsecond=0)
    return status.model_copy(update=update)


def retry_delay(failures: int) -> timedelta:
    """Return how long to wait after the ``failures``-th failed attempt: 10 s, 20 s, 40 s, and so
    on, at most 6 minutes.
    """
    doublings = min(max(failures, 1) - 1, 10)
    return min(FIRST_BACKOFF * (1 << doublings), LONGEST_BACKOFF)
