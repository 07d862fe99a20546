from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import urllib3
from prometheus_client.parser import text_string_to_metric_families

from devstack.operator_process import NAMESPACE, RELEASE
from devstack.ports import HOST
from devstack.processes import Command, Launch, ManagedProcess
from devstack.stack import Stack
from tests.live.eventually import eventually
from tests.live.kubernetes_api import KubernetesApi

LOG_LINES = 40
SHARED_BY_REPLICAS = ("MLJOB_RUN_ID_PREFIX", "MLJOB_KAFKA_GROUP_ID", "MLJOB_LEASE_NAME")
"""The variables that distinguish operators, and that the replicas of one operator share."""


def grant_leases(kubeconfig: Path) -> None:
    """Let the chart's ServiceAccount change all Leases of the operators' namespace. The chart
    grants the Lease of its release only, but each operator of the tests has a Lease of its own.
    """
    api, rbac = KubernetesApi.of(kubeconfig), "rbac.authorization.k8s.io"
    rules = [{"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "patch"]}]
    subject = {"kind": "ServiceAccount", "name": RELEASE, "namespace": NAMESPACE}
    role = {"apiGroup": rbac, "kind": "Role", "name": "test-leases"}
    for kind, content in (("Role", {"rules": rules}), ("RoleBinding", {"roleRef": role, "subjects": [subject]})):
        body = {"apiVersion": f"{rbac}/v1", "kind": kind, "metadata": {"name": "test-leases"}, **content}
        path = f"/apis/{rbac}/v1/namespaces/{NAMESPACE}/{kind.lower()}s/test-leases"
        refusal = api.apply(path, body, manager="tests")
        assert refusal is None, refusal


class OperatorProcess:
    """A process of ``python -m mljob_operator`` on the stack, with the rights of the chart's
    ServiceAccount.

    Args:
        stack: The stack that the operator uses.
        name: A name that is unique in the stack. The consumer group, the Lease and the run ids
            contain this name.
        namespaces: The value of ``MLJOB_NAMESPACES``.
        overrides: Environment variables that replace the usual variables.
        launch: Starts the process. By default, a new Python interpreter is started.
    """

    def __init__(
        self,
        stack: Stack,
        name: str,
        namespaces: str,
        overrides: Mapping[str, str] | None = None,
        launch: Launch | None = None,
    ) -> None:
        self.name = name
        self._stack = stack
        self._namespaces = namespaces
        self._overrides = dict(overrides or {})
        self._launch = launch
        self._process = ManagedProcess(stack.directory, f"operator-{name}")
        self._http = urllib3.PoolManager(retries=False, timeout=5)
        self._replicas: list[OperatorProcess] = []
        # An operator of an interrupted session may still read the topic and hold the port.
        self._process.stop()
        self._log_begins = self._process.log.stat().st_size if self._process.log.exists() else 0

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self._stack.ports[f'operator-{self.name}']}"

    @property
    def prefix(self) -> str:
        """The prefix of the operator's run ids."""
        return self._overrides.get("MLJOB_RUN_ID_PREFIX", self.name)

    def environment(self) -> dict[str, str]:
        return (
            self._stack.operator_env()
            | {
                "MLJOB_NAMESPACES": self._namespaces,
                "MLJOB_RUN_ID_PREFIX": self.prefix,
                "MLJOB_KAFKA_GROUP_ID": f"test-{self.name}",
                "MLJOB_LEASE_NAME": f"test-{self.name}",
                # AirflowInstances are cluster-scoped, so of all operators on a stack only some
                # handle them.
                "MLJOB_AIRFLOW_INSTANCES": "false",
                "MLJOB_HTTP_PORT": str(self._stack.ports[f"operator-{self.name}"]),
                "MLJOB_LOG_FORMAT": "json",
            }
            | self._overrides
        )

    def start(self, **overrides: str) -> OperatorProcess:
        """Start the operator, and wait until the operator is ready. The environment variables
        ``overrides`` also apply to later starts.
        """
        self._overrides |= overrides
        self.begin("-m", "mljob_operator")
        eventually(self.is_ready, f"operator {self.name} is ready", within=180, evidence=self.log_end)
        return self

    def start_refused(self, **overrides: str) -> None:
        """Start the operator, and wait until the operator has ended by itself, for example because
        of its settings. The environment variables ``overrides`` also apply to later starts.
        """
        self._overrides |= overrides
        self.begin("-m", "mljob_operator")
        eventually(lambda: not self.runs, f"operator {self.name} has ended", within=180, evidence=self.log_end)

    def begin(self, *program: str) -> None:
        """Start the process without waiting until the operator is ready. ``program`` contains the
        arguments of the Python interpreter, for example ``-m mljob_operator``.
        """
        self._process.start(Command((sys.executable, *program), self.environment()), self._launch)

    def replica(self) -> OperatorProcess:
        """Return one more replica of this operator. The caller has to start the replica. A call of
        :meth:`stop` on this object also stops the replica.
        """
        shared = {name: self.environment()[name] for name in SHARED_BY_REPLICAS}
        name = f"{self.name}-{len(self._replicas) + 2}"
        another = OperatorProcess(self._stack, name, self._namespaces, self._overrides | shared, self._launch)
        self._replicas.append(another)
        return another

    def stop(self) -> None:
        for each in (*self._replicas, self):
            each._process.stop()
            each._http.clear()

    def kill(self, *, frees_the_lease: bool = True) -> None:
        """Kill this process with SIGKILL. Other replicas of the operator continue. If
        ``frees_the_lease`` is true, also remove the holder from the operator's Lease, so that
        another process can become the leader at once. Otherwise, the killed leader holds the Lease
        until the Lease expires.
        """
        self._process.kill()
        if frees_the_lease:
            lease = (
                f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/{self.environment()['MLJOB_LEASE_NAME']}"
            )
            KubernetesApi.of(self._stack.kubeconfig).patch(lease, {"spec": {"holderIdentity": ""}})

    def signal(self, number: int) -> None:
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def leads(self) -> bool:
        return self.runs and self.get("/metrics")[0] == 200 and self.metrics()[("mljob_leader",)] == 1

    @property
    def runs(self) -> bool:
        return self._process.pid is not None

    def cpu_seconds(self) -> float:
        times = psutil.Process(self._process.pid).cpu_times()
        return times.user + times.system

    def get(self, path: str) -> tuple[int, str]:
        """Return the HTTP status and the body of the operator's answer. If there is no answer,
        return 0 and the text of the error.
        """
        try:
            answer = self._http.request("GET", self.url + path)
        except urllib3.exceptions.HTTPError as error:
            return 0, str(error)
        return answer.status, answer.data.decode()

    def is_ready(self) -> bool:
        assert self.runs, f"operator {self.name} has ended"
        return self.get("/readyz")[0] == 200

    def metrics(self) -> dict[tuple[str, ...], float]:
        """Return the values of the operator's metrics. A key is the metric's name followed by the
        values of its labels, such as ``("mljob_events_total", "applied")``.
        """
        status, text = self.get("/metrics")
        assert status == 200, text
        return {
            (sample.name, *sample.labels.values()): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def requests(self) -> dict[str, float]:
        """Return how many operations on Airflow's REST API have ended so far, by the operation's
        name. Failed operations count too.
        """
        found: dict[str, float] = {}
        for key, value in self.metrics().items():
            if key[0] == "mljob_airflow_request_seconds_count":
                found[key[2]] = found.get(key[2], 0) + value
        return found

    def log(self) -> list[str]:
        """Return the lines that the operator has logged since this object was created."""
        with self._process.log.open("rb") as file:
            file.seek(self._log_begins)
            return file.read().decode(errors="replace").splitlines()

    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log() if line.startswith("{")]

    def log_end(self) -> str:
        return "\n".join([f"--- the end of {self._process.log}", *self.log()[-LOG_LINES:]])
