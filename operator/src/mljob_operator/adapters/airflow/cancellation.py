"""How a run is ended: by the cancellation DAG, or through REST."""

from __future__ import annotations

import logging
import time

from airflow_client.client import (
    BulkBodyBulkTaskInstanceBody,
    DAGApi,
    DagRunApi,
    DAGRunPatchBody,
    TaskApi,
    TaskInstanceApi,
)

from ...core.identity import cancel_run_id
from ...core.phases import ACTIVE_TASK, FINISHED_TASK, RunState, task_state
from ...core.task_order import upstream_first
from ...errors import AirflowUnavailable, DagImportError, DagNotFound, DagRefused, ValidationFailed
from .runs import Runs
from .session import PAGE, TIMEOUT, Answer, Session

log = logging.getLogger(__name__)

ONE_BY_ONE_SECONDS = 10.0
"""How long task instances are set failed one by one, at about 50 ms each; then the run is, which ends the rest at once."""


class Cancellation:
    """Ends runs of one Airflow.

    Args:
        session: Logged in.
        runs: Its dag runs.
        dag_id: The cancellation DAG.
    """

    def __init__(self, session: Session, runs: Runs, *, dag_id: str) -> None:
        self._session = session
        self._runs = runs
        self._dag_id = dag_id
        self._dags = DAGApi(session.client)
        self._dag_runs = DagRunApi(session.client)
        self._dag_tasks = TaskApi(session.client)
        self._tasks = TaskInstanceApi(session.client)

    def trigger(self, dag_id: str, run_id: str, reason: str) -> None:
        """Trigger the cancellation DAG, unless it is known that it would not run.

        Raises:
            DagRefused: It is missing, broken or paused.
        """
        by = self._dag_id
        try:
            dag = self._session.ask(lambda: self._dags.get_dag_without_preload_content(by, _request_timeout=TIMEOUT))
        except Answer as answer:
            if answer.status == 404:
                raise DagRefused(f"the cancellation DAG {by} is not in Airflow") from answer
            raise
        if dag["is_paused"]:
            raise DagRefused(f"the cancellation DAG {by} is paused")
        conf = {"dag_id": dag_id, "dag_run_id": run_id, "reason": reason}
        try:
            self._runs.submit(by, cancel_run_id(run_id), conf, reason)
        except (DagNotFound, DagImportError, ValidationFailed) as error:
            # Its file is the platform's, and the message is for a tenant.
            log.warning("the cancellation DAG %s can't be run: %s", by, error)
            raise DagRefused(f"the cancellation DAG {by} can't be run ({error.reason})") from error

    def at_work(self, run_id: str) -> bool:
        """Whether the cancellation DAG's task has begun: Airflow calls a run running as soon as it is scheduled, slot or no slot."""
        return any(task.state in ACTIVE_TASK for task in self._runs.tasks(self._dag_id, cancel_run_id(run_id)))

    def cancel(self, dag_id: str, run_id: str) -> None:
        """Fail what is unfinished, then the run, through REST."""
        unfinished = [
            (row["task_id"], row["map_index"])
            for row in self._runs.task_rows(dag_id, run_id)
            if task_state(row.get("state")) not in FINISHED_TASK
        ]
        enough = time.monotonic() + ONE_BY_ONE_SECONDS
        groups = upstream_first(unfinished, self._downstream(dag_id))
        for keys in (group[start : start + PAGE] for group in groups for start in range(0, len(group), PAGE)):
            if time.monotonic() > enough:
                break
            entities = [{"task_id": task_id, "map_index": index, "new_state": "failed"} for task_id, index in keys]
            action = {"action": "update", "entities": entities, "action_on_non_existence": "skip"}
            body = BulkBodyBulkTaskInstanceBody.from_dict({"actions": [action]})
            try:
                result = self._session.ask(
                    lambda body=body: self._tasks.bulk_task_instances_without_preload_content(  # type: ignore[misc]
                        dag_id, run_id, body, _request_timeout=TIMEOUT
                    )
                )
            except (Answer, AirflowUnavailable) as error:
                # Setting the run failed ends them too; it is one row, where these may be thousands.
                log.warning("run %s: task instances were not set failed one by one: %s", run_id, error)
                break
            for refused in (result.get("update") or {}).get("errors") or ():
                log.info("run %s: a task instance was not set failed: %s", run_id, refused)
        self._fail(dag_id, run_id)

    def drop(self, run_id: str) -> None:
        """End the cancellation run of a run that is over, where it never got a slot: started later, it would find nothing to do."""
        cancellation = self._runs.get(self._dag_id, cancel_run_id(run_id))
        if cancellation is not None and cancellation.state is RunState.QUEUED:
            self._fail(self._dag_id, cancel_run_id(run_id))

    def _downstream(self, dag_id: str) -> dict[str, list[str]]:
        """For each task of the DAG, the tasks directly downstream; nothing when the DAG is gone."""
        try:
            page = self._session.ask(
                lambda: self._dag_tasks.get_tasks_without_preload_content(dag_id, _request_timeout=TIMEOUT)
            )
        except Answer as answer:
            if answer.status == 404:
                return {}
            raise
        return {task["task_id"]: task.get("downstream_task_ids") or [] for task in page["tasks"]}

    def _fail(self, dag_id: str, run_id: str) -> None:
        body = DAGRunPatchBody(state="failed")
        try:
            self._session.ask(
                lambda: self._dag_runs.patch_dag_run_without_preload_content(
                    dag_id, run_id, body, _request_timeout=TIMEOUT
                )
            )
        except Answer as answer:
            if answer.status not in (404, 409):
                raise
