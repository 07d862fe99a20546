"""What this process has tried for an MLJob and what stood in its way: not stored, for the next process looks for itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from ..run.halt import Halt
from .attempts import Attempt


@dataclass(frozen=True, slots=True)
class LastError:
    """What keeps an MLJob from going on.

    Attributes:
        reason: One CamelCase word.
        message: What is wrong and what to do about it.
        generation: The spec's generation that it happened to; another one deserves another try.
        retry_at: When to try again.
        stalls: Waiting alone doesn't help: somebody has to change the spec, or what it is checked against.
        failures: How many times in a row.
        starting: Whether it was in starting the run; a cancellation does not wait for that.
    """

    reason: str
    message: str
    generation: int
    retry_at: datetime
    failures: int = 1
    starting: bool = False
    stalls: bool = False


@dataclass(frozen=True, slots=True)
class TransientState:
    """What this process has tried for an attempt.

    Attributes:
        attempt: The attempt that was begun, before the status says so.
        kept_by: What last kept its run from being started, for people.
        newest: How many runs Airflow has of an MLJob's spec that another MLJob may have run before (OncePerSpec); None: not known yet.
        counted: How many of them Airflow has named so far.
        counted_at: When it first said that it has no more of them.
        unknown_until: A submission went out without an answer and may still take effect until then.
        left_until: Until when the attempt is left to the process that announced it while this one was at work.
        cleared_nothing: The run to be retried has no failed task that could be cleared.
        cancel_dag_at: When the cancellation DAG was triggered.
        cancel_dag_checked_at: When it was asked whether that DAG's run has begun.
        cancel_dag_running: Whether it had.
        cancel_dag_refused: Why that DAG can't do it, for example that it is paused.
        cancelled_directly_at: When the run was cancelled through REST.
        retention_noted: Whether Airflow was told, or could not be told, that the run goes on without its MLJob.
        children_seen_to: Whether runs that the cancelled run had started were looked for, and ended where they are to be.
        looked_up_at: When the run was last asked for.
        over_since: When the ended run's tasks and outputs were first read.
        doubt: The run was missed, or not all of its tasks are known: ask for both.
        resumed: The spec's generation for which Airflow has let the backfill go on.
        halt: Why the run's DAG schedules nothing.
        refused: Whether the Kubernetes API refused the status as invalid: what it was made of is forgotten, and nothing can be announced.
    """

    attempt: Attempt | None = None
    last_error: LastError | None = None
    kept_by: str | None = None
    newest: int | None = None
    counted: int = 0
    counted_at: datetime | None = None
    unknown_until: datetime | None = None
    left_until: datetime | None = None
    cleared_nothing: bool = False
    cancel_dag_at: datetime | None = None
    cancel_dag_checked_at: datetime | None = None
    cancel_dag_running: bool = False
    cancel_dag_refused: str | None = None
    cancelled_directly_at: datetime | None = None
    retention_noted: bool = False
    children_handled: bool = False
    looked_up_at: datetime | None = None
    over_since: datetime | None = None
    doubt: bool = False
    resumed: int | None = None
    halt: Halt | None = None
    refused: bool = False
