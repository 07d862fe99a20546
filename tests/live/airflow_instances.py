"""AirflowInstances of the tests' own, as whoever runs the platform makes them."""

from __future__ import annotations

import secrets
from contextlib import ExitStack
from typing import Any

from devstack.stack import Stack
from mljob_contract.airflow_instance import CREDENTIALS_LABEL, IS_DEFAULT, PLURAL
from mljob_contract.mljob import API_VERSION
from tests.live.eventually import eventually
from tests.live.kubectl import Kubectl
from tests.live.mljobs import Object, condition
from tests.live.tcp_proxy import TcpProxy

CREDENTIALS = "mljob-system"
"""The namespace with the Secrets that they name."""


class Platform:
    """AirflowInstances, as whoever runs the platform makes them; they go when the tests are done."""

    def __init__(self, kubectl: Kubectl, stack: Stack) -> None:
        self._kubectl = kubectl
        self._env = stack.env
        self._suffix = secrets.token_hex(3)
        self._made: list[str] = []
        self._ways = ExitStack()

    def name(self, short: str) -> str:
        """A name that no session before this one used."""
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
        """An AirflowInstance with a Secret and a way of its own; it lets everybody in, unless ``access`` says otherwise."""
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
        """Make it the default, or not."""
        value = "true" if default else "false"
        self._kubectl("annotate", "--overwrite", "airflowinstance", self.name(short), f"{IS_DEFAULT}={value}")

    def get(self, short: str) -> Object:
        return self._kubectl.api.get(f"/apis/{API_VERSION}/{PLURAL}/{self.name(short)}")

    def exists(self, short: str) -> bool:
        return bool(self._kubectl("get", "afi", self.name(short), "--ignore-not-found", "--output=name").strip())

    def delete(self, short: str) -> None:
        self._kubectl("delete", "airflowinstance", self.name(short), "--wait=false")

    def until(self, short: str, reason: str, *, within: float = 60) -> Object:
        """The Ready condition, as soon as it has that reason."""

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
        """Take all away; the operator is there to let them go."""
        for short in self._made:
            self._kubectl("delete", "airflowinstance", self.name(short), "--ignore-not-found", "--timeout=60s")
            self._kubectl.within(CREDENTIALS)("delete", "secret", self.name(short), "--ignore-not-found")
        self._ways.close()
