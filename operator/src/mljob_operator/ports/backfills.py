"""The protocol class for requests to Airflow about backfills."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from mljob_contract.backfill_marker import Marker

from ..core.frozen import frozen
from ..core.run.backfill import Backfill, BackfillRequest, BackfillRun


@frozen
class BackfillRunChange:
    """A run of an MLJob's backfill, from Airflow's change feed (the list of recent changes)."""

    dag_id: str
    marker: Marker
    member: BackfillRun


class Backfills(Protocol):
    """The operations on the backfills of an Airflow. The conf of each backfill has a marker, which
    names the MLJob.
    """

    async def create(self, dag_id: str, marker: Marker, request: BackfillRequest) -> Backfill:
        """Create a backfill with this marker in its conf. If Airflow already has a backfill with
        this marker, return the existing backfill.

        Raises:
            BackfillActive: Another backfill of this DAG is in progress.
            DagNotFound: Airflow does not have the DAG.
            ValidationFailed: The DAG has no periodic schedule, or Airflow refuses the range or the
                conf.
            AirflowUnsupported: This version of Airflow can't find the runs of one backfill.
        """
        ...

    async def find(self, dag_id: str, run_id: str, attempt: int | None = None) -> Backfill | None:
        """Return the newest backfill whose marker has this run id, or None if Airflow has no such
        backfill.

        Args:
            dag_id: The DAG.
            run_id: The run id in the marker.
            attempt: The attempt in the marker, or None for any attempt.
        """
        ...

    async def list_runs(self, backfill: Backfill) -> tuple[BackfillRun, ...]:
        """Return all runs whose marker has the same run id as the marker of this backfill. These
        runs may belong to several attempts of the MLJob.
        """
        ...

    async def not_created(self, backfill: Backfill, members: int) -> int:
        """Return the number of runs in the backfill's range that already existed when Airflow
        created the backfill.

        Args:
            backfill: The backfill.
            members: The number of runs that the backfill has created.
        """
        ...

    async def pause(self, backfill_id: int, *, paused: bool) -> None:
        """Pause or resume the backfill. Airflow starts no run of a paused backfill. A backfill that
        is closed or deleted stays as it is.
        """
        ...

    async def cancel(self, backfill_id: int) -> None:
        """Cancel the backfill. Airflow closes the backfill and sets its queued runs to failed.
        Running runs continue. A backfill that is closed or deleted stays as it is.
        """
        ...

    async def changed(self, since: datetime) -> list[BackfillRunChange]:
        """Return the runs of MLJobs' backfills that changed at or after ``since``, a time on
        Airflow's clock.
        """
        ...
