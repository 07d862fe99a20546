"""Backfills: runs of a DAG with a daily schedule, one for each day of a range."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from mljob_operator.core.run.states import RunState

from .dags import Dag
from .runs import Json, Run, now, text
from .store import Store

MAX_DAYS = 10_000


@dataclass(slots=True)
class Backfill:
    """A backfill of a DAG in the simulated Airflow."""

    id: int
    dag_id: str
    start: datetime
    end: datetime
    conf: dict[str, Any]
    reprocess: str
    max_active_runs: int
    created_at: datetime
    is_paused: bool = False
    completed_at: datetime | None = None

    def row(self) -> Json:
        """Return the backfill as the JSON object of Airflow's REST API."""
        return {
            "id": self.id,
            "dag_id": self.dag_id,
            "from_date": text(self.start),
            "to_date": text(self.end),
            "dag_run_conf": self.conf,
            "is_paused": self.is_paused,
            "reprocess_behavior": self.reprocess,
            "max_active_runs": self.max_active_runs,
            "created_at": text(self.created_at),
            "completed_at": text(self.completed_at),
        }


class Backfills:
    """The backfills of a simulated Airflow.

    Attributes:
        made: All backfills by id, oldest first.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.made: dict[int, Backfill] = {}
        self._runs: dict[int, list[Run]] = {}

    def active(self, dag_id: str) -> Backfill | None:
        """Return the DAG's backfill that has not completed, or None. A DAG has at most one such
        backfill.
        """
        made = (one for one in self.made.values() if one.dag_id == dag_id and one.completed_at is None)
        return next(made, None)

    def create(self, dag: Dag, order: Json) -> tuple[Backfill, list[Run]]:
        """Create a backfill with its runs.

        Args:
            dag: The DAG.
            order: The body of the request, with ``datetime`` objects as times.

        Returns:
            The backfill, and the runs that were created or cleared for the backfill.

        Raises:
            ValueError: The DAG has no schedule, or the range has no day in the past.
        """
        if not dag.daily:
            raise ValueError(f"{dag.dag_id} has a non-periodic schedule that does not support backfills")
        dates = _days(order["from_date"], order["to_date"])
        if not dates:
            raise ValueError("Backfill cannot be executed for future dates.")
        backfill = Backfill(
            len(self.made) + 1,
            dag.dag_id,
            order["from_date"],
            order["to_date"],
            dict(order.get("dag_run_conf") or {}),
            order.get("reprocess_behavior") or "none",
            int(order.get("max_active_runs") or 10),
            now(),
        )
        self.made[backfill.id] = backfill
        runs = [run for date in dates if (run := self._run(dag, backfill, date)) is not None]
        for run in runs:
            run.backfill, run.run_type, run.conf = backfill.id, "backfill", dict(backfill.conf)
        self._runs[backfill.id] = runs
        return backfill, runs

    def runs(self, backfill_id: int) -> list[Run]:
        """Return the runs of a backfill, without the runs that a later backfill has cleared."""
        return [run for run in self._runs[backfill_id] if run.backfill == backfill_id]

    def has_room(self, backfill_id: int) -> bool:
        """Return whether another run of the backfill may start."""
        backfill = self.made[backfill_id]
        running = sum(run.state is RunState.RUNNING for run in self.runs(backfill_id))
        return not backfill.is_paused and running < backfill.max_active_runs

    def complete(self, backfill_id: int, *, paused: bool = False) -> None:
        """Complete a backfill now. With ``paused``, also pause the backfill, as Airflow does after
        a cancellation.
        """
        backfill = self.made[backfill_id]
        backfill.completed_at = now()
        backfill.is_paused = backfill.is_paused or paused

    def run_ended(self, run: Run) -> None:
        """Complete the run's backfill if all runs of the backfill have ended."""
        if run.backfill is None or self.made[run.backfill].completed_at is not None:
            return
        if all(other.is_over for other in self.runs(run.backfill)):
            self.complete(run.backfill)

    def _run(self, dag: Dag, backfill: Backfill, date: datetime) -> Run | None:
        """Add a run for one day, or clear the day's existing run. Return None if the backfill must
        not clear the existing run.
        """
        there = self._store.of_date(dag.dag_id, date)
        if there is None:
            run_id = f"backfill__{date.isoformat()}"
            return self._store.add(dag, run_id, backfill.conf, date=date, run_type="backfill")
        again = (there.state is RunState.FAILED and backfill.reprocess != "none") or (
            there.state is RunState.SUCCESS and backfill.reprocess == "completed"
        )
        if not again:
            return None
        self._store.clear(there, list(there.tasks))
        return there


def _days(start: datetime, end: datetime) -> list[datetime]:
    count = min((end - start).days, MAX_DAYS)
    days = (start + timedelta(days=day) for day in range(count + 1))
    return [day for day in days if day < now()]
