"""Small clients of the Kubernetes API and of Airflow's REST API. The usual client libraries would
add their own costs to the measurements.
"""

from __future__ import annotations

import base64
import json
import ssl
import time
from collections import Counter
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3

from devstack.operator_process import RELEASE
from mljob_contract.mljob import KIND, PLURAL
from mljob_contract.resource import API_VERSION, GROUP, VERSION

MERGE_PATCH = "application/merge-patch+json"
PAGE = 500
POLICY_WITHIN = 60.0
"""The seconds within which the API server must take notice of a changed policy."""
_EVERYWHERE = f"/apis/{GROUP}/{VERSION}/{PLURAL}"
_POLICY_BINDINGS = "/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicybindings"


class ServerError(RuntimeError):
    """A server answered with an unexpected status code."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """The URL of the Kubernetes API, a user's token and the CA certificate."""

    server: str
    token: str
    authority: str

    @classmethod
    def of(cls, kubeconfig: Path) -> Credentials:
        """Read the credentials from the kubeconfig of a development stack. This kubeconfig is JSON."""
        content = json.loads(kubeconfig.read_text())
        cluster, user = content["clusters"][0]["cluster"], content["users"][0]["user"]
        return cls(cluster["server"], user["token"], base64.b64decode(cluster["certificate-authority-data"]).decode())

    def tls(self) -> ssl.SSLContext:
        """Return a TLS context that trusts only the cluster's CA certificate."""
        return ssl.create_default_context(cadata=self.authority)

    def headers(self, content_type: str = "application/json") -> dict[str, str]:
        """Return the headers of a request with the token and the content type."""
        return {"Authorization": f"Bearer {self.token}", "Content-Type": content_type}


def path_of(namespace: str, name: str = "", subresource: str = "") -> str:
    """Return the URL path of an MLJob or its subresource in the Kubernetes API. Without a name,
    return the path of all MLJobs in the namespace.
    """
    parts = ["", "apis", GROUP, VERSION, "namespaces", namespace, PLURAL, name, subresource]
    return "/".join(parts).rstrip("/")


class Cluster:
    """A client of the Kubernetes API for MLJobs."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._pool = urllib3.PoolManager(ssl_context=credentials.tls(), maxsize=2, retries=False)

    def make_namespace(self, name: str) -> None:
        """Create a namespace, unless the namespace exists already."""
        self._request("POST", "/api/v1/namespaces", {"metadata": {"name": name}}, accept=(201, 409))

    def create(self, namespace: str, name: str, dag_id: str) -> None:
        """Create an MLJob, unless the MLJob exists already."""
        body = {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"dagId": dag_id, "type": "Training"},
        }
        self._request("POST", path_of(namespace), body, accept=(201, 409))

    @contextmanager
    def without_admission_policy(self, namespace: str) -> Iterator[None]:
        """Suspend the chart's MutatingAdmissionPolicy during the ``with`` block: the API server
        does not add the operator's finalizer to new MLJobs.

        Args:
            namespace: An existing namespace. The method creates MLJobs there with ``dryRun=All``, to
                wait until the API server has taken notice of the change.
        """
        binding = self._request("GET", f"{_POLICY_BINDINGS}/{RELEASE}")
        self._request("DELETE", f"{_POLICY_BINDINGS}/{RELEASE}")
        self._wait_for_finalizer(namespace, added=False)
        try:
            yield
        finally:
            metadata = {"name": RELEASE, "labels": binding["metadata"]["labels"]}
            self._request("POST", _POLICY_BINDINGS, {**binding, "metadata": metadata}, accept=(201,))
            self._wait_for_finalizer(namespace, added=True)

    def _wait_for_finalizer(self, namespace: str, *, added: bool) -> None:
        body = {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": "dry-run"}, "spec": {"dagId": "none"}}
        path = f"{path_of(namespace)}?dryRun=All"
        deadline = time.monotonic() + POLICY_WITHIN
        # For some seconds after the CRDs were installed, the API server answers 503.
        while (created := self._request("POST", path, body, accept=(201, 503)))["kind"] != KIND or (
            "finalizers" in created["metadata"]
        ) is not added:
            if time.monotonic() > deadline:
                raise ServerError(f"the API server has not taken notice of {_POLICY_BINDINGS}/{RELEASE}")
            time.sleep(0.1)

    def list(self, namespace: str) -> list[dict[str, Any]]:
        """Return all MLJobs of a namespace."""
        found: list[dict[str, Any]] = []
        token = ""
        while True:
            page = self._request("GET", f"{path_of(namespace)}?limit={PAGE}&continue={token}")
            found += page["items"]
            token = page["metadata"].get("continue") or ""
            if not token:
                return found

    def version(self) -> str:
        """Return the resource version from which a watch of all MLJobs can start."""
        return str(self._request("GET", f"{_EVERYWHERE}?limit=1")["metadata"]["resourceVersion"])

    def metrics(self) -> str:
        """Return the metrics of the Kubernetes API server, in Prometheus' text format."""
        headers = self._credentials.headers()
        answer = self._pool.request("GET", f"{self._credentials.server}/metrics", headers=headers, timeout=60)
        if answer.status != 200:
            raise ServerError(f"the Kubernetes API answered {answer.status} to GET /metrics: {answer.data[:300]!r}")
        return answer.data.decode()

    def watch(self, version: str) -> Generator[bytes]:
        """Watch all MLJobs from a resource version. Yield bytes as they arrive, until the server
        ends the watch.
        """
        response = self._pool.request(
            "GET",
            f"{self._credentials.server}{_EVERYWHERE}?watch=1&resourceVersion={version}&timeoutSeconds=3600",
            headers=self._credentials.headers(),
            preload_content=False,
            timeout=urllib3.Timeout(connect=5, read=None),
            # For some seconds after the CRDs were installed, the API server answers 429.
            retries=urllib3.Retry(30, connect=0, read=0, status_forcelist=(429,), raise_on_status=False),
        )
        if response.status != 200:
            raise ServerError(f"the Kubernetes API answered {response.status} to the watch: {response.read()[:300]!r}")
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
            raise ServerError(
                f"the Kubernetes API answered {response.status} to {method} {path}: {response.data[:300]!r}"
            )
        return response.json()


class Airflow:
    """A client of Airflow's REST API. The methods :meth:`requests`, :meth:`runs`, :meth:`ends` and
    :meth:`set_faults` need the simulated Airflow of the benchmarks.
    """

    def __init__(self, url: str, user: str, password: str) -> None:
        self._url = url
        self._pool = urllib3.PoolManager(maxsize=2, retries=False)
        self._headers: dict[str, str] = {}
        login = self._request("POST", "/auth/token", {"username": user, "password": password}, accept=201)
        self._headers = {"Authorization": f"Bearer {login['access_token']}"}

    def knows(self, dag_id: str) -> bool:
        """Return whether Airflow has parsed the file of the DAG."""
        answer = self._pool.request("GET", f"{self._url}/api/v2/dags/{dag_id}", headers=self._headers, timeout=15)
        return answer.status == 200

    def trigger(self, dag_id: str, run_id: str) -> None:
        """Trigger a run."""
        self._request("POST", f"/api/v2/dags/{dag_id}/dagRuns", {"dag_run_id": run_id, "logical_date": None})

    def state(self, dag_id: str, run_id: str) -> str:
        """Return Airflow's state of a run."""
        return str(self._request("GET", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}")["state"])

    def fail(self, dag_id: str, run_id: str) -> None:
        """Set a run to failed."""
        self._request("PATCH", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}", {"state": "failed"})

    def requests(self) -> Counter[str]:
        """Return how many requests the simulated Airflow has answered, by route and status."""
        return Counter(self._request("GET", "/simulation")["requests"])

    def runs(self, dag_id: str) -> int:
        """Return how many runs of a DAG the simulated Airflow has."""
        return int(self._request("GET", "/simulation")["runs"].get(dag_id, 0))

    def ends(self) -> dict[str, float]:
        """Return the time at which each run ended in the simulated Airflow, by run id, in seconds
        of the monotonic clock.
        """
        ends: dict[str, float] = self._request("GET", "/simulation/ends")
        return ends

    def task_ends(self) -> dict[str, list[float]]:
        """Return when the tasks of each run succeeded in the simulated Airflow, by run id, in
        seconds of the monotonic clock. The task that succeeded first comes first.
        """
        ends: dict[str, list[float]] = self._request("GET", "/simulation/task-ends")
        return ends

    def set_faults(self, faults: Mapping[str, Any]) -> None:
        """Replace the faults of the simulated Airflow (:class:`.simulated_airflow.faults.Faults`)."""
        self._request("PUT", "/simulation/faults", faults)

    def _request(self, method: str, path: str, body: Any = None, accept: int = 200) -> Any:
        answer = self._pool.request(method, self._url + path, headers=self._headers, json=body, timeout=30)
        if answer.status != accept:
            raise ServerError(f"Airflow answered {answer.status} to {method} {path}: {answer.data[:300]!r}")
        return answer.json()
