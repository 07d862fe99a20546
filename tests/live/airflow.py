from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

import urllib3

from tests.live.eventually import eventually

PAGE = 100
READ_TIMEOUT = 120
"""The longest wait for a response, in seconds. After a start, Airflow's API server builds its
execution API when the first task runs. On a busy machine, the server answers no other request
during most of that wait.
"""
OVER = ("success", "failed")
"""The terminal states of a run."""


class AirflowRest:
    def __init__(self, url: str, user: str, password: str) -> None:
        self.url = url
        self._credentials = {"username": user, "password": password}
        self._http = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(connect=5, read=READ_TIMEOUT))
        self._token: str | None = None

    def close(self) -> None:
        self._http.clear()

    def token(self) -> str:
        self.get("/dags", limit=1)
        assert self._token is not None
        return self._token

    def request(self, method: str, path: str, body: object = None, **query: object) -> tuple[int, Any]:
        if self._token is None:
            answer = self._http.request("POST", f"{self.url}/auth/token", json=self._credentials)
            self._token = answer.json()["access_token"]
        fields = {name: value for name, value in query.items() if value is not None}
        url = f"{self.url}/api/v2{path}" + (f"?{urlencode(fields, doseq=True)}" if fields else "")
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        content = None if body is None else json.dumps(body)
        answer = self._http.request(method, url, headers=headers, body=content)
        return answer.status, answer.json() if answer.data else None

    def get(self, path: str, **query: object) -> Any:
        status, body = self.request("GET", path, **query)
        assert status == 200, f"GET {path}: {status} {body}"
        return body

    def dags(self, **query: object) -> dict[str, dict[str, Any]]:
        return {dag["dag_id"]: dag for dag in self._all("/dags", "dags", **query)}

    def pause(self, dag_id: str, *, paused: bool) -> None:
        """Pause or unpause a DAG. While Airflow does not know the DAG yet, repeat the request for up
        to two minutes.
        """

        def patched() -> bool:
            status, body = self.request("PATCH", f"/dags/{dag_id}", {"is_paused": paused})
            assert status == 200, body
            return True

        eventually(patched, f"{dag_id} is {'paused' if paused else 'unpaused'}", within=120)

    def run(self, dag_id: str, run_id: str) -> dict[str, Any] | None:
        status, body = self.request("GET", f"/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}")
        assert status in (200, 404), body
        return body if status == 200 else None

    def ended(self, dag_id: str, run_id: str) -> dict[str, Any]:
        """Wait until Airflow has stored the end of a run, and return the run.

        Airflow sends the event about the end of a run before Airflow stores the end. If a run is
        cleared between these two times, the run keeps its terminal state and never runs again.
        """

        def over() -> dict[str, Any] | None:
            run = self.run(dag_id, run_id)
            assert run is not None, f"Airflow has no run {run_id}"
            return run if run["state"] in OVER else None

        run = eventually(over, f"{run_id} is over in Airflow")
        assert run is not None
        return run

    def runs(self, prefix: str) -> list[dict[str, Any]]:
        # Airflow ignores punctuation at the end of a prefix, and so finds more.
        rows = self._all("/dags/~/dagRuns", "dag_runs", run_id_prefix_pattern=prefix)
        return [row for row in rows if row["dag_run_id"].startswith(prefix)]

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        return self._all(f"/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}/taskInstances", "task_instances")

    def end(self, dag_id: str, run_id: str) -> None:
        """Set a run to failed. Airflow refuses the request while the scheduler changes the run, so
        repeat the request until Airflow answers 200, 404 or 409.
        """
        path = f"/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}"
        eventually(
            lambda: self.request("PATCH", path, {"state": "failed"})[0] in (200, 404, 409), f"{run_id} is set failed"
        )

    def _all(self, path: str, field: str, **query: object) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        while True:
            page: Mapping[str, Any] = self.get(path, limit=PAGE, offset=len(rows), **query)
            rows += page[field]
            if len(page[field]) < PAGE:
                return rows
