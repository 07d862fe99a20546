"""Backfills that Airflow processes: their runs start within the limit, and the scheduler closes
backfills without active runs.
"""

from __future__ import annotations

from collections.abc import Iterator

from mljob_contract.backfill_marker import Marker
from mljob_operator.core.run.backfill import Backfill, BackfillRequest
from mljob_operator.core.run.states import TERMINAL_RUN, RunState
from tests.fakes.airflow import FakeRun
from tests.fakes.backfills import FakeBackfills


class BusyBackfills(FakeBackfills):
    """The fake's backfills, and what the scheduler does with them: start runs within the limit, and
    close backfills whose runs have ended.

    Attributes:
        twice: Descriptions of backfills that were created for an attempt that already had one.
        robbed: The run ids in the markers of backfills that have lost a run to another backfill.
    """

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self.twice: list[str] = []
        self.robbed: set[str] = set()

    def make(self, dag_id: str, marker: Marker | None, order: BackfillRequest) -> Backfill:
        """Create a backfill as the fake does. Note a second backfill of the same attempt, and runs
        that the new backfill takes over from others.
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
        """Return whether a queued run may start: its backfill is not paused, and has fewer running
        runs than its limit. A run without a backfill may always start.
        """
        if run.backfill is None:
            return True
        backfill = self.made[run.backfill]
        running = sum(other.state is RunState.RUNNING for other in self.runs(backfill.id))
        return not backfill.paused and running < backfill.max_active_runs

    def holds(self, run: FakeRun) -> bool:
        """Return whether a run waits until its backfill is unpaused."""
        return run.backfill is not None and run.state is RunState.QUEUED and self.made[run.backfill].paused

    def close_ended(self) -> None:
        """Close ended backfills, as the scheduler does every 30 s."""
        for backfill in self.made.values():
            if backfill.completed_at is None and not any(_active(run) for run in self.runs(backfill.id)):
                self.close(backfill.id)

    def members(self, run_id: str) -> list[FakeRun]:
        """Return all runs with this id in their marker."""
        runs = self._airflow.runs.values()
        return [run for run in runs if (marker := Marker.read(run.conf)) is not None and marker.run_id == run_id]

    def at_work(self) -> Iterator[tuple[str, str]]:
        """Yield for each backfill of an MLJob that has an active run: a description, and the run id
        in the backfill's marker.
        """
        for backfill in self.made.values():
            if backfill.marker is not None and any(_active(run) for run in self.runs(backfill.id)):
                yield f"backfill {backfill.id}", backfill.marker.run_id


def _active(run: FakeRun) -> bool:
    return run.state not in TERMINAL_RUN
