"""The chart, rendered by helm and parsed, so that tests assert on objects instead of text."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from tests import libyaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "mljob-operator"
CRDS = ROOT / "crds"
CRD = CRDS / "mljobs.mljob.dev.yaml"
INSTANCE_CRD = CRDS / "airflowinstances.mljob.dev.yaml"

RELEASE = "mljob-operator"
NAMESPACE = "mljob-system"
AIRFLOW_URL = "http://airflow-api-server.airflow:8080"
IMAGE = "registry.example.com/mljob-operator"
MINIMAL: dict[str, Any] = {"airflow": {"url": AIRFLOW_URL}, "image": {"repository": IMAGE}}
"""The values that the chart requires."""

RESTRICTED_POD = {
    "runAsNonRoot": True,
    "runAsUser": 65532,
    "runAsGroup": 65532,
    "fsGroup": 65532,
    "seccompProfile": {"type": "RuntimeDefault"},
}
"""The securityContext of a Pod that satisfies the Pod security standard "restricted"."""
RESTRICTED_CONTAINER = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
"""The securityContext of a container that satisfies the Pod security standard "restricted"."""


class RefusedError(Exception):
    """The error for a run of helm that failed. The message is helm's output."""


@dataclass(frozen=True)
class Rendered:
    """The Kubernetes objects that ``helm template`` has rendered for one release."""

    objects: list[dict[str, Any]] = field(repr=False)

    def all(self, kind: str) -> list[dict[str, Any]]:
        return [found for found in self.objects if found["kind"] == kind]

    def one(self, kind: str, name: str | None = None) -> dict[str, Any]:
        """Return the only object of a kind. With ``name``, return the only object of this kind that
        has the name. Fail if there is no such object, or more than one.
        """
        found = [each for each in self.all(kind) if name in (None, each["metadata"]["name"])]
        assert len(found) == 1, f"{len(found)} of {kind} {name or ''} in {self.names()}"
        return found[0]

    def names(self) -> set[tuple[str, str]]:
        return {(each["kind"], each["metadata"]["name"]) for each in self.objects}

    def without(self, *component: str) -> Rendered:
        """Return a copy without the objects that have one of the names in ``component``."""
        return Rendered([each for each in self.objects if each["metadata"]["name"] not in component])

    @property
    def pod(self) -> dict[str, Any]:
        """The spec of the Pod of the only Deployment."""
        spec: dict[str, Any] = self.one("Deployment")["spec"]["template"]["spec"]
        return spec

    @property
    def container(self) -> dict[str, Any]:
        (container,) = self.pod["containers"]
        return dict(container)

    @property
    def env(self) -> dict[str, str | tuple[str, str]]:
        """The environment variables of the only container of :attr:`pod`, by name. A variable has a
        text, or a pair: the name of a Secret or ConfigMap and a key in it, or ``"fieldRef"`` and
        the path of a field.
        """
        variables: dict[str, str | tuple[str, str]] = {}
        for each in self.container["env"]:
            assert each["name"] not in variables, f"{each['name']} is set twice"
            if "value" in each:
                variables[each["name"]] = each["value"]
            else:
                ((kind, reference),) = each["valueFrom"].items()
                variables[each["name"]] = (
                    (kind, reference["fieldPath"]) if kind == "fieldRef" else (reference["name"], reference["key"])
                )
        return variables


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` and ``over`` merged into a new mapping, as Helm merges values: mappings are
    merged key by key, and any other value in ``over`` replaces the value in ``base``.
    """
    result = deepcopy(dict(base))
    for key, value in over.items():
        below = result.get(key)
        result[key] = merged(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return result


@cache
def run_helm(helm: Path, *arguments: str, values: str | None = None) -> str:
    """Run helm and return its output. A second call with the same arguments returns the output of
    the first call, without running helm.

    Args:
        values: JSON on standard input, for `--values -`.

    Raises:
        RefusedError: Helm failed.
    """
    done = subprocess.run(
        [str(helm), *arguments], input=values, capture_output=True, text=True, timeout=60, check=False
    )
    if done.returncode != 0:
        raise RefusedError(f"{done.stdout}{done.stderr}".strip())
    return done.stdout


def complete(values: Mapping[str, Any] | None) -> str:
    """Return ``values`` merged over the values that the chart requires (``MINIMAL``), as JSON."""
    return json.dumps(merged(MINIMAL, values or {}))


def render(
    helm: Path,
    values: Mapping[str, Any] | None = None,
    *,
    release: str = RELEASE,
    namespace: str = NAMESPACE,
    chart: Path = CHART,
    options: tuple[str, ...] = (),
) -> Rendered:
    """Return the objects that `helm template` renders with ``values`` merged over the values that
    the chart requires (``MINIMAL``).

    Raises:
        RefusedError: The schema or a template refused the values.
    """
    arguments = ("template", release, str(chart), "--namespace", namespace, "--values", "-", *options)
    text = run_helm(helm, *arguments, values=complete(values))
    return Rendered([each for each in libyaml.load_all(text) if each])
