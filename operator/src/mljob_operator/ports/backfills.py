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
    """The operations on the backfills of an Airflow. The operator puts a marker into a backfill's
    conf: the entry that names the MLJob to which the backfill belongs.
    """

    async def create(self, dag_id: str, marker: Marker, request: BackfillRequest) -> Backfill:
        """Create a backfill with this marker in its conf. If Airflow already has a backfill with
        the same marker, return that backfill.

        Raises:
            BackfillActive: Another backfill of this DAG is in progress.
            DagNotFound: Airflow has no such DAG at the moment.
            ValidationFailed: The DAG has no periodic schedule, or Airflow refuses the range or the
                conf.
            AirflowUnsupported: This version of Airflow can't find the runs of one backfill.
        """
        ...

    async def find(self, dag_id: str, run_id: str, attempt: int | None = None) -> Backfill | None:
        """Return the newest backfill whose marker (the part of its conf that names the MLJob) has
        this run id, or None if Airflow has no such backfill.

        Args:
            dag_id: The DAG.
            run_id: The run id in the marker.
            attempt: The attempt in the marker, or None for any attempt.
        """
        ...

    async def list_runs(self, backfill: Backfill) -> tuple[BackfillRun, ...]:
        """Return the runs of ``backfill``, and the runs of the other backfills whose marker has the
        same run id. These other backfills belong to other attempts of the same MLJob.
        """
        ...

    async def not_created(self, backfill: Backfill, members: int) -> int:
        """Return how many runs in the backfill's range existed already when Airflow created the
        backfill. The backfill did not create these runs.

        Args:
            backfill: The backfill.
            members: The number of runs that the backfill has created.
        """
        ...

    async def pause(self, backfill_id: int, *, paused: bool) -> None:
        """Pause or resume the backfill. Airflow starts no run of a paused backfill. The call has no
        effect if the backfill is closed or deleted in Airflow.
        """
        ...

    async def cancel(self, backfill_id: int) -> None:
        """Cancel the backfill. Airflow then closes the backfill and sets its queued runs to failed.
        Runs in progress continue.

        The call has no effect if the backfill is closed or deleted in Airflow.
        """
        ...

    async def changed(self, since: datetime) -> list[BackfillRunChange]:
        """Return those runs of MLJobs' backfills that changed at or after ``since`` (on Airflow's
        clock).
        """
        ...
