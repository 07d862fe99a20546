"""Attempts: an MLJob has one at a time, each a dag run, or a dag run again.

What an attempt is, and that it is over, is in the status, because a process may die between any two steps: its number, DAG, run id and spec
are stored before the run is submitted, and its entry in ``status.history`` says that it is closed. A new one is begun by a retry, by a
resumption, by a change of the spec, or by somebody who cleared the run in Airflow.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from mljob_contract.mljob import MAX_HISTORY, AttemptStatus, MLJobStatus, Phase, RunPolicy
from mljob_contract.run_id import RunId

from ..run.run_key import SETTINGS_AIRFLOW
from ..run.states import TERMINAL_PHASES
from ..text.storable import cut
from .identity import dag_run_id, pin, spec_hash
from .job import Job

FIRST_BACKOFF = timedelta(seconds=10)
LONGEST_BACKOFF = timedelta(minutes=6)
"""As a batch/v1 Job's (kubernetes.io: "Pod backoff failure policy")."""
MAX_MESSAGE = 300
MAX_MESSAGE_BYTES = 600
"""Of an attempt's message in the history, in characters and in bytes of JSON."""

_OF_ONE_RUN = (
    "dag_run_state",
    "start_time",
    "progress",
    "percent",
    "current_task",
    "task_counts",
    "tasks",
    "tasks_omitted",
    "backfill",
)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt.

    Attributes:
        number: Counted from 1 over the MLJob's life.
        dag_id: The DAG.
        run_id: The dag run's id; the one of the attempt before where that run's failed tasks are cleared.
        spec_hash: What of the spec it runs.
        airflow: The Airflow that its run is in, by the name of its AirflowInstance; ``SETTINGS_AIRFLOW``: that of the operator's settings.
        submitter: The operator process that submits its run; None: not chosen yet, or not known.
    """

    number: int
    dag_id: str
    run_id: str
    spec_hash: str
    airflow: str = SETTINGS_AIRFLOW
    submitter: str | None = None


def current(status: MLJobStatus) -> Attempt | None:
    """The attempt that the status speaks of; None before the first."""
    if not status.attempts or status.dag_run_id is None or status.dag_id is None:
        return None
    return Attempt(
        status.attempts,
        status.dag_id,
        status.dag_run_id,
        status.spec_hash or "",
        status.airflow_instance or SETTINGS_AIRFLOW,
        status.submitted_by,
    )


def closed(status: MLJobStatus) -> bool:
    """Whether the attempt is over and another one may follow."""
    return bool(status.history) and (status.history or [])[-1].attempt == status.attempts


def next_run(
    job: Job, prefix: str, number: int, *, airflow: str, unused: str | None = None, newest: int = 0
) -> Attempt:
    """An attempt with a run of its own in that Airflow; ``unused`` is a run id that was announced and is known not to be in Airflow.

    The run's number is one more than those that this MLJob has used up. A run that succeeded is not used up: an MLJob whose runs belong to
    its spec (OncePerSpec) takes it over when the spec is that again. Before its first attempt, ``newest`` is the number of the run that it
    takes over because another MLJob of its name left it there.
    """
    once_per_spec = job.spec.run_policy is RunPolicy.ONCE_PER_SPEC
    ran = [(entry.dag_run_id, entry.phase) for entry in job.status.history or ()]
    if job.status.dag_run_id is not None and not closed(job.status):
        ran.append((job.status.dag_run_id, job.status.phase or Phase.PENDING))
    first = dag_run_id(prefix, job.namespace, job.name, pin(job))
    used = [
        run.attempt
        for text, phase in ran
        if text != unused
        and (run := RunId.parse(text)) is not None
        and run.digest == first.digest
        and not (once_per_spec and phase is Phase.SUCCEEDED)
    ]
    run_id = dag_run_id(prefix, job.namespace, job.name, pin(job), max(used) + 1 if used else newest or 1)
    return Attempt(number, job.spec.dag_id, str(run_id), spec_hash(job.spec), airflow)


def same_run(attempt: Attempt, number: int) -> Attempt:
    """An attempt that goes on with the run of an earlier one."""
    return replace(attempt, number=number)


def goes_on(status: MLJobStatus) -> bool:
    """Whether the attempt goes on with the run of the one before."""
    before = [entry for entry in status.history or () if entry.attempt != status.attempts]
    return bool(before) and before[-1].dag_run_id == status.dag_run_id


def run_facts_since(status: MLJobStatus) -> datetime | None:
    """From when on what is said of the run is about this attempt; None: whatever is said is.

    A run that was cleared ends twice, and the first end may be told late, or again after a restart. Until it is known when the run was queued
    again, it was after the second in which it had ended.
    """
    if not goes_on(status) or closed(status):
        return None
    if status.submit_time is not None:
        return status.submit_time
    before = [entry for entry in status.history or () if entry.attempt != status.attempts]
    return before[-1].completion_time + timedelta(seconds=1)


def ended_at(status: MLJobStatus) -> datetime | None:
    """When the attempt ended that the status speaks of; None while it goes on."""
    if status.phase in TERMINAL_PHASES:
        return status.completion_time
    return (status.history or [])[-1].completion_time if closed(status) else None


def close(
    status: MLJobStatus, phase: Phase, reason: str, message: str, at: datetime, *, failed: bool = False
) -> MLJobStatus:
    """The attempt goes into the history."""
    number = status.attempts or 1
    entry = AttemptStatus(
        attempt=number,
        dag_run_id=status.dag_run_id or "",
        phase=phase,
        reason=reason,
        message=cut(message, MAX_MESSAGE, MAX_MESSAGE_BYTES),
        progress=status.progress,
        start_time=status.start_time,
        completion_time=at.replace(microsecond=0),
        airflow_instance=status.airflow_instance,
    )
    kept = [earlier for earlier in status.history or () if earlier.attempt != number]
    failures = (status.failed_attempts or 0) + 1 if failed else status.failed_attempts
    return status.model_copy(update={"history": [*kept, entry][-MAX_HISTORY:], "failed_attempts": failures})


def begin(status: MLJobStatus, attempt: Attempt, now: datetime) -> MLJobStatus:
    """The status of an attempt that is about to be submitted."""
    finished = status.phase in TERMINAL_PHASES
    if not finished and not closed(status) and status.attempts is not None and attempt.number > status.attempts:
        why = "The spec changed before the run was submitted."
        status = close(status, Phase.CANCELLED, "SpecChanged", why, now)
    if finished and not closed(status):
        # What failed for good was counted when it did.
        status = close(
            status,
            status.phase or Phase.FAILED,
            status.reason or str(status.phase),
            status.message or "",
            status.completion_time or now,
        )
    update: dict[str, object] = {
        "attempts": attempt.number,
        "dag_id": attempt.dag_id,
        "airflow_instance": attempt.airflow or None,
        "dag_run_id": attempt.run_id,
        "spec_hash": attempt.spec_hash,
        "submitted_by": attempt.submitter,
        "dag_run_url": None,
        "submit_time": None,
        "completion_time": None,
        "outputs": None,
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
    """How long to wait after the ``failures``-th failed attempt: 10 s, 20 s, 40 s, ... at most 6 minutes."""
    doublings = min(max(failures, 1) - 1, 10)
    return min(FIRST_BACKOFF * (1 << doublings), LONGEST_BACKOFF)
