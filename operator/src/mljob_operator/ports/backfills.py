"""The protocol class for requests to Airflow about backfills."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from mljob_contract.backfill_marker import Marker

from ..core.frozen import frozen
from ..core.run.backfill import Backfill, BackfillRequest, BackfillRun


@frozen
class BackfillRunChange:
    """A changed run of an MLJob's backfill, in the result of :meth:`Backfills.changed`."""

    dag_id: str
    marker: Marker
    member: BackfillRun


class Backfills(Protocol):
    """Sends requests about backfills to one Airflow.

    The operator adds a marker to the conf of each backfill that it creates. The marker holds a run
    id (``status.dagRunId`` of the MLJob) and the number of the MLJob's attempt. Airflow copies the
    conf to the runs of the backfill.
    """

    async def create(self, dag_id: str, marker: Marker, request: BackfillRequest) -> Backfill:
        """Create a backfill with this marker in its conf. The marker says to which attempt of which
        MLJob the backfill belongs. If Airflow already has a backfill with this marker, return the
        existing backfill.

        Raises:
            BackfillActive: Another backfill of this DAG is in progress.
            DagNotFound: Airflow does not have the DAG.
            ValidationFailed: The DAG has no periodic schedule, or Airflow refuses the range or the
                conf.
            AirflowUnsupported: This version of Airflow can't find the runs of one backfill.
        """
        ...

    async def find(self, dag_id: str, run_id: str, attempt: int | None = None) -> Backfill | None:
        """Return the newest of the DAG's backfills whose marker has this run id and this attempt.
        Return None if Airflow has no such backfill. The marker is the part of a backfill's conf
        that says to which attempt of which MLJob the backfill belongs.

        Args:
            dag_id: The id of the DAG.
            run_id: The run id in the marker.
            attempt: The number of the attempt in the marker, or None for any attempt.
        """
        ...

    async def list_runs(self, backfill: Backfill) -> tuple[BackfillRun, ...]:
        """Return the runs of this backfill, and the runs of the MLJob's other backfills with the
        same ``marker.run_id``. An attempt that repeats only failed runs creates another backfill
        with the same ``marker.run_id``.
        """
        ...

    async def not_created(self, backfill: Backfill, members: int) -> int:
        """Return the number of dates in the backfill's range for which Airflow created no run of
        the backfill, because a scheduled run or a run of another backfill already had the date.

        Args:
            backfill: The backfill.
            members: The number of runs that :meth:`list_runs` has returned for the backfill.
        """
        ...

    async def pause(self, backfill_id: int, *, paused: bool) -> None:
        """Pause the backfill if ``paused`` is True, otherwise resume the backfill. Airflow starts
        no run of a paused backfill. Do nothing if the backfill has ended or was deleted.
        """
        ...

    async def cancel(self, backfill_id: int) -> None:
        """Cancel the backfill. Airflow ends the backfill, and sets the backfill's queued runs to
        failed. Running runs continue. Do nothing if the backfill has ended or was deleted.
        """
        ...

    async def changed(self, since: datetime) -> list[BackfillRunChange]:
        """Return a BackfillRunChange for each run that belongs to an MLJob's backfill, and that
        changed at or after ``since``. ``since`` is a time on Airflow's clock.
        """
        ...
