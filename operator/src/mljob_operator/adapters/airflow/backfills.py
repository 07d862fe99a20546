"""Airflow's backfills (``/api/v2/backfills``), and the runs that are theirs.

Airflow's answers about a run don't name the run's backfill. The operator recognises the backfill by
the run's conf: Airflow copies the backfill's conf, with the operator's marker, to each of its runs.
Airflow filters by the marker (``conf_contains``), so the number of pages depends on the operator's
runs, not on all runs of the DAG.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from airflow_client.client import BackfillApi, BackfillPostBody, DagRunApi, ReprocessBehavior

from mljob_contract import mljob
from mljob_contract.backfill_marker import CONF_KEY, Marker
from mljob_contract.run_id import RunId

from ...core.run.backfill import Backfill, BackfillRequest, BackfillRun
from ...core.text.sentences import sentence
from ...errors import TRIED_AGAIN, AirflowError, BackfillActive, ValidationFailed
from ...ports import MemberChange
from . import absence
from .answers import Answer
from .lanes import Run, Work
from .refusals import Refusals
from .rows import Row, now, run_fact
from .session import Session

CREATION_TIMEOUT = (5.0, 60.0)
"""Seconds to connect, and to wait for the answer: Airflow first creates all runs of the backfill,
with their task instances."""
BACKFILL = "backfill"
"""Airflow's run type."""
TIMED = ("scheduled", BACKFILL)
"""The run types with a logical date of the schedule."""


class AirflowBackfills:
    """The backfills of one Airflow.

    Args:
        session: The session with the Airflow.
        run: Runs requests in a lane.
        refusals: Explains why a DAG does not exist.
        prefix: The prefix of the operator's run ids.
    """

    def __init__(self, session: Session, run: Run, refusals: Refusals, *, prefix: str) -> None:
        self._session = session
        self._run = run
        self._refusals = refusals
        self._prefix = prefix
        self._backfills = BackfillApi(session.client)
        self._runs = DagRunApi(session.client)

    async def create(self, dag_id: str, marker: Marker, order: BackfillRequest) -> Backfill:
        """``POST /backfills``, unless a backfill with this marker exists.

        Raises:
            BackfillActive: Another backfill is in progress.
            DagNotFound: The DAG does not exist (yet).
            ValidationFailed: The DAG has no schedule, the range is empty or in the future, or the
                params refuse the conf.
            AirflowUnsupported: This Airflow is too old to find the runs of a backfill.
            AirflowUnavailable: No answer; ``outcome_unknown`` if Airflow may have created the
                backfill.
        """
        return await self._run(Work.SUBMISSIONS, "create_backfill", self._create, dag_id, marker, order)

    async def find(self, dag_id: str, run_id: str, attempt: int | None = None) -> Backfill | None:
        """``GET /backfills?dag_id=``, the newest first, until the backfill is found."""
        return await self._run(Work.LOOKUPS, "find_backfill", self._find, dag_id, run_id, attempt)

    async def survey(self, backfill: Backfill) -> tuple[BackfillRun, ...]:
        """``GET /dags/{dag_id}/dagRuns?conf_contains=``, all pages."""

        def ask() -> tuple[BackfillRun, ...]:
            assert backfill.marker is not None
            observed_at, run_id = now(), backfill.marker.run_id
            changes = (_change(row, observed_at) for row in self._members(backfill.dag_id, run_id))
            return tuple(change.member for change in changes if change is not None and change.marker.run_id == run_id)

        return await self._run(Work.LOOKUPS, "backfill_runs", ask)

    async def not_created(self, backfill: Backfill, members: int) -> int:
        """``GET /dags/{dag_id}/dagRuns?logical_date_gte=&logical_date_lte=``: the total, less
        ``members``.
        """

        def ask() -> int:
            page = self._session.ask(
                self._runs.get_dag_runs_without_preload_content,
                backfill.dag_id,
                logical_date_gte=backfill.start,
                logical_date_lte=backfill.end,
                run_type=list(TIMED),
                limit=1,
            )
            return max(0, page.number("total_entries") - members)

        return await self._run(Work.LOOKUPS, "backfill_range", ask)

    async def pause(self, backfill_id: int, *, paused: bool) -> None:
        """``PUT /backfills/{id}/pause`` or ``/unpause``."""
        pause, unpause = (
            self._backfills.pause_backfill_without_preload_content,
            self._backfills.unpause_backfill_without_preload_content,
        )
        await self._run(Work.LOOKUPS, "pause_backfill", self._put, pause if paused else unpause, backfill_id)

    async def cancel(self, backfill_id: int) -> None:
        """``PUT /backfills/{id}/cancel``."""
        cancel = self._backfills.cancel_backfill_without_preload_content
        await self._run(Work.CANCELLATIONS, "cancel_backfill", self._put, cancel, backfill_id)

    async def changed(self, since: datetime) -> list[MemberChange]:
        """``GET /dags/~/dagRuns?run_type=backfill&updated_at_gte=&conf_contains=``, all pages."""

        def ask() -> list[MemberChange]:
            observed_at = now()
            rows = self._members("~", self._prefix + ".", updated_at_gte=since)
            changes = self._session.each(rows, lambda row: _change(row, observed_at))
            return [change for change in changes if change is not None]

        return await self._run(Work.FEED, "changed_backfill_runs", ask)

    def _create(self, dag_id: str, marker: Marker, order: BackfillRequest) -> Backfill:
        self._session.assert_backfills()
        if (there := self._find(dag_id, marker.run_id, marker.attempt)) is not None:
            return there
        body = BackfillPostBody(
            dag_id=dag_id,
            from_date=order.start,
            to_date=order.end,
            run_backwards=order.backwards,
            dag_run_conf={**order.conf, **marker.as_conf()},
            reprocess_behavior=ReprocessBehavior(order.reprocess.value.lower()),
            max_active_runs=order.max_active_runs,
        )
        try:
            row = self._session.ask(
                self._backfills.create_backfill_without_preload_content,
                body,
                absent=absence.CREATE_BACKFILL.about(dag_id=dag_id),
                _request_timeout=CREATION_TIMEOUT,
            )
        except Answer as answer:
            if answer.status == 409:
                return self._the_active_one(dag_id, marker)
            raise self._why_not(dag_id, answer) from answer
        return _backfill(row)

    def _why_not(self, dag_id: str, answer: Answer) -> AirflowError:
        """The error for a refused backfill, with the cause and the remedy."""
        if answer.status == 404:
            return self._refusals.no_dag(dag_id)
        if answer.status in (400, 422):
            return ValidationFailed(
                f"Airflow refused the backfill of DAG {dag_id!r}: {sentence(answer.detail)} Change spec.backfill, the conf or the DAG. {TRIED_AGAIN}"
            )
        return AirflowError(f"Airflow answered {answer.status} to the backfill of DAG {dag_id!r}: {answer.detail}")

    def _the_active_one(self, dag_id: str, marker: Marker) -> Backfill:
        """The active backfill, if it has this marker: an earlier request may have arrived late."""
        active = next((row for row in self._rows(dag_id) if row.time_or_none("completed_at") is None), None)
        if active is None:
            raise BackfillActive(f"DAG {dag_id!r} had another backfill a moment ago. Trying again.")
        found = _backfill(active)
        if found.marker == marker:
            return found
        owner = _neighbour(marker, found.marker)
        raise BackfillActive(
            f"DAG {dag_id!r} has another backfill in progress{f', of MLJob {owner}' if owner else ''}, and Airflow allows one at a time. "
            "Waiting for its end. The DAG's page in Airflow shows the backfill, and can cancel it."
        )

    def _find(self, dag_id: str, run_id: str, attempt: int | None) -> Backfill | None:
        for row in self._rows(dag_id):
            marker = _marker(row, "dag_run_conf")
            if marker is not None and marker.run_id == run_id and attempt in (None, marker.attempt):
                return _backfill(row)
        return None

    def _rows(self, dag_id: str) -> Iterator[Row]:
        """The DAG's backfills, the newest first."""
        return self._session.pages(
            "backfills", self._backfills.list_backfills_without_preload_content, dag_id, order_by=["-id"]
        )

    def _members(self, dag_id: str, marked: str, **which: Any) -> Iterator[Row]:
        """The runs of backfills whose conf contains this text."""
        return self._session.pages(
            "dag_runs",
            self._runs.get_dag_runs_without_preload_content,
            dag_id,
            cursors=True,
            run_type=[BACKFILL],
            conf_contains=marked,
            **which,
        )

    def _put(self, request: Callable[..., Any], backfill_id: int) -> None:
        try:
            row = self._session.ask(
                request, backfill_id, absent=absence.CHANGE_BACKFILL.about(backfill_id=str(backfill_id))
            )
        except Answer as answer:
            # The backfill is closed already, or gone: it starts no more runs.
            if answer.status not in (404, 409):
                raise
        else:
            if row.number("id") != backfill_id:
                raise row.odd("id", f"{backfill_id}, which was asked for")


def _neighbour(ours: Marker, theirs: Marker | None) -> str | None:
    """The name of the MLJob that created a backfill, if it is in the namespace of ``ours``.

    Other namespaces' MLJobs must not be disclosed.
    """
    mine, other = RunId.parse(ours.run_id), RunId.parse(theirs.run_id) if theirs is not None else None
    if mine is None or other is None or (mine.prefix, mine.namespace) != (other.prefix, other.namespace):
        return None
    return other.name


def _change(row: Row, observed_at: datetime) -> MemberChange | None:
    """A run of a backfill of the operator's; None: the run belongs to another backfill."""
    marker = _marker(row, "conf")
    if marker is None:
        return None
    member = BackfillRun(
        row.text("dag_run_id"), run_fact(row, observed_at), row.time_or_none("logical_date"), marker.attempt
    )
    return MemberChange(row.text("dag_id"), marker, member)


def _marker(row: Row, field: str) -> Marker | None:
    """The marker in a conf; None: there is none. The conf may have any content."""
    conf = row.anything(field)
    return Marker.read(conf) if isinstance(conf, dict) else None


def _backfill(row: Row) -> Backfill:
    conf = row.content("dag_run_conf")
    behavior = row.text("reprocess_behavior").capitalize()
    if behavior not in set(mljob.ReprocessBehavior):
        raise row.odd("reprocess_behavior", "one that the operator knows")
    return Backfill(
        id=row.number("id"),
        dag_id=row.text("dag_id"),
        marker=Marker.read(conf),
        start=row.time("from_date"),
        end=row.time("to_date"),
        conf={key: value for key, value in conf.items() if key != CONF_KEY},
        reprocess=mljob.ReprocessBehavior(behavior),
        max_active_runs=row.number("max_active_runs"),
        paused=row.flag("is_paused"),
        created=row.time("created_at"),
        completed=row.time_or_none("completed_at"),
    )
