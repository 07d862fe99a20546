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


class RefusedError(Exception): ...


@dataclass(frozen=True)
class Rendered:
    objects: list[dict[str, Any]] = field(repr=False)

    def all(self, kind: str) -> list[dict[str, Any]]:
        return [found for found in self.objects if found["kind"] == kind]

    def one(self, kind: str, name: str | None = None) -> dict[str, Any]:
        found = [each for each in self.all(kind) if name in (None, each["metadata"]["name"])]
        assert len(found) == 1, f"{len(found)} of {kind} {name or ''} in {self.names()}"
        return found[0]

    def names(self) -> set[tuple[str, str]]:
        return {(each["kind"], each["metadata"]["name"]) for each in self.objects}

    def without(self, *component: str) -> Rendered:
        return Rendered([each for each in self.objects if each["metadata"]["name"] not in component])

    @property
    def pod(self) -> dict[str, Any]:
        spec: dict[str, Any] = self.one("Deployment")["spec"]["template"]["spec"]
        return spec

    @property
    def container(self) -> dict[str, Any]:
        (container,) = self.pod["containers"]
        return dict(container)

    @property
    def env(self) -> dict[str, str | tuple[str, str]]:
        """The container's environment variables. A variable from a Secret or ConfigMap has the
        pair ``(name of the Secret or ConfigMap, key)`` as its value. A variable from a ``fieldRef``
        has the pair ``("fieldRef", path)``.
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
    """Return a copy of ``base`` with the values in ``over``. If both have a mapping for a key, the
    mappings are merged. Otherwise the value in ``over`` counts.
    """
    result = deepcopy(dict(base))
    for key, value in over.items():
        below = result.get(key)
        result[key] = merged(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return result


@cache
def run_helm(helm: Path, *arguments: str, values: str | None = None) -> str:
    done = subprocess.run(
        [str(helm), *arguments], input=values, capture_output=True, text=True, timeout=60, check=False
    )
    if done.returncode != 0:
        raise RefusedError(f"{done.stdout}{done.stderr}".strip())
    return done.stdout


def complete(values: Mapping[str, Any] | None) -> str:
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
    """Render the chart with its required values (``MINIMAL``) and ``values``."""
    arguments = ("template", release, str(chart), "--namespace", namespace, "--values", "-", *options)
    text = run_helm(helm, *arguments, values=complete(values))
    return Rendered([each for each in libyaml.load_all(text) if each])
