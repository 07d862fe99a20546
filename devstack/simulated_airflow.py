"""The simulated Airflow of the benchmarks, as a component of the stack. The component replaces a
real Airflow and its database. The component starts faster than a real Airflow, and needs much less
memory.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping

from devstack import http
from devstack.airflow import USER
from devstack.bootstrap import ENVIRONMENT, ROOT
from devstack.component import Component, Step
from devstack.ports import HOST, Ports
from devstack.processes import Command
from devstack.secrets_file import Secrets

OPTIONS = "SIMULATED_AIRFLOW_OPTIONS"
"""The environment variable with options of ``python -m benchmarks.simulated_airflow``, in addition
to the stack's own options.
"""


class SimulatedAirflow:
    """The simulated Airflow of one stack.

    Args:
        options: Additional command line options of ``python -m benchmarks.simulated_airflow``, as
            one text.
    """

    api = "airflow-simulated"
    """The name of the component that serves Airflow's REST API."""

    def __init__(self, ports: Ports, secrets: Secrets, *, kafka_servers: str, topic: str, options: str) -> None:
        self._ports = ports
        self._secrets = secrets
        self._kafka_servers = kafka_servers
        self._topic = topic
        self._options = options

    @property
    def url(self) -> str:
        """The URL of the REST API."""
        return f"http://{HOST}:{self._ports['airflow']}"

    @property
    def password(self) -> str:
        """The password of `admin`, the only user."""
        return self._secrets["airflow-password"]

    def parts(self) -> list[Component | Step]:
        """Return the components of the simulated Airflow."""
        return [
            Component(
                self.api,
                self._command,
                lambda: http.get(f"{self.url}/api/v2/version") is not None,
                needs=("topics",),
                ports=("airflow",),
            )
        ]

    def environment(self) -> Mapping[str, str]:
        """Return an empty mapping, because the simulated Airflow has no command `airflow`. The
        class for a real Airflow returns the environment variables of this command.
        """
        return {}

    def _command(self) -> Command:
        return Command(
            (
                str(ENVIRONMENT / "bin" / "python"), "-m", "benchmarks.simulated_airflow",
                "--port", str(self._ports["airflow"]),
                "--user", USER,
                "--brokers", self._kafka_servers,
                "--topic", self._topic,
                *shlex.split(self._options),
            ),
            {
                "SIMULATED_AIRFLOW_PASSWORD": self.password,
                "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
            },
        )  # fmt: skip
