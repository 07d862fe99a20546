"""The operator in the stack. The chart is installed in the cluster with its CRDs and RBAC, and the
operator runs as a process.

The cluster has no kubelet, so the chart's Pod stays Pending. The process uses a token of the
chart's ServiceAccount. So if the chart lacks a permission, the API server refuses the operator's
request, as in a real cluster.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from devstack import http
from devstack.airflow import USER, Airflow
from devstack.bootstrap import ENVIRONMENT, ROOT
from devstack.component import Component, Step
from devstack.control_plane import Kubectl, write_service_account_kubeconfig
from devstack.ports import HOST, Ports
from devstack.processes import Command
from devstack.progress import say, step
from devstack.simulated_airflow import SimulatedAirflow

NAMESPACE = "mljob-system"
RELEASE = "mljob-operator"
_CHART = ROOT / "charts" / "mljob-operator"
_PACKAGE = ROOT / "operator" / "src" / "mljob_operator"


class Operator:
    """The operator in one stack: the installation of the chart, and the operator's process."""

    def __init__(
        self,
        directory: Path,
        ports: Ports,
        kubectl: Kubectl,
        airflow: Airflow | SimulatedAirflow,
        kafka_servers: str,
        topic: str,
        overrides: Mapping[str, str],
    ) -> None:
        self._ports = ports
        self._kubectl = kubectl
        self._airflow = airflow
        self._kafka_servers = kafka_servers
        self._topic = topic
        self._overrides = overrides
        self.kubeconfig = directory / "operator.kubeconfig"

    def install_step(self, needs: tuple[str, ...], *, api: bool) -> Step:
        """Return the step that installs the chart, and writes a kubeconfig with a new token of the
        chart's ServiceAccount.

        Args:
            needs: The names of the parts of the stack that must be ready before this step.
            api: Whether the chart also installs mljob-api. The chart's APIService is never
                installed, because the stack registers its own process for mljob-api.
        """
        return Step("chart", partial(self._install, api=api), needs=needs)

    def component(self) -> Component:
        """Return the `Component` that runs the operator's process."""
        return Component(
            "operator",
            lambda: Command((str(ENVIRONMENT / "bin" / "python"), "-m", "mljob_operator"), self.environment()),
            lambda: http.get(f"http://{HOST}:{self._ports['operator']}/readyz") is not None,
            needs=("chart", self._airflow.api, "topics"),
            ports=("operator",),
        )

    @staticmethod
    def exists() -> bool:
        """Return whether this work tree contains the operator's package. If not, the stack starts
        without an operator.
        """
        return (_PACKAGE / "__main__.py").exists()

    def environment(self) -> dict[str, str]:
        """Return the environment variables for a process that runs an operator. A variable that a
        person has set for the operator (`devstack.choices.chosen_environment`) overrides the
        stack's variable of the same name.
        """
        return {
            "KUBECONFIG": str(self.kubeconfig),
            "MLJOB_AIRFLOW_URL": self._airflow.url,
            "MLJOB_AIRFLOW_USER": USER,
            "MLJOB_AIRFLOW_PASSWORD": self._airflow.password,
            # Every namespace may use the Airflow in these settings, even if the cluster has
            # AirflowInstances.
            "MLJOB_AIRFLOW_ACCESS": "[{}]",
            "MLJOB_KAFKA_BOOTSTRAP_SERVERS": self._kafka_servers,
            "MLJOB_EVENTS_TOPIC": self._topic,
            "MLJOB_HTTP_HOST": HOST,
            "MLJOB_HTTP_PORT": str(self._ports["operator"]),
            "MLJOB_LOG_FORMAT": "text",
        } | dict(self._overrides)

    def _install(self, *, api: bool) -> None:
        if not (_CHART / "Chart.yaml").exists():
            say(f"  {'chart':<24} skipped: {_CHART.relative_to(ROOT)} does not exist")
            return
        with step("chart", "installing"):
            self._kubectl(
                "upgrade", "--install", RELEASE, str(_CHART), "--namespace", NAMESPACE, "--create-namespace",
                # The operator runs as a process, so no node pulls this image.
                "--set", "image.repository=devstack.invalid/mljob-operator",
                "--set", f"airflow.url={self._airflow.url}",
                "--set-string", f"kafka.bootstrapServers={self._kafka_servers}",
                "--set", f"kafka.eventsTopic={self._topic}",
                "--set", "confFrom.secrets=true",
                "--set", f"api.enabled={str(api).lower()}",
                "--set", "api.apiService.create=false",
                program="helm",
            )  # fmt: skip
            self._kubectl(
                "wait",
                "--for=condition=Established",
                "--timeout=30s",
                "crd/mljobs.mljob.dev",
                "crd/airflowinstances.mljob.dev",
            )
        write_service_account_kubeconfig(self._kubectl, NAMESPACE, RELEASE, self.kubeconfig)
