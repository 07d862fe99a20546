"""Backfills that Airflow works off: their runs begin when there is room, and the scheduler closes those that have none left."""

from __future__ import annotations

from collections.abc import Iterator

from mljob_contract.backfill_marker import Marker
from mljob_operator.core.run.backfill import Backfill, BackfillRequest
from mljob_operator.core.run.states import TERMINAL_RUN, RunState
from tests.fakes.airflow import FakeRun
from tests.fakes.backfills import FakeBackfills


class BusyBackfills(FakeBackfills):
    """The fake's, with the scheduler's part.

    Attributes:
        twice: Those that were made for an attempt that had one, in words.
        robbed: The marked ids of which a run was taken over by somebody else's backfill.
    """

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self.twice: list[str] = []
        self.robbed: set[str] = set()

    def make(self, dag_id: str, marker: Marker | None, order: BackfillRequest) -> Backfill:
        """As the fake; one more for the same attempt is noted, and what it takes from others."""
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
        """Whether the backfill of a queued run has room for it."""
        if run.backfill is None:
            return True
        backfill = self.made[run.backfill]
        running = sum(other.state is RunState.RUNNING for other in self.runs(backfill.id))
        return not backfill.paused and running < backfill.max_active_runs

    def holds(self, run: FakeRun) -> bool:
        """Whether a run waits for its backfill to be unpaused."""
        return run.backfill is not None and run.state is RunState.QUEUED and self.made[run.backfill].paused

    def close_ended(self) -> None:
        """As the scheduler does each 30 s."""
        for backfill in self.made.values():
            if backfill.completed is None and not any(_active(run) for run in self.runs(backfill.id)):
                self.close(backfill.id)

    def members(self, run_id: str) -> list[FakeRun]:
        """All runs with this id in their marker."""
        runs = self._airflow.runs.values()
        return [run for run in runs if (marker := Marker.read(run.conf)) is not None and marker.run_id == run_id]

    def at_work(self) -> Iterator[tuple[str, str]]:
        """Each backfill of an MLJob that has an active run: what to call it, and its marked id."""
        for backfill in self.made.values():
            if backfill.marker is not None and any(_active(run) for run in self.runs(backfill.id)):
                yield f"backfill {backfill.id}", backfill.marker.run_id


def _active(run: FakeRun) -> bool:
    return run.state not in TERMINAL_RUN
