"""The requests that this process has sent to Airflow for an MLJob, and their results. This state is
never stored. After a restart, the next process asks Airflow instead.
"""

from __future__ import annotations

from dataclasses import field
from datetime import datetime

from ..frozen import frozen
from ..run.halt import Halt
from .attempts import Attempt
from .run_count import RunCount


@frozen
class LastError:
    """The last request that failed.

    Attributes:
        reason: The reason in the status, in one CamelCase word.
        message: What is wrong, and what to do about it.
        generation: The generation of the spec when the request failed. After a change of the spec,
            the request is sent again at once.
        retry_at: When to send the request again.
        failures: How many times in a row requests have failed with this reason.
        starting: Whether the request belonged to the start of the run. A cancellation does not wait
            for the retry of such a request.
        stalls: Whether the condition Stalled is True, because somebody has to change the spec or
            the DAG.
        counting: Whether the request belonged to the count of the spec's runs (runPolicy
            OncePerSpec). The message of such a request can't quote the newest attempt's run.
    """

    reason: str
    message: str
    generation: int
    retry_at: datetime
    failures: int = 1
    starting: bool = False
    stalls: bool = False
    counting: bool = False


@frozen
class CancelRequests:
    """The requests of this process to cancel a run, and their results. The operator cancels a run
    through the cancellation DAG (a DAG of the operator in Airflow), or directly through Airflow's
    REST API.

    Attributes:
        dag_triggered_at: When the operator triggered the cancellation DAG, or None.
        dag_checked_at: When the operator last read ``dag_running`` from Airflow, or None.
        dag_running: Whether the cancellation DAG was executing the cancellation at
            ``dag_checked_at``.
        dag_refused: Why the cancellation DAG can't cancel the run, for example because the DAG is
            paused. None if no reason is known.
        sent_at: When the operator last cancelled the run directly, or None.
    """

    dag_triggered_at: datetime | None = None
    dag_checked_at: datetime | None = None
    dag_running: bool = False
    dag_refused: str | None = None
    sent_at: datetime | None = None


@frozen
class TransientState:
    """What only this process knows about an attempt of an MLJob.

    Attributes:
        attempt: The newest attempt, if this process has begun it or has taken it over from another
            process. Otherwise None.
        last_error: The last request that failed. None if no request has failed, if a request has
            succeeded since, or if the cause of the error may be gone.
        kept_by: The text of the last error that prevented the start of the run, or None.
        run_count: With runPolicy OncePerSpec, the runs of the next attempt's spec that Airflow has.
            None until the operator has begun to look for them.
        unknown_until: Until when a submission without an answer may still take effect. The
            submission may come from an earlier process. None if there is no such submission.
        left_until: Until when this process waits, because another process has begun the attempt and
            may still submit the run. None if this process need not wait.
        cleared_nothing: Whether Airflow answered that the run to retry has no failed task to clear.
        conf_lost: Whether the retry of a backfill needs a new conf, because Airflow no longer has
            the earlier backfill and its conf. Always False if the conf in the spec takes no
            outputs of other MLJobs.
        cancel_requests: The requests of this process to cancel the run.
        retention_noted: Whether the operator has tried to write into the run's note that the run
            continues without its MLJob.
        children_handled: Whether the operator has looked for runs that tasks of the cancelled run
            have started, and has cancelled or reported these runs.
        looked_up_at: When the operator last asked Airflow for the run, or None. A direct
            cancellation sets an earlier time, so that the operator asks again at once.
        over_since: When the operator first read the tasks and outputs of the ended run, or first
            read that the backfill has ended. None before that.
        needs_look_up: Whether the operator must read the run and its tasks from Airflow, because
            the operator may not know the current state of the run and of all its tasks.
        resumed: The generation of the spec for which this process has resumed the backfill, or
            None.
        unknown_params: The message about conf keys that the DAG does not declare as params. Empty
            if the DAG declares all keys. None if this process has not built the conf.
        halt: Why the DAG of the run schedules no tasks. None if the DAG schedules tasks, or if the
            operator has not checked the DAG.
        refused: Whether the Kubernetes API server refused the last status as invalid. Until the
            server accepts a status, the operator can record neither an attempt nor the reason for a
            cancellation.
    """

    attempt: Attempt | None = None
    last_error: LastError | None = None
    kept_by: str | None = None
    run_count: RunCount | None = None
    unknown_until: datetime | None = None
    left_until: datetime | None = None
    cleared_nothing: bool = False
    conf_lost: bool = False
    cancel_requests: CancelRequests = field(default_factory=CancelRequests)
    retention_noted: bool = False
    children_handled: bool = False
    looked_up_at: datetime | None = None
    over_since: datetime | None = None
    needs_look_up: bool = False
    resumed: int | None = None
    unknown_params: str | None = None
    halt: Halt | None = None
    refused: bool = False
