"""kubeconform finds no problem in the chart's objects. Kinds that are not part of Kubernetes, such
as ServiceMonitor, are not checked. All other objects are checked with the schemas of two versions
of Kubernetes: the oldest version that the chart supports, and the newest version in the package
``kubernetes-validate``.
"""

from __future__ import annotations

import pytest

from devstack import kubeconform
from tests import libyaml
from tests.chart.conftest import Render
from tests.chart.rendering import merged
from tests.chart.value_sets import VALUE_SETS

OTHERS = ("ServiceMonitor", "PrometheusRule", "Certificate")
"""Kinds of the Prometheus operator and of cert-manager."""

MONITORED = {"serviceMonitor": {"enabled": True}, "prometheusRule": {"enabled": True}, "dashboard": {"enabled": True}}

# The first test builds kubeconform, in half a minute. The timeout applies only to the tests
# themselves.
pytestmark = pytest.mark.timeout(60, func_only=True)


@pytest.fixture(scope="session", autouse=True)
def _built() -> None:
    assert kubeconform.problems({}, kubeconform.VERSIONS[0]) == ""


@pytest.mark.parametrize("version", kubeconform.VERSIONS)
def test_the_objects_of_all_sets_of_values_fit_the_schemas(render: Render, version: str) -> None:
    manifests = {
        name: libyaml.dump_all(render(merged(values, MONITORED), options=("--kube-version", version)).objects)
        for name, values in VALUE_SETS.items()
    }

    assert all(manifests.values())
    assert kubeconform.problems(manifests, version, skip=OTHERS) == ""


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        pytest.param("replicas: 2", "replicaz: 2", "'replicaz' not allowed", id="an unknown field"),
        pytest.param("replicas: 2", "replicas: two", "got string, want", id="a value of another type"),
        pytest.param("kind: Deployment", "kind: Deployable", "could not find schema", id="an unknown kind"),
    ],
)
def test_kubeconform_reports_a_problem_and_its_manifest(render: Render, old: str, new: str, problem: str) -> None:
    text = libyaml.dump_all([render().one("Deployment")])
    assert old in text

    said = kubeconform.problems({"right": text, "wrong": text.replace(old, new)}, kubeconform.VERSIONS[0])

    assert problem in said
    assert "wrong.yaml" in said
    assert "right.yaml" not in said
