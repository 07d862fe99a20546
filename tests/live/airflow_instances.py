from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from devstack.stack import Stack
from mljob_contract.airflow_instance import CREDENTIALS_LABEL, IS_DEFAULT, PLURAL
from mljob_contract.resource import API_VERSION
from tests.live.eventually import eventually
from tests.live.installation import Installation
from tests.live.kubectl import Kubectl
from tests.live.mljobs import Object, condition, manifest
from tests.live.tcp_proxy import TcpProxy

CREDENTIALS = "mljob-system"
"""The namespace of the Secrets that AirflowInstances name."""
WAIT = "attempts_wait"
"""A DAG whose only task runs for as many seconds as the conf says."""


class Platform:
    """A platform engineer who creates AirflowInstances and their Secrets with kubectl. The argument
    ``short`` of the methods is the name of an AirflowInstance without the random suffix.
    """

    def __init__(self, kubectl: Kubectl, stack: Stack) -> None:
        self._kubectl = kubectl
        self._env = stack.env
        self._suffix = secrets.token_hex(3)
        self._made: list[str] = []
        self._ways = ExitStack()

    def name(self, short: str) -> str:
        return f"{short}-{self._suffix}"

    def secret(self, short: str, password: str | None = None, token: str | None = None) -> None:
        data = {"user": self._env["AIRFLOW_USER"], "password": password or self._env["AIRFLOW_PASSWORD"]}
        if token is not None:
            data = {"token": token}
        self._kubectl.within(CREDENTIALS).apply(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": self.name(short), "labels": {CREDENTIALS_LABEL: "true"}},
                "stringData": data,
            }
        )

    def make(
        self,
        short: str,
        *,
        default: bool = False,
        password: str | None = None,
        token: str | None = None,
        **spec: Any,
    ) -> TcpProxy:
        """Create a Secret with a login, and an AirflowInstance with this login. ``spec.url`` of the
        AirflowInstance is the URL of a TCP proxy in front of the stack's Airflow. Return this TCP
        proxy. By default, every namespace may use the AirflowInstance.
        """
        way = self._ways.enter_context(TcpProxy(self._env["AIRFLOW_URL"]))
        self.secret(short, password, token)
        reference = "tokenSecretRef" if token is not None else "passwordSecretRef"
        self._made.append(short)
        self._kubectl.apply(
            {
                "apiVersion": "mljob.dev/v1alpha1",
                "kind": "AirflowInstance",
                "metadata": {"name": self.name(short), "annotations": {IS_DEFAULT: "true"} if default else {}},
                "spec": {
                    "url": way.url,
                    "credentials": {reference: {"name": self.name(short)}},
                    "access": [{}],
                    **spec,
                },
            }
        )
        return way

    def annotate(self, short: str, *, default: bool) -> None:
        value = "true" if default else "false"
        self._kubectl("annotate", "--overwrite", "airflowinstance", self.name(short), f"{IS_DEFAULT}={value}")

    def get(self, short: str) -> Object:
        return self._kubectl.api.get(f"/apis/{API_VERSION}/{PLURAL}/{self.name(short)}")

    def exists(self, short: str) -> bool:
        return bool(self._kubectl("get", "afi", self.name(short), "--ignore-not-found", "--output=name").strip())

    def delete(self, short: str) -> None:
        self._kubectl("delete", "airflowinstance", self.name(short), "--wait=false")

    def until(self, short: str, reason: str, *, within: float = 60) -> Object:
        def look() -> Object | None:
            found = condition(self.get(short).get("status") or {}, "Ready")
            return found if found and found["reason"] == reason else None

        found = eventually(look, f"AirflowInstance {short}: {reason}", within=within, evidence=lambda: self.get(short))
        assert found is not None
        return found

    def events(self, short: str) -> list[str]:
        found = self._kubectl.within("default").get(
            "events", f"--field-selector=involvedObject.name={self.name(short)}"
        )
        return [event["reason"] for event in found["items"]]

    def listed(self) -> list[list[str]]:
        return [line.split() for line in self._kubectl("get", "afi").splitlines()]

    def close(self) -> None:
        """Delete the AirflowInstances and their Secrets, and close the TCP proxies. An operator
        must be running, because the operator removes the finalizers of the AirflowInstances.
        """
        for short in self._made:
            self._kubectl("delete", "airflowinstance", self.name(short), "--ignore-not-found", "--timeout=60s")
            self._kubectl.within(CREDENTIALS)("delete", "secret", self.name(short), "--ignore-not-found")
        self._ways.close()


@contextmanager
def platform_of(installation: Installation, kubectl: Kubectl, stack: Stack) -> Iterator[Platform]:
    platform = Platform(kubectl, stack)
    yield platform
    installation.jobs.remove_all()
    installation.jobs.until_gone(*installation.jobs.all())
    platform.close()


def in_instance(platform: Platform, short: str, name: str, seconds: float = 0, **spec: Any) -> Object:
    """Return the manifest of an MLJob that runs in an AirflowInstance.

    Args:
        platform: The :class:`Platform` that created the AirflowInstance.
        short: The name of the AirflowInstance without the random suffix.
        name: The name of the MLJob.
        seconds: How long the run takes.
        spec: Other fields of the MLJob's spec. Without ``cancellation``, the operator cancels the
            run through Airflow's REST API.
    """
    spec.setdefault("cancellation", {"strategy": "Api"})
    return manifest(name, WAIT, {"seconds": seconds}, airflowRef={"name": platform.name(short)}, **spec)
