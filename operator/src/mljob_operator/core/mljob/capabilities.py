"""What the operator and Airflow can do with a single run and with a backfill. Decisions about an
MLJob check these capabilities instead of the type of the MLJob.
"""

from __future__ import annotations

from dataclasses import dataclass

from .resource.job import Job


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What the operator and Airflow can do with a workload: a single run or a backfill.

    Attributes:
        pausable: Whether Airflow can pause and resume the workload. If not, suspending the MLJob
            cancels the workload.
        has_chosen_id: Whether the operator chooses the id of the workload. If so, Airflow refuses a
            second submission with the same id, and the operator can find the workload by its
            id.
        has_tasks: Whether the operator reads the tasks of the workload. If so, the workload counts
            as started when its first task has started. If not, the workload counts as started when
            its first run has started.
        has_note: Whether the operator can add a note to the workload in Airflow.
        cancelled_by_dag: Whether the cancellation DAG, a DAG that cancels runs of other DAGs, can
            cancel the workload. If not, the operator cancels the workload through Airflow's REST
            API.
        has_children: Whether the operator, after a cancellation of the workload, looks for runs
            that tasks of the workload have triggered.
        repeats_cancelled: Whether a retry with retryStrategy ClearFailed repeats everything that a
            cancellation has stopped. True for a backfill, because Airflow repeats each failed run
            as a whole. False for a single run, because Airflow repeats only the failed tasks, and a
            cancellation may leave other tasks skipped.
    """

    pausable: bool
    has_chosen_id: bool
    has_tasks: bool
    has_note: bool
    cancelled_by_dag: bool
    has_children: bool
    repeats_cancelled: bool


SINGLE_RUN = Capabilities(
    pausable=False,
    has_chosen_id=True,
    has_tasks=True,
    has_note=True,
    cancelled_by_dag=True,
    has_children=True,
    repeats_cancelled=False,
)
BACKFILL = Capabilities(
    pausable=True,
    has_chosen_id=False,
    has_tasks=False,
    has_note=False,
    cancelled_by_dag=False,
    has_children=False,
    repeats_cancelled=True,
)


def capabilities(job: Job) -> Capabilities:
    """Return the capabilities of a backfill if the MLJob has the type Backfill, and the
    capabilities of a single run otherwise.
    """
    return BACKFILL if job.is_backfill else SINGLE_RUN
