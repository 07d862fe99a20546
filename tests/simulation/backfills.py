"""The backfills of the simulated Airflow. The module also simulates a part of Airflow's scheduler.
This part decides which runs of backfills may start, and marks a backfill as completed when all runs
of the backfill have ended.
"""

from __future__ import annotations

from collections.abc import Iterator

from mljob_contract.backfill_marker import Marker
from mljob_operator.core.run.backfill import Backfill, BackfillRequest
from mljob_operator.core.run.states import TERMINAL_RUN, RunState
from tests.fakes.airflow import FakeRun
from tests.fakes.backfills import FakeBackfills


class BusyBackfills(FakeBackfills):
    """A fake of Airflow's backfills. The fake makes two decisions of Airflow's scheduler: whether a
    backfill lets a queued run start, and which backfills are complete. The fake also records what
    the simulation needs to check the operator's promises about backfills.

    The operator's backfills have a marker in their conf: the run id and the attempt of the MLJob
    (:class:`.Marker`).

    Attributes:
        twice: Descriptions of backfills that were created for an attempt of an MLJob although this
            attempt already had a backfill.
        robbed: The run ids in the markers of the backfills that have lost runs. A backfill loses a
            run if a backfill of another MLJob, or a backfill without a marker, takes over the run.
    """

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self.twice: list[str] = []
        self.robbed: set[str] = set()

    def make(self, dag_id: str, marker: Marker | None, order: BackfillRequest) -> Backfill:
        """Create a backfill (:meth:`.FakeBackfills.make`). If a backfill with the same marker
        exists, add a description to ``twice``. If the new backfill takes over runs of other MLJobs'
        backfills, add the run ids in the markers of these backfills to ``robbed``.
        """
        if marker is not None and any(made.marker == marker for made in self.made.values()):
            self.twice.append(f"{marker.run_id} attempt {marker.attempt} was made twice")
        before = {run.run_id: Marker.read(run.conf) for run in self._airflow.runs.values() if run.backfill is not None}
        backfill = super().make(dag_id, marker, order)
        for run in self.runs(backfill.id):
            owner = before.get(run.run_id)
            if owner is not None and (marker is None or owner.run_id != marker.run_id):
                self.robbed.add(owner.run_id)
        return backfill

    def let_begin(self, run: FakeRun) -> bool:
        """Return whether backfills let a queued run start. A run of a backfill may start if the
        backfill is not paused, and has fewer running runs than its limit. Any other run may start.
        """
        if run.backfill is None:
            return True
        backfill = self.made[run.backfill]
        running = sum(other.state is RunState.RUNNING for other in self.runs(backfill.id))
        return not backfill.paused and running < backfill.max_active_runs

    def holds(self, run: FakeRun) -> bool:
        """Return whether a run is queued and can't start because its backfill is paused."""
        return run.backfill is not None and run.state is RunState.QUEUED and self.made[run.backfill].paused

    def close_ended(self) -> None:
        """Mark each backfill that has no active run as completed. Airflow's scheduler does the same
        every 30 s.
        """
        for backfill in self.made.values():
            if backfill.completed_at is None and not any(_active(run) for run in self.runs(backfill.id)):
                self.close(backfill.id)

    def members(self, run_id: str) -> list[FakeRun]:
        """Return all runs whose conf has a marker with this run id: the runs of one MLJob's
        backfills.
        """
        runs = self._airflow.runs.values()
        return [run for run in runs if (marker := Marker.read(run.conf)) is not None and marker.run_id == run_id]

    def at_work(self) -> Iterator[tuple[str, str]]:
        """Yield a pair for each backfill that has a marker and an active run: a description of the
        backfill, and the run id in the marker.
        """
        for backfill in self.made.values():
            if backfill.marker is not None and any(_active(run) for run in self.runs(backfill.id)):
                yield f"backfill {backfill.id}", backfill.marker.run_id


def _active(run: FakeRun) -> bool:
    return run.state not in TERMINAL_RUN
