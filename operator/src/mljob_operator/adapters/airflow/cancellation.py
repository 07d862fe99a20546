"""Cancels dag runs, through the cancellation DAG or directly through the REST API."""

from __future__ import annotations

import logging
import time
from typing import Any

from airflow_client.client import (
    BulkBodyBulkTaskInstanceBody,
    DAGApi,
    DagRunApi,
    DAGRunPatchBody,
    TaskInstanceApi,
)

from mljob_contract.cancellation_note import cancellation_line, is_cancelled

from ...core.mljob.identity import cancel_run_id
from ...core.run.facts import TaskKey
from ...core.run.states import ACTIVE_TASK, FINISHED_TASK, RunState
from ...core.run.task_order import upstream_first
from ...errors import (
    AirflowUnavailable,
    AirflowUnreadable,
    DagImportError,
    DagNotFound,
    DagRefused,
    SubmissionRefused,
    ValidationFailed,
    before_effect,
)
from . import absence
from .answers import Absent, Answer
from .bodies import MAX_PAGE_BYTES
from .lists import PAGE
from .rows import assert_about, now, task_fact
from .run_requests import RunRequests
from .session import Session
from .structure import Structure

log = logging.getLogger(__name__)

ONE_BY_ONE_SECONDS = 10.0
"""After this many seconds, the operator sets no more single task instances to failed, for each of
which Airflow takes about 50 ms. The run is then set to failed, which ends the remaining task
instances at once.
"""
NOTED_REASON = "the operator of MLJobs has ended the run"
"""The reason in the notes of the task instances that the operator sets to failed."""
MAX_NOTE_LENGTH = 1000
"""The maximum number of characters of a note that Airflow stores."""


class RunCanceller:
    """Cancels dag runs of one Airflow.

    Args:
        session: The session with the Airflow.
        runs: Reads and submits dag runs of the Airflow.
        structure: Reads the tasks of the Airflow's DAGs.
        dag_id: The id of the cancellation DAG, whose runs end runs of other DAGs.
    """

    def __init__(self, session: Session, runs: RunRequests, structure: Structure, *, dag_id: str) -> None:
        self._session = session
        self._runs = runs
        self._structure = structure
        self._dag_id = dag_id
        self._dags = DAGApi(session.client)
        self._dag_runs = DagRunApi(session.client)
        self._tasks = TaskInstanceApi(session.client)

    def trigger(self, dag_id: str, run_id: str, reason: str) -> None:
        """Trigger the cancellation DAG, which then ends a run of another DAG.

        Args:
            dag_id: The DAG of the run to end.
            run_id: The run to end.
            reason: Why the run is cancelled. Becomes the note of the cancellation DAG's run.

        Raises:
            DagRefused: The cancellation DAG is missing or paused, or Airflow refuses to run it, for
                example because its file has an import error.
        """
        cancel_dag_id = self._dag_id
        try:
            with before_effect():
                dag = self._session.ask(
                    self._dags.get_dag_without_preload_content,
                    cancel_dag_id,
                    absent=absence.GET_DAG.with_ids(dag_id=cancel_dag_id),
                )
                is_paused = dag.flag("is_paused")
        except Absent as absent:
            raise DagRefused(f"the cancellation DAG {cancel_dag_id} is not in Airflow") from absent
        if is_paused:
            raise DagRefused(f"the cancellation DAG {cancel_dag_id} is paused")
        conf = {"dag_id": dag_id, "dag_run_id": run_id, "reason": reason}
        try:
            self._runs.submit(cancel_dag_id, cancel_run_id(run_id), conf, reason)
        except (DagNotFound, DagImportError, SubmissionRefused, ValidationFailed) as error:
            # Tenants read the message of DagRefused. The cause may quote the platform team's DAG
            # file, so it is logged only.
            log.warning("the cancellation DAG %s can't be run: %s", cancel_dag_id, error)
            raise DagRefused(f"the cancellation DAG {cancel_dag_id} can't be run ({error.reason})") from error

    def is_cancelling(self, run_id: str) -> bool:
        """Return whether a task of the cancellation DAG is now ending the run ``run_id``.

        The state of the cancellation DAG's own run is not enough, because Airflow sets a dag run to
        running before a task gets a pool slot.
        """
        return any(task.state in ACTIVE_TASK for task in self._runs.tasks(self._dag_id, cancel_run_id(run_id)))

    def cancel(self, dag_id: str, run_id: str) -> None:
        """End a run through the REST API: first set the run's unfinished task instances to failed,
        then set the run to failed.

        This method stops setting task instances to failed after ``ONE_BY_ONE_SECONDS`` (10
        seconds), or when a request to set task instances to failed gets an error. Then this method
        sets the run to failed, and Airflow ends the remaining task instances together with the run.
        Each task instance that this method sets to failed gets a line in its note
        (:mod:`mljob_contract.cancellation_note`).
        A run that does not exist causes no error.
        """
        deadline = time.monotonic() + ONE_BY_ONE_SECONDS
        with before_effect():
            groups = self._unfinished(dag_id, run_id)
        for entities in (group[start : start + PAGE] for group in groups for start in range(0, len(group), PAGE)):
            if time.monotonic() > deadline:
                break
            action = {"action": "update", "entities": entities, "action_on_non_existence": "skip"}
            body = BulkBodyBulkTaskInstanceBody.from_dict({"actions": [action]})
            try:
                result = self._session.ask(
                    self._tasks.bulk_task_instances_without_preload_content,
                    dag_id,
                    run_id,
                    body,
                    max_bytes=MAX_PAGE_BYTES,
                )
                update = result.row_or_none("update")
                for refused in update.rows("errors") if update is not None and update.has("errors") else ():
                    log.info("run %s: a task instance was not set to failed: %s", run_id, refused.prose("error"))
            except (Answer, AirflowUnavailable) as error:
                # The run can probably still be set to failed, which ends its task instances too.
                # That request changes one row in Airflow's database. The failed request changes up
                # to a hundred rows.
                log.warning("run %s: task instances were not set to failed one by one: %s", run_id, error)
                break
        self._fail(dag_id, run_id)

    def drop(self, run_id: str) -> None:
        """If the cancellation DAG's run for ``run_id`` is still queued, set this queued run to
        failed. Call this method when the run ``run_id`` has ended and needs no cancellation.
        """
        with before_effect():
            cancellation = self._runs.get(self._dag_id, cancel_run_id(run_id))
        if cancellation is not None and cancellation.state is RunState.QUEUED:
            self._fail(self._dag_id, cancel_run_id(run_id))

    def _unfinished(self, dag_id: str, run_id: str) -> list[list[dict[str, Any]]]:
        """Return the requests that set the unfinished task instances of a run to failed, in groups,
        upstream tasks first. The groups must be sent in this order (:func:`.upstream_first`).
        Return an empty list if an answer of Airflow's can't be read.
        """
        unfinished: dict[TaskKey, dict[str, Any]] = {}
        observed_at = now()
        try:
            for row in self._runs.task_rows(dag_id, run_id):
                task = task_fact(row, observed_at)
                if task.state in FINISHED_TASK:
                    continue
                entity = {"task_id": task.task_id, "map_index": task.map_index, "new_state": "failed"}
                note = row.prose("note", None)
                if not is_cancelled(note, task.try_number):
                    line = cancellation_line(task.try_number, NOTED_REASON)
                    # The note in a request replaces the earlier note.
                    entity["note"] = f"{note[: MAX_NOTE_LENGTH - len(line) - 1]}\n{line}".strip()
                unfinished[task.task_id, task.map_index] = entity
            downstream = {task.task_id: task.downstream for task in self._structure.tasks(dag_id)}
            return [[unfinished[key] for key in group] for group in upstream_first(unfinished, downstream)]
        except AirflowUnreadable as error:
            log.warning("run %s: task instances are not set to failed one by one: %s", run_id, error)
            return []

    def _fail(self, dag_id: str, run_id: str) -> None:
        body = DAGRunPatchBody(state="failed")
        try:
            row = self._session.ask(
                self._dag_runs.patch_dag_run_without_preload_content,
                dag_id,
                run_id,
                body,
                absent=absence.PATCH_RUN.with_ids(dag_id=dag_id, run_id=run_id),
            )
        except Answer as answer:
            if answer.status not in (404, 409):
                raise
        else:
            assert_about(row, dag_id, run_id)
