"""What this process has tried for an MLJob, and what failed. It is not stored: the next process
asks Airflow itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from ..run.halt import Halt
from .attempts import Attempt


@dataclass(frozen=True, slots=True)
class LastError:
    """The last request that failed.

    Attributes:
        reason: One CamelCase word.
        message: What is wrong and what to do about it.
        generation: The generation of the spec with which the request failed. With another
            generation, the request is tried again at once.
        retry_at: When to try again.
        failures: How many times in a row the request has failed.
        starting: Whether the request was to start the run. A cancellation does not wait for its
            retry.
        stalls: Whether waiting alone doesn't help: somebody has to change the spec, or what it is
            checked against.
    """

    reason: str
    message: str
    generation: int
    retry_at: datetime
    failures: int = 1
    starting: bool = False
    stalls: bool = False


@dataclass(frozen=True, slots=True)
class CancelRequests:
    """What this process has asked of Airflow to cancel a run.

    Attributes:
        dag_triggered_at: When the cancellation DAG was triggered; None: it was not.
        dag_checked_at: When the operator checked whether the cancellation DAG's run has begun.
        dag_running: Whether that run had begun.
        dag_refused: Why the cancellation DAG can't cancel the run, for example because it is
            paused.
        sent_at: When the run was cancelled through Airflow's REST API; None: it was not.
    """

    dag_triggered_at: datetime | None = None
    dag_checked_at: datetime | None = None
    dag_running: bool = False
    dag_refused: str | None = None
    sent_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class TransientState:
    """What this process has tried for an attempt.

    Attributes:
        attempt: The attempt that was begun, until the stored status describes it.
        last_error: The last request that failed; None: none did.
        kept_by: What last prevented the start of its run, as text for people.
        newest: With OncePerSpec, how many runs of the spec Airflow has, which an earlier MLJob of
            this name may have started; None: not known yet.
        counted: How many of these runs were found so far.
        counted_at: When Airflow first answered that there is no further run of the spec.
        unknown_until: Until when a submission that got no answer may still take effect; None: there
            is none.
        left_until: Until when the attempt is left to the process that announced it, which may still
            be running.
        cleared_nothing: Whether the run to be retried has no failed task to clear.
        cancel_requests: What was asked of Airflow to cancel the run.
        retention_noted: Whether the operator has tried to note in Airflow that the run continues
            without its MLJob.
        children_handled: Whether the operator has looked for runs that the cancelled run had
            started, and cancelled them if the spec says so.
        looked_up_at: When Airflow was last asked for the run.
        over_since: When the ended run's tasks and outputs were first read.
        doubt: Whether the run was missed or not all of its tasks are known, so that Airflow is to
            be asked for both.
        resumed: The generation of the spec for which Airflow has resumed the backfill.
        halt: Why the run's DAG schedules no task; None: it does.
        refused: Whether the Kubernetes API refused the status as invalid. The facts behind that
            status are forgotten, and nothing can be announced.
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
    cancel_requests: CancelRequests = field(default_factory=CancelRequests)
    retention_noted: bool = False
    children_handled: bool = False
    looked_up_at: datetime | None = None
    over_since: datetime | None = None
    doubt: bool = False
    resumed: int | None = None
    halt: Halt | None = None
    refused: bool = False
