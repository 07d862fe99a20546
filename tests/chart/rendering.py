"""Renders the chart to dicts with the real helm, so that tests assert on objects and not on text."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "mljob-operator"
CRDS = ROOT / "crds"
CRD = CRDS / "mljobs.mljob.dev.yaml"
INSTANCES = CRDS / "airflowinstances.mljob.dev.yaml"

RELEASE = "mljob-operator"
NAMESPACE = "mljob-system"
AIRFLOW_URL = "http://airflow-api-server.airflow:8080"
IMAGE = "registry.example.com/mljob-operator"
MINIMAL: dict[str, Any] = {"airflow": {"url": AIRFLOW_URL}, "image": {"repository": IMAGE}}
"""The least that the chart asks for."""


class RefusedError(Exception):
    """Helm would not render; the message is what the person at the terminal reads."""


@dataclass(frozen=True)
class Rendered:
    """The objects that a release consists of."""

    objects: list[dict[str, Any]] = field(repr=False)

    def all(self, kind: str) -> list[dict[str, Any]]:
        return [found for found in self.objects if found["kind"] == kind]

    def one(self, kind: str, name: str | None = None) -> dict[str, Any]:
        """The only object of a kind, or the only one of that name."""
        found = [each for each in self.all(kind) if name in (None, each["metadata"]["name"])]
        assert len(found) == 1, f"{len(found)} of {kind} {name or ''} in {self.names()}"
        return found[0]

    def names(self) -> set[tuple[str, str]]:
        return {(each["kind"], each["metadata"]["name"]) for each in self.objects}

    @property
    def pod(self) -> dict[str, Any]:
        """The spec of the operator's Pod."""
        spec: dict[str, Any] = self.one("Deployment")["spec"]["template"]["spec"]
        return spec

    @property
    def container(self) -> dict[str, Any]:
        (container,) = self.pod["containers"]
        return dict(container)

    @property
    def env(self) -> dict[str, str | tuple[str, str]]:
        """Each variable's value, or (Secret, key), or ("fieldRef", path)."""
        read: dict[str, str | tuple[str, str]] = {}
        for each in self.container["env"]:
            assert each["name"] not in read, f"{each['name']} is set twice"
            if "value" in each:
                read[each["name"]] = each["value"]
            else:
                ((kind, reference),) = each["valueFrom"].items()
                read[each["name"]] = (
                    (kind, reference["fieldPath"]) if kind == "fieldRef" else (reference["name"], reference["key"])
                )
        return read


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Values the way Helm merges them: key by key, anything but a mapping replaced whole."""
    result = deepcopy(dict(base))
    for key, value in over.items():
        below = result.get(key)
        result[key] = merged(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return result


@cache
def _template(helm: Path, chart: Path, release: str, namespace: str, values: str, *options: str) -> str:
    command = [str(helm), "template", release, str(chart), "--namespace", namespace, "--values", "-", *options]
    done = subprocess.run(command, input=values, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0:
        raise RefusedError(done.stderr.strip())
    return done.stdout


def render(
    helm: Path,
    values: Mapping[str, Any] | None = None,
    *,
    release: str = RELEASE,
    namespace: str = NAMESPACE,
    chart: Path = CHART,
    options: tuple[str, ...] = (),
) -> Rendered:
    """`helm template` with `values` over the minimal ones.

    Raises:
        RefusedError: The schema or a template refused the values.
    """
    text = _template(helm, chart, release, namespace, json.dumps(merged(MINIMAL, values or {})), *options)
    return Rendered([each for each in yaml.safe_load_all(text) if each])
