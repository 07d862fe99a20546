"""The aggregated API server mljob-api in the development stack: a process on loopback, to which the
Kubernetes API server forwards requests because of an APIService.

The chart's Pods for mljob-api stay Pending, because the cluster has no kubelet. So the stack does
not use the chart's APIService. The stack creates another APIService, which names a Service of type
ExternalName for ``localhost``. The process uses a token of the chart's ServiceAccount for
mljob-api, so the process has the rights that the chart grants.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import trustme

from devstack import http
from devstack.bootstrap import ENVIRONMENT
from devstack.component import Component, Step
from devstack.control_plane import Kubectl, write_private_key, write_service_account_kubeconfig
from devstack.operator_process import NAMESPACE, RELEASE
from devstack.ports import HOST, Ports
from devstack.processes import Command
from devstack.progress import step

NAME = "mljob-api"
_GROUP, _VERSION = "run.mljob.dev", "v1alpha1"
_API_SERVICE = f"{_VERSION}.{_GROUP}"
_SERVICE = "mljob-api-devstack"
_SERVICE_ACCOUNT = f"{RELEASE}-api"


class MLJobApi:
    """mljob-api in one stack: its credentials, its process, and its registration with the API
    server.

    Args:
        directory: The directory of the stack.
        ports: The ports of the stack.
        kubectl: kubectl as the cluster's administrator.
        operator_env: Returns the environment variables of the stack's operator. mljob-api gets
            these variables too, so that mljob-api uses the same Airflow, topic and prefix of run
            ids.
        airflow: The name of the stack's component that serves Airflow's REST API. mljob-api starts
            after this component.
    """

    def __init__(
        self,
        directory: Path,
        ports: Ports,
        kubectl: Kubectl,
        operator_env: Callable[[], Mapping[str, str]],
        airflow: str,
    ) -> None:
        self._directory = directory / NAME
        self._ports = ports
        self._kubectl = kubectl
        self._operator_env = operator_env
        self._airflow = airflow
        self.kubeconfig = directory / f"{NAME}.kubeconfig"

    def parts(self) -> list[Component | Step]:
        """Return the parts of mljob-api, in this order: the step that makes its credentials, the
        component that runs it, and the step that registers it with the API server.

        mljob-api is registered last, because the API server checks mljob-api immediately after the
        registration. If this check fails, up to 30 seconds may pass before the API server checks
        mljob-api again.
        """
        return [
            Step("mljob-api-credentials", self._make_credentials, needs=("chart",)),
            Component(
                NAME,
                lambda: Command((str(ENVIRONMENT / "bin" / "python"), "-m", "mljob_operator.api"), self.environment()),
                lambda: bool(http.get(f"http://{HOST}:{self._ports[f'{NAME}-probes']}/readyz")),
                needs=("mljob-api-credentials", self._airflow, "topics"),
                ports=(NAME, f"{NAME}-probes"),
            ),
            Step("mljob-api-registration", self._register, needs=(NAME,)),
        ]

    @property
    def url(self) -> str:
        """The URL at which tests reach mljob-api directly, without the API server."""
        return f"https://{HOST}:{self._ports[NAME]}"

    @property
    def authority(self) -> Path:
        """The path of the CA certificate that verifies the certificate of mljob-api."""
        return self._directory / "ca.crt"

    def environment(self) -> dict[str, str]:
        """Return the environment variables of the process that runs mljob-api."""
        return {
            **self._operator_env(),
            "KUBECONFIG": str(self.kubeconfig),
            "MLJOB_API_HOST": HOST,
            "MLJOB_API_PORT": str(self._ports[NAME]),
            "MLJOB_API_PROBE_HOST": HOST,
            "MLJOB_API_PROBE_PORT": str(self._ports[f"{NAME}-probes"]),
            "MLJOB_API_CERT_FILE": str(self._directory / "tls.crt"),
            "MLJOB_API_KEY_FILE": str(self._directory / "tls.key"),
        }

    def _make_credentials(self) -> None:
        if not self.authority.exists():
            self._make_certificate()
        write_service_account_kubeconfig(self._kubectl, NAMESPACE, _SERVICE_ACCOUNT, self.kubeconfig)

    def _register(self) -> None:
        with step("mljob-api-registration", "registering"):
            self._kubectl("apply", "--server-side", "--filename=-", stdin=json.dumps(self._registration()))
            self._kubectl("wait", "--for=condition=Available", "--timeout=60s", f"apiservice/{_API_SERVICE}")

    def _make_certificate(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        authority = trustme.CA(organization_name="mljob devstack")
        # The API server expects the name of the Service, and tests connect to loopback.
        made = authority.issue_cert(f"{_SERVICE}.{NAMESPACE}.svc", "localhost", HOST)
        made.cert_chain_pems[0].write_to_path(self._directory / "tls.crt")
        write_private_key(made, self._directory / "tls.key")
        authority.cert_pem.write_to_path(self.authority)

    def _registration(self) -> dict[str, object]:
        port = self._ports[NAME]
        service = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": _SERVICE, "namespace": NAMESPACE},
            "spec": {"type": "ExternalName", "externalName": "localhost", "ports": [{"port": port}]},
        }
        registration = {
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": {"name": _API_SERVICE},
            "spec": {
                "group": _GROUP,
                "version": _VERSION,
                "groupPriorityMinimum": 1000,
                "versionPriority": 15,
                "service": {"name": _SERVICE, "namespace": NAMESPACE, "port": port},
                "caBundle": base64.b64encode(self.authority.read_bytes()).decode(),
            },
        }
        return {"apiVersion": "v1", "kind": "List", "items": [service, registration]}
