"""Airflow's REST API as cancelling needs it, over apache-airflow-client, and how to reach it.

The address and the credentials are those of an Airflow Connection. Every request has a timeout: the client has none. Answers are taken as JSON, not
as the client's models, which refuse what another version of Airflow than their own says (``docs/adr/0005``).
Foreign errors end here: what is not there becomes ``None`` or an empty answer, everything else is an
:class:`AirflowApiError` that says which request failed.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mljob_airflow.cancellation.runs import Task, TaskInstance
from mljob_airflow.rest.paging import pages

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_SECONDS = 5.0
READ_TIMEOUT_SECONDS = 60.0
"""Failing a batch of task instances takes a busy Airflow seconds, not milliseconds."""


class AirflowApiError(Exception):
    """A request to Airflow's REST API that did not work; ``status`` is ``None`` when there was no answer."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where Airflow's API server is, and who asks.

    Attributes:
        base_url: The API server's URL, without ``/api/v2``.
        login: User name; without one, ``password`` is a bearer token.
        password: The user's password, or the token.
        verify_tls: Whether the server's certificate is checked.
        ca_file: PEM file of the authorities to check it against; ``None`` for the system's.
    """

    base_url: str
    login: str | None
    password: str | None
    verify_tls: bool = True
    ca_file: str | None = None

    @classmethod
    def from_connection(cls, connection: Any) -> Endpoint:
        """Read an Airflow Connection.

        ``host`` is a URL (``https://airflow.example/base``) or a host name, which ``schema`` (``http`` by default) and
        ``port`` complete. The extra may have ``verify``: ``false``, or the path of a CA file.
        """
        host = connection.host or ""
        if not host:
            raise ValueError("the Airflow Connection has no host: it must be the URL of Airflow's API server")
        if "://" not in host:
            host = f"{connection.schema or 'http'}://{host}"
        if connection.port:
            host = f"{host.rstrip('/')}:{connection.port}"
        verify = (connection.extra_dejson or {}).get("verify", True)
        return cls(
            base_url=host.rstrip("/"),
            login=connection.login or None,
            password=connection.password or None,
            verify_tls=verify is not False,
            ca_file=verify if isinstance(verify, str) else None,
        )


class AirflowRuns:
    """Runs of a real Airflow; implements :class:`mljob_airflow.cancellation.runs.Runs`."""

    def __init__(self, endpoint: Endpoint) -> None:
        from airflow_client import client

        self._client = client
        api_client = connect(endpoint)
        self._dag_runs = client.DagRunApi(api_client)
        self._task_instances = client.TaskInstanceApi(api_client)
        self._tasks = client.TaskApi(api_client)

    def state(self, dag_id: str, dag_run_id: str) -> str | None:
        """The run's state, or ``None`` when there is no such run."""
        try:
            state: str | None = self._run(dag_id, dag_run_id)["state"]
        except AirflowApiError as error:
            if error.status == 404:
                return None
            raise
        return state

    def tasks(self, dag_id: str) -> Sequence[Task]:
        """The DAG's tasks; nothing when the DAG is gone."""
        try:
            answer = ask(f"list tasks of {dag_id}", self._tasks.get_tasks_without_preload_content, dag_id)
        except AirflowApiError as error:
            if error.status == 404:
                return []
            raise
        return [
            Task(task["task_id"], tuple(task.get("downstream_task_ids") or ()), task.get("trigger_rule"))
            for task in answer["tasks"]
        ]

    def task_instances(self, dag_id: str, dag_run_id: str) -> Iterator[TaskInstance]:
        """All task instances of the run, of all pages."""
        what, method = (
            f"list task instances of {dag_run_id}",
            self._task_instances.get_task_instances_without_preload_content,
        )
        for page in pages("task_instances", lambda place: ask(what, method, dag_id, dag_run_id, **place)):
            yield from (TaskInstance(row["task_id"], row["map_index"], row["state"]) for row in page.rows)

    def fail_task_instances(self, dag_id: str, dag_run_id: str, instances: Sequence[TaskInstance]) -> list[str]:
        """Set them failed, and say what did not work. Already failed, or gone, is not worth saying."""
        if self._fail_together(dag_id, dag_run_id, instances):
            return []
        errors = [self._fail_one(dag_id, dag_run_id, instance) for instance in instances]
        return [error for error in errors if error]

    def fail_run(self, dag_id: str, dag_run_id: str, note: str) -> None:
        """Set the run failed, and add a line to its note, which holds 1,000 characters."""
        try:
            run = self._run(dag_id, dag_run_id)
            body = self._client.DAGRunPatchBody(state="failed", note=f"{run.get('note') or ''}\n{note}".strip()[:1000])
            method = self._dag_runs.patch_dag_run_without_preload_content
            ask(f"fail run {dag_run_id}", method, dag_id, dag_run_id, body)
        except AirflowApiError as error:
            if error.status not in {404, 409}:
                raise

    def _run(self, dag_id: str, dag_run_id: str) -> Mapping[str, Any]:
        return ask(f"get run {dag_run_id}", self._dag_runs.get_dag_run_without_preload_content, dag_id, dag_run_id)

    def _fail_together(self, dag_id: str, dag_run_id: str, batch: Sequence[TaskInstance]) -> bool:
        """Fail a batch in one request; whether all of it worked.

        Airflow ends a batch at its first refusal (one already failed suffices), and commits what it did before.
        """
        if len(batch) == 1:
            return False
        body = {
            "actions": [
                {
                    "action": "update",
                    "action_on_non_existence": "skip",
                    "entities": [
                        {"task_id": instance.task_id, "map_index": instance.map_index, "new_state": "failed"}
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
            return False
        return answer.get("update") is not None and not answer["update"].get("errors")

    def _fail_one(self, dag_id: str, dag_run_id: str, instance: TaskInstance) -> str | None:
        body = self._client.PatchTaskInstanceBody(new_state="failed")
        what = f"fail {instance.task_id}"
        try:
            if instance.map_index >= 0:
                ask(
                    f"{what}[{instance.map_index}]",
                    self._task_instances.patch_task_instance_by_map_index_without_preload_content,
                    dag_id,
                    dag_run_id,
                    instance.task_id,
                    instance.map_index,
                    body,
                )
            else:
                method = self._task_instances.patch_task_instance_without_preload_content
                ask(what, method, dag_id, dag_run_id, instance.task_id, body)
        except AirflowApiError as error:
            if error.status == 409:
                # Already failed: somebody was faster.
                return None
            if error.status == 404:
                # The DAG has lost this task, or a mapped task was expanded meanwhile. The next round sees what is there.
                return str(error)
            raise
        return None


def request(what: str, method: Callable[..., Any], *path: Any, **query: Any) -> Any:
    """The answer to a request as it is, a ``urllib3.HTTPResponse``.

    Args:
        what: What is asked for, for the text of an error: ``list pools``.
        method: One of the client's that end in ``_without_preload_content``.
        path: What its URL is made from.
        query: Its query parameters.

    Raises:
        AirflowApiError: There was no answer, or another than 200.
    """
    from urllib3.exceptions import HTTPError

    try:
        response = method(*path, **query, _request_timeout=(CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS))
    except HTTPError as error:
        raise AirflowApiError(f"could not {what}: {error}") from error
    if response.status != 200:
        raise AirflowApiError(f"could not {what}: {response.status} {detail(response.data)}", response.status)
    return response


def ask(what: str, method: Callable[..., Any], *path: Any, **query: Any) -> Mapping[str, Any]:
    """The JSON of the answer to a :func:`request`."""
    answer: Mapping[str, Any] = json.loads(request(what, method, *path, **query).data)
    return answer


def connect(endpoint: Endpoint) -> Any:
    """The client, logged in: an ``airflow_client.client.ApiClient``."""
    # Late: the client takes a second and 50 MB, and only tasks that speak to Airflow need it.
    from airflow_client import client

    configuration = client.Configuration(host=endpoint.base_url)
    configuration.verify_ssl = endpoint.verify_tls
    if endpoint.ca_file:
        configuration.ssl_ca_cert = endpoint.ca_file
    configuration.access_token = fetch_token(endpoint) if endpoint.login else endpoint.password
    return client.ApiClient(configuration)


def fetch_token(endpoint: Endpoint) -> str:
    """Log in: exchange login and password for a token (Airflow docs: "Public API", authentication)."""
    import urllib3

    url = f"{endpoint.base_url}/auth/token"
    pool = urllib3.PoolManager(
        cert_reqs="CERT_REQUIRED" if endpoint.verify_tls else "CERT_NONE", ca_certs=endpoint.ca_file
    )
    try:
        answer = pool.request(
            "POST",
            url,
            body=json.dumps({"username": endpoint.login, "password": endpoint.password}),
            headers={"Content-Type": "application/json"},
            timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT_SECONDS, read=READ_TIMEOUT_SECONDS),
        )
    except urllib3.exceptions.HTTPError as error:
        raise AirflowApiError(f"could not log in at {url}: {error}") from error
    if answer.status not in {200, 201}:
        raise AirflowApiError(f"could not log in at {url} as {endpoint.login}: {answer.status}", answer.status)
    token: Mapping[str, str] = json.loads(answer.data)
    return token["access_token"]


def detail(body: Any) -> str:
    """What Airflow says about an error, or the beginning of whatever it answered."""
    try:
        return str(json.loads(body)["detail"])
    except (KeyError, TypeError, ValueError):
        return (body.decode(errors="replace") if isinstance(body, bytes) else str(body or ""))[:200]
