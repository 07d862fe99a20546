"""Installs the chart on a cluster."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.chart.cluster import Cluster, unique
from tests.chart.rendering import CHART, MINIMAL, merged


@dataclass(frozen=True)
class Release:
    name: str
    namespace: str

    @property
    def full_name(self) -> str:
        return f"{self.name}-mljob-operator"

    @property
    def user(self) -> str:
        return f"system:serviceaccount:{self.namespace}:{self.full_name}"

    @property
    def api_user(self) -> str:
        return f"{self.user}-api"


def make_namespace(cluster: Cluster, prefix: str, labels: dict[str, str] | None = None) -> str:
    name = unique(prefix)
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels or {}}})
    return name


def install(cluster: Cluster, namespace: str, values: dict[str, Any], chart: Path = CHART) -> Release:
    """Install the chart under a new release name. By default the release has no CRDs, because the
    cluster has them already.
    """
    release = Release(unique("test"), namespace)
    given = json.dumps(merged(MINIMAL, merged({"crds": {"install": False}}, values)))
    cluster.helm("install", release.name, str(chart), f"--namespace={namespace}", "--values=-", stdin=given)
    return release
