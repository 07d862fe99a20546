"""Sends the requests of a cancellation to Airflow's REST API."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from mljob_airflow.cancellation.plan import FINISHED_TASK_STATES, BatchResult, Task, TaskInstance
from mljob_airflow.compatibility import installed_version
from mljob_airflow.rest.client import AirflowApiError, Endpoint, ask, ask_or_none, connect
from mljob_airflow.rest.paging import pages
from mljob_airflow.truncation import truncated
from mljob_contract.cancellation_note import cancellation_line, is_cancelled

log = logging.getLogger(__name__)

MAX_NOTE_LENGTH = 1000
"""The maximum number of characters of a note that Airflow stores, of a run or a task instance."""


class AirflowRuns:
    """Reads and changes dag runs through Airflow's REST API. Implements
    :class:`mljob_airflow.cancellation.runs.Runs`.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        from airflow_client import client

        self._client = client
        api_client = connect(endpoint)
        self._dag_runs = client.DagRunApi(api_client)
        self._task_instances = client.TaskInstanceApi(api_client)
        self._tasks = client.TaskApi(api_client)
        self._versions = client.VersionApi(api_client)

    def state(self, dag_id: str, dag_run_id: str) -> str | None:
        """Return the run's state, or ``None`` if the run does not exist."""
        run = self._run(dag_id, dag_run_id)
        state: str | None = None if run is None else run["state"]
        return state

    def conf(self, dag_id: str, dag_run_id: str) -> Mapping[str, Any]:
        """Return the run's conf. The conf is empty if the run does not exist."""
        conf = (self._run(dag_id, dag_run_id) or {}).get("conf")
        return conf if isinstance(conf, dict) else {}

    def tasks(self, dag_id: str) -> Sequence[Task]:
        """Return the DAG's tasks. The list is empty if the DAG does not exist."""
        answer = ask_or_none(f"list tasks of {dag_id}", self._tasks.get_tasks_without_preload_content, dag_id)
        return [
            Task(task["task_id"], tuple(task.get("downstream_task_ids") or ()), task.get("trigger_rule"))
            for task in (answer or {}).get("tasks", ())
        ]

    def task_instances(self, dag_id: str, dag_run_id: str) -> Iterator[TaskInstance]:
        """Yield all task instances of the run."""
        return self._list(dag_id, dag_run_id)

    def unfinished_task_instances(self, dag_id: str, dag_run_id: str) -> Iterator[TaskInstance]:
        """Yield the task instances of the run that have not ended. If the API server has another
        version of Airflow than this worker, the requests list all task instances of the run,
        because the API server may have other states than this worker.
        """
        query = {"state": unfinished_states()} if self._server_version == installed_version() else {}
        instances = self._list(dag_id, dag_run_id, **query)
        return (instance for instance in instances if instance.state not in FINISHED_TASK_STATES)

    def fail_task_instances(
        self, dag_id: str, dag_run_id: str, instances: Sequence[TaskInstance], reason: str
    ) -> BatchResult:
        """Set task instances to failed, in one request, and add a line with ``reason`` to their
        notes (:mod:`mljob_contract.cancellation_note`). If Airflow reports an error other than 401
        or 403, send one request for each task instance instead. Raise no error for a task instance
        that does not exist or has already failed.

        Return a :class:`BatchResult` with the number of task instances that Airflow set to failed,
        or that had failed already. If Airflow answers 404 to the request for one task instance, the
        BatchResult has an error message about this task instance.

        Raises:
            AirflowApiError: Airflow did not answer, answered 401 or 403, or answered a request for
                one task instance with an error other than 404 or 409.
        """
        failed = self._fail_together(dag_id, dag_run_id, instances, reason)
        if failed is not None:
            return BatchResult(failed)
        results = [self._fail_one(dag_id, dag_run_id, instance, reason) for instance in instances]
        errors = [error for error in results if error]
        return BatchResult(len(instances) - len(errors), errors)

    def fail_run(self, dag_id: str, dag_run_id: str, note: str) -> None:
        """Set the run to failed, and add ``note`` as the last line to the run's note. If the result
        exceeds 1,000 characters, the earlier note is shortened. Raise no error for a run that
        does not exist or has already failed.

        Raises:
            AirflowApiError: Airflow did not answer, or answered with an error other than 404 or
                409.
        """
        run = self._run(dag_id, dag_run_id)
        if run is None:
            return
        body = self._client.DAGRunPatchBody(state="failed", note=_with_line(run.get("note") or "", note))
        method = self._dag_runs.patch_dag_run_without_preload_content
        try:
            ask(f"fail run {dag_run_id}", method, dag_id, dag_run_id, body)
        except AirflowApiError as error:
            # 404: the run was deleted. 409: the run has failed already.
            if error.status not in {404, 409}:
                raise

    @cached_property
    def _server_version(self) -> str | None:
        """The API server's version of Airflow, or ``None`` if the API server does not tell it."""
        try:
            answer = ask("read Airflow's version", self._versions.get_version_without_preload_content)
        except AirflowApiError as error:
            log.info("Listing task instances of all states: %s", error)
            return None
        version: str | None = answer.get("version")
        return version

    def _run(self, dag_id: str, dag_run_id: str) -> Mapping[str, Any] | None:
        method = self._dag_runs.get_dag_run_without_preload_content
        return ask_or_none(f"get run {dag_run_id}", method, dag_id, dag_run_id)

    def _list(self, dag_id: str, dag_run_id: str, **query: Any) -> Iterator[TaskInstance]:
        operation, method = (
            f"list task instances of {dag_run_id}",
            self._task_instances.get_task_instances_without_preload_content,
        )
        for page in pages(
            "task_instances", lambda position: ask(operation, method, dag_id, dag_run_id, **query, **position)
        ):
            yield from (
                TaskInstance(row["task_id"], row["map_index"], row["state"], row["try_number"], row.get("note") or "")
                for row in page.rows
            )

    def _fail_together(self, dag_id: str, dag_run_id: str, batch: Sequence[TaskInstance], reason: str) -> int | None:
        """Set a batch of task instances to failed in one request. Return how many Airflow set to
        failed.

        Return ``None`` if the caller must send a request for each task instance: the batch has only
        one task instance, or Airflow reported an error other than 401 or 403. Some task instances
        may have been set to failed before the error.
        """
        if len(batch) == 1:
            return None
        body = {
            "actions": [
                {
                    "action": "update",
                    "action_on_non_existence": "skip",
                    "entities": [
                        {
                            "task_id": instance.task_id,
                            "map_index": instance.map_index,
                            "new_state": "failed",
                            "note": _note(instance, reason),
                        }
                        for instance in batch
                    ],
                }
            ]
        }
        model = self._client.BulkBodyBulkTaskInstanceBody.from_dict(body)
        try:
            answer = ask(
                f"fail {len(batch)} task instances of {dag_run_id}",
                self._task_instances.bulk_task_instances_without_preload_content,
                dag_id,
                dag_run_id,
                model,
            )
        except AirflowApiError as error:
            if error.status is None or error.status in {401, 403}:
                raise
            log.info("Failing the task instances one by one: %s", error)
            return None
        update = answer.get("update")
        if update is None or update.get("errors"):
            return None
        # The list has an entry for each task instance that was set to failed. The text of an entry
        # differs between the versions of Airflow.
        return len(update.get("success") or ())

    def _fail_one(self, dag_id: str, dag_run_id: str, instance: TaskInstance, reason: str) -> str | None:
        """Set a task instance to failed. Return an error message if Airflow does not find the task
        instance.
        """
        body = self._client.PatchTaskInstanceBody(new_state="failed", note=_note(instance, reason))
        operation = f"fail {instance.task_id}"
        try:
            if instance.map_index >= 0:
                ask(
                    f"{operation}[{instance.map_index}]",
                    self._task_instances.patch_task_instance_by_map_index_without_preload_content,
                    dag_id,
                    dag_run_id,
                    instance.task_id,
                    instance.map_index,
                    body,
                )
            else:
                method = self._task_instances.patch_task_instance_without_preload_content
                ask(operation, method, dag_id, dag_run_id, instance.task_id, body)
        except AirflowApiError as error:
            if error.status == 409:
                # 409 says that the task instance has failed already.
                return None
            if error.status == 404:
                # A new version of the DAG lacks this task, or Airflow has expanded a mapped task
                # meanwhile. The next round lists the task instances again.
                return str(error)
            raise
        return None


def unfinished_states() -> list[str]:
    """Return the states of task instances that have not ended, as values of the query parameter
    ``state``. The value ``none`` stands for no state.

    The states are those of the installed Airflow. An API server with another version of Airflow
    refuses a state that it does not have: Airflow 3.1 has no state ``awaiting_input``.
    """
    from airflow.sdk import TaskInstanceState

    return ["none", *(state.value for state in TaskInstanceState if state.value not in FINISHED_TASK_STATES)]


def _note(instance: TaskInstance, reason: str) -> str:
    if is_cancelled(instance.note, instance.try_number):
        return instance.note
    return _with_line(instance.note, cancellation_line(instance.try_number, reason))


def _with_line(note: str, line: str) -> str:
    # The earlier note is cut, because the line has the reason of the cancellation.
    line = truncated(line, MAX_NOTE_LENGTH)
    room = MAX_NOTE_LENGTH - len(line) - 1
    return f"{truncated(note, room)}\n{line}".strip() if room > 0 else line
