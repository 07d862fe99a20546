from __future__ import annotations

from collections.abc import Iterator

from mljob_contract.backfill_marker import Marker
from mljob_operator.core.run.backfill import Backfill, BackfillRequest
from mljob_operator.core.run.states import TERMINAL_RUN, RunState
from tests.fakes.airflow import FakeRun
from tests.fakes.backfills import FakeBackfills


class BusyBackfills(FakeBackfills):
    """A fake of Airflow's backfills, and of the scheduler's decisions about backfills. A backfill
    that the operator has created has a :class:`.Marker` in its conf.

    Attributes:
        twice: A message for each backfill that was created although the same attempt of the MLJob
            had a backfill already.
        robbed: The run id of each marker that a run has lost. A run loses its marker when a user's
            backfill, or a backfill with another run id in its marker, repeats the run.
    """

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self.twice: list[str] = []
        self.robbed: set[str] = set()

    def make(self, dag_id: str, marker: Marker | None, order: BackfillRequest) -> Backfill:
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
        """Return whether a queued run may start. A run of a backfill may not start if the backfill
        is paused, or if ``max_active_runs`` of its runs are running.
        """
        if run.backfill is None:
            return True
        backfill = self.made[run.backfill]
        running = sum(other.state is RunState.RUNNING for other in self.runs(backfill.id))
        return not backfill.paused and running < backfill.max_active_runs

    def holds(self, run: FakeRun) -> bool:
        return run.backfill is not None and run.state is RunState.QUEUED and self.made[run.backfill].paused

    def close_ended(self) -> None:
        for backfill in self.made.values():
            if backfill.completed_at is None and not any(_active(run) for run in self.runs(backfill.id)):
                self.close(backfill.id)

    def members(self, run_id: str) -> list[FakeRun]:
        """Return the runs that have a :class:`.Marker` with this run id. These runs belong to
        backfills of one MLJob.
        """
        runs = self._airflow.runs.values()
        return [run for run in runs if (marker := Marker.read(run.conf)) is not None and marker.run_id == run_id]

    def at_work(self) -> Iterator[tuple[str, str]]:
        """Yield a pair for each backfill that has a :class:`.Marker` and at least one run that has
        not ended. The pair is a text with the backfill's id, and the run id in the marker.
        """
        for backfill in self.made.values():
            if backfill.marker is not None and any(_active(run) for run in self.runs(backfill.id)):
                yield f"backfill {backfill.id}", backfill.marker.run_id


def _active(run: FakeRun) -> bool:
    return run.state not in TERMINAL_RUN
