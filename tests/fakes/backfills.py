from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from mljob_contract.backfill_marker import Marker
from mljob_contract.mljob import ReprocessBehavior
from mljob_operator.core.run.backfill import Backfill, BackfillRequest, BackfillRun
from mljob_operator.core.run.states import RunState
from mljob_operator.errors import AirflowUnavailable, BackfillActive, DagNotFound, ValidationFailed
from mljob_operator.ports import BackfillRunChange, Clock

if TYPE_CHECKING:
    from .airflow import FakeAirflow, FakeRun


class FakeBackfills:
    """The backfills of a :class:`.FakeAirflow`.

    Attributes:
        made: All backfills by id.
        lose_answers: How many of the next calls of :meth:`post` take effect, but raise
            AirflowUnavailable.
        lose_requests: How many of the next calls of :meth:`post` raise AirflowUnavailable without
            an effect.
    """

    def __init__(self, airflow: FakeAirflow, clock: Clock) -> None:
        self._airflow = airflow
        self._clock = clock
        self.made: dict[int, Backfill] = {}
        self.lose_answers = 0
        self.lose_requests = 0

    # Backfills

    async def create(self, dag_id: str, marker: Marker, order: BackfillRequest) -> Backfill:
        self._airflow.asked("create_backfill")
        there = self._found(dag_id, marker.run_id, marker.attempt)
        return there or await self.post(dag_id, marker, order)

    async def post(self, dag_id: str, marker: Marker, order: BackfillRequest) -> Backfill:
        """Create a backfill. If the DAG has an active backfill with the same run id and attempt as
        ``marker``, return the active backfill instead, as the operator's adapter does.
        """
        if self.lose_requests:
            self.lose_requests -= 1
            raise AirflowUnavailable("the request was lost", outcome_unknown=True)
        if dag_id not in self._airflow.dags:
            raise DagNotFound(f"no DAG {dag_id}")
        if dag_id not in self._airflow.daily:
            raise ValidationFailed(f"{dag_id} has a non-periodic schedule that does not support backfills")
        if active := [made for made in self.made.values() if made.dag_id == dag_id and made.completed_at is None]:
            if active[0].marker == marker:
                return active[0]
            raise BackfillActive(f"DAG {dag_id!r} has another backfill in progress")
        if not self._dates(order):
            raise ValidationFailed("Backfill cannot be executed for future dates.")
        backfill = self.make(dag_id, marker, order)
        if self.lose_answers:
            self.lose_answers -= 1
            raise AirflowUnavailable("the answer was lost", outcome_unknown=True)
        return backfill

    async def find(self, dag_id: str, run_id: str, attempt: int | None = None) -> Backfill | None:
        self._airflow.asked("find_backfill")
        found = self._found(dag_id, run_id, attempt)
        return found if found is not None and not self._airflow.denied() else None

    async def list_runs(self, backfill: Backfill) -> tuple[BackfillRun, ...]:
        self._airflow.asked("backfill_runs")
        assert backfill.marker is not None
        members = (self._member(run) for run in self._airflow.runs.values() if run.backfill is not None)
        return tuple(change.member for change in members if change and change.marker.run_id == backfill.marker.run_id)

    async def not_created(self, backfill: Backfill, members: int) -> int:
        self._airflow.asked("backfill_range")
        in_range = [
            run
            for run in self._airflow.runs.values()
            if run.dag_id == backfill.dag_id and run.date is not None and backfill.start <= run.date <= backfill.end
        ]
        return max(0, len(in_range) - members)

    async def pause(self, backfill_id: int, *, paused: bool) -> None:
        self._airflow.asked("pause_backfill")
        if self.made[backfill_id].completed_at is None:
            self.set(backfill_id, paused=paused)

    async def cancel(self, backfill_id: int) -> None:
        self._airflow.asked("cancel_backfill")
        if self.made[backfill_id].completed_at is None:
            for run in self.runs(backfill_id):
                if run.state is RunState.QUEUED:
                    self._airflow.end(run, RunState.FAILED)
            self.set(backfill_id, paused=True, completed_at=self._clock())

    async def changed(self, since: datetime) -> list[BackfillRunChange]:
        self._airflow.asked("changed_backfill_runs")
        changed = [run for run in self._airflow.runs.values() if run.backfill is not None and run.changed >= since]
        return self._airflow.counted([change for run in changed if (change := self._member(run)) is not None])

    # Changes in Airflow

    def make(self, dag_id: str, marker: Marker | None, order: BackfillRequest) -> Backfill:
        """Create a backfill without the checks of :meth:`post`."""
        conf = {**order.conf, **(marker.as_conf() if marker else {})}
        number = len(self.made) + 1
        backfill = Backfill(
            number,
            dag_id,
            marker,
            order.start,
            order.end,
            dict(order.conf),
            order.reprocess,
            order.max_active_runs,
            paused=False,
            created_at=self._clock(),
        )
        self.made[number] = backfill
        for date in self._dates(order):
            there = next((r for r in self._airflow.runs.values() if (r.dag_id, r.date) == (dag_id, date)), None)
            if there is None:
                there = self._airflow.queue(dag_id, f"backfill__{date.isoformat()}", conf)
                there.date = date
            elif (there.state is RunState.FAILED and order.reprocess is not ReprocessBehavior.NONE) or (
                there.state is RunState.SUCCESS and order.reprocess is ReprocessBehavior.COMPLETED
            ):
                self._airflow.clear(there)
            else:
                continue
            there.backfill, there.conf = number, conf
        return backfill

    def runs(self, backfill_id: int) -> list[FakeRun]:
        found = [run for run in self._airflow.runs.values() if run.backfill == backfill_id]
        return sorted(found, key=lambda run: (run.date, run.run_id))

    def close(self, backfill_id: int) -> None:
        self.set(backfill_id, completed_at=self._clock())

    def set(self, backfill_id: int, **change: Any) -> None:
        self.made[backfill_id] = replace(self.made[backfill_id], **change)

    def _dates(self, order: BackfillRequest) -> list[datetime]:
        days = (order.end - order.start).days
        dates = [order.start + timedelta(days=day) for day in range(days + 1)]
        return [date for date in dates if date < self._clock()]

    def _found(self, dag_id: str, run_id: str, attempt: int | None) -> Backfill | None:
        for made in reversed(self.made.values()):
            ours = made.dag_id == dag_id and made.marker is not None and made.marker.run_id == run_id
            if ours and made.marker is not None and attempt in (None, made.marker.attempt):
                return made
        return None

    def _member(self, run: FakeRun) -> BackfillRunChange | None:
        marker = Marker.read(run.conf)
        if marker is None:
            return None
        member = BackfillRun(run.run_id, self._airflow.fact(run), run.date, marker.attempt)
        return BackfillRunChange(run.dag_id, marker, member)
