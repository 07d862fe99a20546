"""What Airflow can do with a single run, and with a backfill. All differences that decisions depend
on are here.

The texts of a status differ too (:class:`..status.workload.Workload`), and so do the requests to
Airflow, which are not part of the core.
"""

from __future__ import annotations

from dataclasses import dataclass

from .job import Job


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What Airflow can do with a run or a backfill.

    Attributes:
        pausable: Whether Airflow can pause and resume it. If not, suspending the MLJob cancels it.
        has_chosen_id: Whether the operator chooses its id. Then a second submission does no harm,
            and runs of an earlier MLJob are found by their ids.
        has_tasks: Whether its tasks are followed, so that a started task can be told from a started
            run. If not, a run in progress counts as started.
        has_note: Whether it has a note, which can say that it continues without its MLJob.
        cancelled_by_dag: Whether the cancellation DAG can cancel it. If not, Airflow's REST API does.
        has_children: Whether the runs that its tasks have started are looked for after a
            cancellation.
    """

    pausable: bool
    has_chosen_id: bool
    has_tasks: bool
    has_note: bool
    cancelled_by_dag: bool
    has_children: bool


SINGLE_RUN = Capabilities(
    pausable=False, has_chosen_id=True, has_tasks=True, has_note=True, cancelled_by_dag=True, has_children=True
)
BACKFILL = Capabilities(
    pausable=True, has_chosen_id=False, has_tasks=False, has_note=False, cancelled_by_dag=False, has_children=False
)


def capabilities(job: Job) -> Capabilities:
    """Those of a backfill for MLJobs of type Backfill, else those of a single run."""
    return BACKFILL if job.is_backfill else SINGLE_RUN
