"""Operators of the tests' own: the real process, started, killed and asked as a cluster would."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

import psutil
import urllib3
from prometheus_client.parser import text_string_to_metric_families

from devstack.ports import HOST
from devstack.processes import Command, Launch, ManagedProcess
from devstack.stack import Stack
from tests.live.eventually import eventually

LOG_LINES = 40


class OperatorProcess:
    """``python -m mljob_operator`` with the rights of the chart's ServiceAccount.

    Args:
        name: Tells it from the other operators of the stack: its log, its port, its consumer group, its run ids.
        namespaces: What it watches.
        overrides: Environment variables in which it differs from the stack's own operator.
        launch: Makes the process; None: a Python that begins with the imports.
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
        # One that a session before this one has left behind reads the same topic and holds the same port.
        self._process.stop()
        self._log_begins = self._process.log.stat().st_size if self._process.log.exists() else 0

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self._stack.ports[f'operator-{self.name}']}"

    @property
    def prefix(self) -> str:
        """Of its dag run ids."""
        return self.name

    def environment(self) -> dict[str, str]:
        return (
            self._stack.operator_env()
            | {
                "MLJOB_NAMESPACES": self._namespaces,
                "MLJOB_RUN_ID_PREFIX": self.prefix,
                "MLJOB_KAFKA_GROUP_ID": f"test-{self.name}",
                # They belong to the cluster: of the operators on one stack, those that are told to look after them.
                "MLJOB_AIRFLOW_INSTANCES": "false",
                "MLJOB_HTTP_PORT": str(self._stack.ports[f"operator-{self.name}"]),
                "MLJOB_LOG_FORMAT": "json",
            }
            | self._overrides
        )

    def start(self, **overrides: str) -> OperatorProcess:
        """Start it, with variables changed if need be, and wait until it is ready."""
        self._overrides |= overrides
        self.begin("-m", "mljob_operator")
        eventually(self.is_ready, f"operator {self.name} is ready", within=180, evidence=self.log_end)
        return self

    def begin(self, *program: str) -> None:
        """Start this in its place, and don't wait for it."""
        self._process.start(Command((sys.executable, *program), self.environment()), self._launch)

    def stop(self) -> None:
        """Ask it to end, as the kubelet does."""
        self._process.stop()
        self._http.clear()

    def kill(self) -> None:
        """End it as a crash does."""
        self._process.kill()

    @property
    def runs(self) -> bool:
        return self._process.pid is not None

    def cpu_seconds(self) -> float:
        """What it has used since it was started."""
        times = psutil.Process(self._process.pid).cpu_times()
        return times.user + times.system

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of one of its endpoints; status 0 where nothing listens."""
        try:
            answer = self._http.request("GET", self.url + path)
        except urllib3.exceptions.HTTPError as error:
            return 0, str(error)
        return answer.status, answer.data.decode()

    def is_ready(self) -> bool:
        assert self.runs, f"operator {self.name} has ended"
        return self.get("/readyz")[0] == 200

    def metrics(self) -> dict[tuple[str, ...], float]:
        """Samples by name and label values: ``("mljob_events_total", "applied")``."""
        status, text = self.get("/metrics")
        assert status == 200, text
        return {
            (sample.name, *sample.labels.values()): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def requests(self) -> dict[str, float]:
        """Operations on Airflow so far, by their names."""
        found: dict[str, float] = {}
        for key, value in self.metrics().items():
            if key[0] == "mljob_airflow_request_seconds_count":
                found[key[2]] = found.get(key[2], 0) + value
        return found

    def log(self) -> list[str]:
        """What it printed in this session."""
        with self._process.log.open("rb") as file:
            file.seek(self._log_begins)
            return file.read().decode(errors="replace").splitlines()

    def records(self) -> list[dict[str, Any]]:
        """Its log lines that are JSON."""
        return [json.loads(line) for line in self.log() if line.startswith("{")]

    def log_end(self) -> str:
        return "\n".join([f"--- the end of {self._process.log}", *self.log()[-LOG_LINES:]])
