"""Creates, reads and changes Airflow's backfills (``/api/v2/backfills``), and lists their runs.

Airflow's lists of runs don't name the backfill of a run. So the operator adds a marker to the conf
of each backfill that it creates, and Airflow copies this conf to the backfill's runs. The marker
holds ``status.dagRunId`` of the MLJob and the number of the attempt that created the backfill. To
find the runs of a backfill, the operator asks Airflow only for runs with the marker
(``conf_contains``), so it need not read all runs of a DAG.
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
from ...errors import TRIED_AGAIN, AirflowError, BackfillActive, ValidationFailed, after_effect, before_effect
from ...ports import BackfillRunChange
from . import absence
from .answers import Answer
from .lanes import Run, Work
from .refusals import Refusals
from .rows import Row, now, run_fact
from .session import Session

CREATION_TIMEOUT = (5.0, 60.0)
"""The longest time to connect, and the longest time to wait for the answer, in seconds. The wait is
long, because Airflow creates all runs of the backfill, with their task instances, before it
answers.
"""
BACKFILL = "backfill"
"""Airflow's run type of a run that belongs to a backfill."""
TIMED = ("scheduled", BACKFILL)
"""The run types whose logical dates come from the DAG's schedule."""


class AirflowBackfills:
    """Creates, finds, pauses and cancels the backfills of one Airflow, and lists their runs.

    Args:
        session: The session with the Airflow.
        run: Runs a function in a thread.
        refusals: Makes the error for a DAG that does not exist.
        prefix: The prefix of the operator's run ids.
    """

    def __init__(self, session: Session, run: Run, refusals: Refusals, *, prefix: str) -> None:
        self._session = session
        self._run = run
        self._refusals = refusals
        self._prefix = prefix
        self._backfills = BackfillApi(session.client)
        self._runs = DagRunApi(session.client)

    async def create(self, dag_id: str, marker: Marker, request: BackfillRequest) -> Backfill:
        """Create a backfill (``POST /backfills``). If a backfill with this marker exists already,
        return that backfill.

        Raises:
            BackfillActive: The DAG had another backfill in progress (409).
            DagNotFound: The DAG does not exist (yet).
            ValidationFailed: Airflow refuses the backfill, for example because the DAG has no
                schedule, the range is empty or in the future, or the params refuse the conf.
            AirflowUnsupported: This Airflow is too old to find the runs of a backfill, or reports a
                version that is not a version number.
            AirflowUnavailable: Airflow did not answer, or is too busy, or answered with a server
                error. ``outcome_unknown`` is set if Airflow may have created the backfill.
            AirflowError: Airflow refused the request for another reason, such as a missing
                permission.
        """
        return await self._run(Work.SUBMISSIONS, "create_backfill", self._create, dag_id, marker, request)

    async def find(self, dag_id: str, run_id: str, attempt: int | None = None) -> Backfill | None:
        """Return the DAG's newest backfill whose marker has this run id and attempt, or None if
        there is no such backfill. If ``attempt`` is None, the marker may have any attempt.

        Request: ``GET /backfills?dag_id=``, all pages.
        """
        return await self._run(Work.LOOKUPS, "find_backfill", self._find, dag_id, run_id, attempt)

    async def list_runs(self, backfill: Backfill) -> tuple[BackfillRun, ...]:
        """Return the runs of this backfill, and the runs of the operator's other backfills with the
        same ``marker.run_id``. An attempt that repeats only failed runs creates another backfill
        with the same ``marker.run_id``.

        Request: ``GET /dags/{dag_id}/dagRuns?conf_contains=``, all pages.
        """

        def ask() -> tuple[BackfillRun, ...]:
            assert backfill.marker is not None
            observed_at, run_id = now(), backfill.marker.run_id
            changes = (_change(row, observed_at) for row in self._members(backfill.dag_id, run_id))
            return tuple(change.member for change in changes if change is not None and change.marker.run_id == run_id)

        return await self._run(Work.LOOKUPS, "backfill_runs", ask)

    async def not_created(self, backfill: Backfill, members: int) -> int:
        """Return the number of dates in the backfill's range for which Airflow created no run of
        the backfill, because a scheduled run or a run of another backfill already had the date.
        ``members`` is the number of the backfill's runs.

        Request: ``GET /dags/{dag_id}/dagRuns?logical_date_gte=&logical_date_lte=&run_type=``.
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
        """Pause or unpause a backfill (``PUT /backfills/{id}/pause`` or ``/unpause``). Do nothing
        if the backfill has ended or was deleted.
        """
        pause, unpause = (
            self._backfills.pause_backfill_without_preload_content,
            self._backfills.unpause_backfill_without_preload_content,
        )
        await self._run(Work.LOOKUPS, "pause_backfill", self._put, pause if paused else unpause, backfill_id)

    async def cancel(self, backfill_id: int) -> None:
        """Cancel a backfill (``PUT /backfills/{id}/cancel``). Airflow sets the backfill's queued
        runs to failed, but does not stop running runs. Do nothing if the backfill has ended or was
        deleted.
        """
        cancel = self._backfills.cancel_backfill_without_preload_content
        await self._run(Work.CANCELLATIONS, "cancel_backfill", self._put, cancel, backfill_id)

    async def changed(self, since: datetime) -> list[BackfillRunChange]:
        """Return the operator's backfill runs that changed at or after ``since`` (Airflow's clock).
        An unreadable run is logged and left out.

        Request: ``GET /dags/~/dagRuns?run_type=backfill&updated_at_gte=&conf_contains=``, all
        pages.
        """

        def ask() -> list[BackfillRunChange]:
            observed_at = now()
            rows = self._members("~", self._prefix + ".", skip_too_large=True, updated_at_gte=since)
            changes = self._session.lists.each(rows, lambda row: _change(row, observed_at))
            return [change for change in changes if change is not None]

        return await self._run(Work.FEED, "changed_backfill_runs", ask)

    def _create(self, dag_id: str, marker: Marker, request: BackfillRequest) -> Backfill:
        self._session.assert_backfills()
        with before_effect():
            existing = self._find(dag_id, marker.run_id, marker.attempt)
        if existing is not None:
            return existing
        body = BackfillPostBody(
            dag_id=dag_id,
            from_date=request.start,
            to_date=request.end,
            run_backwards=request.backwards,
            dag_run_conf={**request.conf, **marker.as_conf()},
            reprocess_behavior=ReprocessBehavior(request.reprocess.value.lower()),
            max_active_runs=request.max_active_runs,
        )
        try:
            row = self._session.ask(
                self._backfills.create_backfill_without_preload_content,
                body,
                absent=absence.CREATE_BACKFILL.with_ids(dag_id=dag_id),
                _request_timeout=CREATION_TIMEOUT,
            )
        except Answer as answer:
            if answer.status == 409:
                return self._active_backfill(dag_id, marker)
            raise self._error_of(dag_id, answer) from answer
        return _backfill(row)

    def _error_of(self, dag_id: str, answer: Answer) -> AirflowError:
        if answer.status == 404:
            return self._refusals.no_dag(dag_id)
        if answer.status in (400, 422):
            return ValidationFailed(
                f"Airflow refused the backfill of DAG {dag_id!r}: {sentence(answer.detail)} Change spec.backfill, the conf or the DAG. {TRIED_AGAIN}"
            )
        return AirflowError(f"Airflow answered {answer.status} to the backfill of DAG {dag_id!r}: {answer.detail}")

    def _active_backfill(self, dag_id: str, marker: Marker) -> Backfill:
        """Return the DAG's backfill in progress, if its marker is equal to ``marker``. An equal
        marker shows that an earlier request of the operator created the backfill. This method is
        called after Airflow has refused to create another backfill (409).

        Raises:
            BackfillActive: The backfill in progress has another marker, or ended after Airflow's
                refusal.
        """
        with after_effect():  # the backfill in progress may be from an earlier request of this MLJob
            active = next((row for row in self._rows(dag_id) if row.time_or_none("completed_at") is None), None)
        if active is None:
            raise BackfillActive(f"DAG {dag_id!r} had another backfill a moment ago. Trying again.")
        found = _backfill(active)
        if found.marker == marker:
            return found
        owner = _owner_in_namespace(marker, found.marker)
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
        return self._session.lists.rows(
            "backfills", self._backfills.list_backfills_without_preload_content, dag_id, order_by=["-id"]
        )

    def _members(self, dag_id: str, marked: str, *, skip_too_large: bool = False, **query: Any) -> Iterator[Row]:
        """Yield the DAG's backfill runs whose conf contains the value of ``marked``. The DAG id
        ``~`` means all DAGs.
        """
        return self._session.lists.rows(
            "dag_runs",
            self._runs.get_dag_runs_without_preload_content,
            dag_id,
            cursors=True,
            skip_too_large=skip_too_large,
            run_type=[BACKFILL],
            conf_contains=marked,
            **query,
        )

    def _put(self, request: Callable[..., Any], backfill_id: int) -> None:
        try:
            row = self._session.ask(
                request, backfill_id, absent=absence.CHANGE_BACKFILL.with_ids(backfill_id=str(backfill_id))
            )
        except Answer as answer:
            # A closed backfill (409) or a deleted backfill (404) starts no more runs, so there is
            # nothing to change.
            if answer.status not in (404, 409):
                raise
        else:
            if row.number("id") != backfill_id:
                raise row.invalid("id", f"{backfill_id}, which was asked for")


def _owner_in_namespace(own: Marker, theirs: Marker | None) -> str | None:
    """Return the name of the MLJob in the marker ``theirs``. Return None if ``theirs`` names no
    MLJob, or if the MLJobs in the two markers have different operators or namespaces. A tenant must
    not learn names from other namespaces.
    """
    mine, other = RunId.parse(own.run_id), RunId.parse(theirs.run_id) if theirs is not None else None
    if mine is None or other is None or (mine.prefix, mine.namespace) != (other.prefix, other.namespace):
        return None
    return other.name


def _change(row: Row, observed_at: datetime) -> BackfillRunChange | None:
    """Return the run in ``row`` as a BackfillRunChange, or None if the run's conf has no valid
    marker.
    """
    marker = _marker(row, "conf")
    if marker is None:
        return None
    member = BackfillRun(
        row.text("dag_run_id"), run_fact(row, observed_at), row.time_or_none("logical_date"), marker.attempt
    )
    return BackfillRunChange(row.text("dag_id"), marker, member)


def _marker(row: Row, field: str) -> Marker | None:
    """Return the marker in the conf of a run or backfill, or None if the conf has no valid marker.
    A marker proves nothing, because every user who may trigger runs can write one.
    """
    conf = row.value(field)
    return Marker.read(conf) if isinstance(conf, dict) else None


def _backfill(row: Row) -> Backfill:
    conf = row.content("dag_run_conf")
    behavior = row.text("reprocess_behavior").capitalize()
    if behavior not in set(mljob.ReprocessBehavior):
        raise row.invalid("reprocess_behavior", "one that the operator knows")
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
        created_at=row.time("created_at"),
        completed_at=row.time_or_none("completed_at"),
    )
