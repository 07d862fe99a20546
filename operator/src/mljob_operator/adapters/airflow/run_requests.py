"""Submits, reads and clears single dag runs (``/api/v2/dags/{dag_id}/dagRuns``)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from airflow_client.client import (
    DAGApi,
    DagRunApi,
    DAGRunClearBody,
    DAGRunPatchBody,
    TaskInstanceApi,
    TriggerDAGRunPostBody,
)

from mljob_contract.run_id import RunId

from ...core.run.facts import Question, RunFact, TaskFact, TaskKey
from ...core.run.states import TERMINAL_RUN
from ...errors import (
    AirflowForbidden,
    AirflowUnavailable,
    LogicalDateTaken,
    NothingToClear,
    ValidationFailed,
    after_effect,
    before_effect,
)
from ...ports import RunInputs
from . import absence
from .answers import Absent, Answer
from .bodies import MAX_PAGE_BYTES
from .refusals import Refusals
from .rows import Row, assert_about, now, run_fact, task_fact
from .session import Session

log = logging.getLogger(__name__)


class RunRequests:
    """Sends the requests about single dag runs of one Airflow.

    Args:
        session: The session with the Airflow.
        refusals: Makes the errors that explain why Airflow did not trigger a DAG.
    """

    def __init__(self, session: Session, refusals: Refusals) -> None:
        self._session = session
        self._refusals = refusals
        self._runs = DagRunApi(session.client)
        self._tasks = TaskInstanceApi(session.client)
        self._dags = DAGApi(session.client)

    def submit(
        self, dag_id: str, run_id: str, conf: Mapping[str, Any], note: str, logical_date: datetime | None = None
    ) -> RunFact:
        """Create a run (``POST /dags/{dag_id}/dagRuns``), and return its state. If a run with this
        id exists already, return the state of that run.

        Raises:
            DagNotFound: The DAG does not exist (yet).
            DagImportError: Airflow can't import the DAG's file.
            SubmissionRefused: The DAG allows no manual runs, or Airflow forbids the run id.
            LogicalDateTaken: The DAG has another run of this logical date.
            ValidationFailed: The DAG's params refuse the conf.
            AirflowUnavailable: Airflow did not answer, or its answers contradict each other.
                ``outcome_unknown`` is set if Airflow may have created the run.
            AirflowError: Airflow refused the request for another reason.
        """
        body = TriggerDAGRunPostBody(dag_run_id=run_id, conf=dict(conf), note=note, logical_date=logical_date)
        observed_at = now()
        try:
            row = self._session.ask(
                self._runs.trigger_dag_run_without_preload_content,
                dag_id,
                body,
                absent=absence.TRIGGER_RUN.with_ids(dag_id=dag_id),
            )
        except Answer as answer:
            if answer.status == 409:
                with after_effect():
                    adopted = self.get(dag_id, run_id)
                    if adopted is not None:
                        return adopted
                    other = self._of_date(dag_id, logical_date) if logical_date is not None else None
                if logical_date is not None and other is not None:
                    raise LogicalDateTaken(
                        f"DAG {dag_id!r} has {_shown(other, run_id)} of logical date {logical_date.isoformat()} already, and Airflow allows one run of a date. Delete that "
                        "run in Airflow, or create an MLJob with another spec.logicalDate. The operator tries again every few minutes."
                    ) from answer
                raise AirflowUnavailable(
                    f"Airflow refused run {run_id} of DAG {dag_id!r} because it exists, and says now that it doesn't: {answer.detail} "
                    "Was it deleted this moment?",
                    outcome_unknown=True,
                ) from answer
            raise self._refusals.of_submission(dag_id, answer) from answer
        assert_about(row, dag_id, run_id)
        return run_fact(row, observed_at)

    def _of_date(self, dag_id: str, date: datetime) -> str | None:
        page = self._session.ask(
            self._runs.get_dag_runs_without_preload_content,
            dag_id,
            logical_date_gte=date,
            logical_date_lte=date,
            limit=1,
            max_bytes=MAX_PAGE_BYTES,
        )
        return next((row.text("dag_run_id") for row in page.rows("dag_runs")), None)

    def params(self, dag_id: str) -> dict[str, Any] | None:
        """Return the DAG's params by name (``GET /dags/{dag_id}/details``), or None if the DAG does
        not exist. Each param is an object with the fields ``value`` (the default) and ``schema``
        (the JSON schema).
        """
        try:
            row = self._session.ask(
                self._dags.get_dag_details_without_preload_content,
                dag_id,
                absent=absence.GET_DAG.with_ids(dag_id=dag_id),
            )
        except Absent:
            return None
        return row.content("params")

    def inputs(self, dag_id: str, run_id: str) -> RunInputs:
        """Return the conf and the logical date of a run (``GET
        /dags/{dag_id}/dagRuns/{run_id}``).

        Raises:
            ValidationFailed: The run does not exist, so its conf can't be reused.
        """
        row = self.row(dag_id, run_id)
        if row is None:
            raise ValidationFailed(
                f"Run {run_id} is not in Airflow any more, so its conf is not known, and runPolicy Once refuses the changed spec. "
                "Create an MLJob with another name."
            )
        return RunInputs(row.content("conf"), row.time_or_none("logical_date"))

    def clear_failed(
        self, dag_id: str, run_id: str, since: datetime | None, latest_version: bool | None = None
    ) -> RunFact | None:
        """Clear the failed tasks of an ended run, so that Airflow runs them again
        (``POST /dags/{dag_id}/dagRuns/{run_id}/clear``).

        A run that has not ended is not cleared. A run that was last queued at ``since`` or later
        counts as cleared, and is not cleared again. :meth:`.DagRuns.clear_failed` describes the
        arguments.

        Returns:
            The state of the run after this call, or None if the run does not exist.

        Raises:
            NothingToClear: The run has no failed task.
        """
        with before_effect():
            before = self.get(dag_id, run_id)
        if before is None:
            return None
        again = since is not None and before.queued_at is not None and before.queued_at >= since
        if again or before.state not in TERMINAL_RUN:
            return before
        # None leaves only_new out of the request, because Airflow 3.1 refuses only_new as an
        # unknown field.
        body = DAGRunClearBody(dry_run=False, only_failed=True, only_new=None, run_on_latest_version=latest_version)
        row = self._session.ask(
            self._runs.clear_dag_run_without_preload_content,
            dag_id,
            run_id,
            body,
            absent=absence.CLEAR_RUN.with_ids(dag_id=dag_id, run_id=run_id),
        )
        assert_about(row, dag_id, run_id)
        with after_effect():
            after = self.get(dag_id, run_id)
        if after is not None and after.state in TERMINAL_RUN and after.queued_at == before.queued_at:
            raise NothingToClear(f"run {run_id} has no failed task")
        return after

    def set_note(self, dag_id: str, run_id: str, note: str) -> None:
        """Set a run's note (``PATCH /dags/{dag_id}/dagRuns/{run_id}``), if the run exists."""
        body = DAGRunPatchBody(note=note)
        try:
            row = self._session.ask(
                self._runs.patch_dag_run_without_preload_content,
                dag_id,
                run_id,
                body,
                update_mask=["note"],
                absent=absence.PATCH_RUN.with_ids(dag_id=dag_id, run_id=run_id),
            )
        except Absent:
            return
        assert_about(row, dag_id, run_id)

    def get(self, dag_id: str, run_id: str) -> RunFact | None:
        """Return the state of a run (``GET /dags/{dag_id}/dagRuns/{run_id}``), or None if Airflow
        says that the run does not exist.
        """
        observed_at = now()
        row = self.row(dag_id, run_id)
        return run_fact(row, observed_at) if row is not None else None

    def tasks(self, dag_id: str, run_id: str) -> list[TaskFact]:
        """Return the task instances of a run, or an empty list if the run does not exist.

        Request: ``GET /dags/{dag_id}/dagRuns/{run_id}/taskInstances``, all pages.
        """
        observed_at = now()
        return [task_fact(row, observed_at) for row in self.task_rows(dag_id, run_id)]

    def task_rows(self, dag_id: str, run_id: str) -> list[Row]:
        """Return the task instances of a run as in Airflow's answers, otherwise as :meth:`tasks`."""
        found = []
        try:
            for row in self._session.lists.rows(
                "task_instances",
                self._tasks.get_task_instances_without_preload_content,
                dag_id,
                run_id,
                cursors=True,
                absent=absence.LIST_TASK_INSTANCES.with_ids(dag_id=dag_id, run_id=run_id),
            ):
                assert_about(row, dag_id, run_id)
                found.append(row)
        except Absent:
            return []
        return found

    def questions(self, dag_id: str, run_id: str) -> dict[TaskKey, Question]:
        """Return the unanswered human-in-the-loop questions of the run's tasks, by task id and map
        index. The result is empty if Airflow forbids the operator to read the questions.

        Request: ``GET /dags/{dag_id}/dagRuns/{run_id}/hitlDetails?response_received=false``, all
        pages.
        """
        try:
            rows = self._session.lists.rows(
                "hitl_details",
                self._tasks.get_hitl_details_without_preload_content,
                dag_id,
                run_id,
                response_received=False,
                order_by=["ti_id"],
            )
            return dict(_question(row) for row in rows)
        except AirflowForbidden as error:
            log.warning("the questions of run %s to people can't be read: %s", run_id, error)
            return {}

    def row(self, dag_id: str, run_id: str) -> Row | None:
        """Return the JSON object of a run, or None if Airflow says that the run does not exist."""
        try:
            row = self._session.ask(
                self._runs.get_dag_run_without_preload_content,
                dag_id,
                run_id,
                absent=absence.GET_RUN.with_ids(dag_id=dag_id, run_id=run_id),
            )
        except Absent:
            return None
        assert_about(row, dag_id, run_id)
        return row


def _shown(other: str, run_id: str) -> str:
    """Return words for the run ``other`` in a message about the run ``run_id``. A tenant must not
    learn the names of MLJobs in other namespaces, and the id of an MLJob's run contains both names.
    """
    mine, theirs = RunId.parse(run_id), RunId.parse(other)
    is_foreign = theirs is not None and (mine is None or theirs.namespace != mine.namespace)
    return "a run of an MLJob in another namespace" if is_foreign else f"run {other}"


def _question(row: Row) -> tuple[TaskKey, Question]:
    task = row.row("task_instance")
    return (task.text("task_id"), task.number("map_index")), Question(task.number("try_number"), row.prose("subject"))
