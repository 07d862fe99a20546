"""The Kubernetes API and Airflow's, by plain HTTP: a client library between the clock and the wire would be measured too."""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3

from mljob_contract.mljob import API_VERSION, GROUP, KIND, PLURAL, VERSION

MERGE_PATCH = "application/merge-patch+json"
PAGE = 500
_EVERYWHERE = f"/apis/{GROUP}/{VERSION}/{PLURAL}"


class ServerError(RuntimeError):
    """A server answered something that the benchmark can't go on with."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Where the Kubernetes API is, and who asks."""

    server: str
    token: str
    authority: str

    @classmethod
    def of(cls, kubeconfig: Path) -> Credentials:
        """Read from a kubeconfig of the development stack, which is JSON and has one user with a token."""
        content = json.loads(kubeconfig.read_text())
        cluster, user = content["clusters"][0]["cluster"], content["users"][0]["user"]
        return cls(cluster["server"], user["token"], base64.b64decode(cluster["certificate-authority-data"]).decode())

    def tls(self) -> ssl.SSLContext:
        """Trusts this cluster and no other."""
        return ssl.create_default_context(cadata=self.authority)

    def headers(self, content_type: str = "application/json") -> dict[str, str]:
        """For one request."""
        return {"Authorization": f"Bearer {self.token}", "Content-Type": content_type}


def path_of(namespace: str, name: str = "", subresource: str = "") -> str:
    """An MLJob's path, or that of a namespace's MLJobs."""
    parts = ["", "apis", GROUP, VERSION, "namespaces", namespace, PLURAL, name, subresource]
    return "/".join(parts).rstrip("/")


class Cluster:
    """MLJobs in the Kubernetes API."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._pool = urllib3.PoolManager(ssl_context=credentials.tls(), maxsize=2, retries=False)

    def make_namespace(self, name: str) -> None:
        """Create it, unless it is there."""
        self._request("POST", "/api/v1/namespaces", {"metadata": {"name": name}}, accept=(201, 409))

    def create(self, namespace: str, name: str, dag_id: str) -> None:
        """Create an MLJob, unless it is there."""
        body = {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"dagId": dag_id, "type": "Training"},
        }
        self._request("POST", path_of(namespace), body, accept=(201, 409))

    def list(self, namespace: str) -> list[dict[str, Any]]:
        """All MLJobs of a namespace."""
        found: list[dict[str, Any]] = []
        token = ""
        while True:
            page = self._request("GET", f"{path_of(namespace)}?limit={PAGE}&continue={token}")
            found += page["items"]
            token = page["metadata"].get("continue") or ""
            if not token:
                return found

    def version(self) -> str:
        """Where a watch of all MLJobs can begin."""
        return str(self._request("GET", f"{_EVERYWHERE}?limit=1")["metadata"]["resourceVersion"])

    def watch(self, version: str) -> Iterator[bytes]:
        """Every change of every MLJob since that version, as the bytes that arrive; ends when the server ends it."""
        response = self._pool.request(
            "GET",
            f"{self._credentials.server}{_EVERYWHERE}?watch=1&resourceVersion={version}&timeoutSeconds=3600",
            headers=self._credentials.headers(),
            preload_content=False,
            timeout=urllib3.Timeout(connect=5, read=None),
        )
        if response.status != 200:
            raise ServerError(f"the watch was answered {response.status}: {response.read()[:300]!r}")
        yield from response.stream(None)

    def _request(self, method: str, path: str, body: Any = None, accept: tuple[int, ...] = (200,)) -> Any:
        response = self._pool.request(
            method,
            self._credentials.server + path,
            headers=self._credentials.headers(),
            body=None if body is None else json.dumps(body),
            timeout=15,
        )
        if response.status not in accept:
            raise ServerError(f"{method} {path} was answered {response.status}: {response.data[:300]!r}")
        return response.json()


class Airflow:
    """The little that benchmarks ask of Airflow."""

    def __init__(self, url: str, user: str, password: str) -> None:
        self._url = url
        self._pool = urllib3.PoolManager(maxsize=2, retries=False)
        answer = self._pool.request(
            "POST", f"{url}/auth/token", json={"username": user, "password": password}, timeout=15
        )
        if answer.status != 201:
            raise ServerError(f"Airflow answered {answer.status} to the login")
        self._headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}

    def knows(self, dag_id: str) -> bool:
        """Whether the DAG's file has been read."""
        answer = self._pool.request("GET", f"{self._url}/api/v2/dags/{dag_id}", headers=self._headers, timeout=15)
        return answer.status == 200

    def trigger(self, dag_id: str, run_id: str) -> None:
        """Start a run."""
        url = f"{self._url}/api/v2/dags/{dag_id}/dagRuns"
        wanted = {"dag_run_id": run_id, "logical_date": None}
        answer = self._pool.request("POST", url, headers=self._headers, json=wanted, timeout=30)
        if answer.status != 200:
            raise ServerError(f"Airflow answered {answer.status} to POST {url}: {answer.data[:300]!r}")

    def state(self, dag_id: str, run_id: str) -> str:
        """A run's state, in Airflow's word."""
        url = f"{self._url}/api/v2/dags/{dag_id}/dagRuns/{run_id}"
        answer = self._pool.request("GET", url, headers=self._headers, timeout=30)
        if answer.status != 200:
            raise ServerError(f"Airflow answered {answer.status} to GET {url}: {answer.data[:300]!r}")
        return str(answer.json()["state"])

    def fail(self, dag_id: str, run_id: str) -> None:
        """Set a run failed."""
        url = f"{self._url}/api/v2/dags/{dag_id}/dagRuns/{run_id}"
        answer = self._pool.request("PATCH", url, headers=self._headers, json={"state": "failed"}, timeout=30)
        if answer.status != 200:
            raise ServerError(f"Airflow answered {answer.status} to PATCH {url}: {answer.data[:300]!r}")
