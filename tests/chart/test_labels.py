"""The labels and annotations in the values override those of the chart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.conftest import Render
from tests.chart.rendering import CHART, NAMESPACE, RELEASE, complete, merged, run_helm
from tests.chart.value_sets import COMPONENTS

VERSION = "app.kubernetes.io/version"
SELECTING = ("app.kubernetes.io/name", "app.kubernetes.io/instance")
CONTAINER = "kubectl.kubernetes.io/default-container"
OWN: dict[str, str] = {VERSION: "own", "helm.sh/chart": "", "team": "ml"}
VALUES: dict[str, Any] = merged(
    COMPONENTS,
    {
        "podLabels": OWN | dict(zip(SELECTING, ("own", ""), strict=True)),
        "podAnnotations": {CONTAINER: ""},
        "serviceMonitor": {"enabled": True, "labels": OWN},
        "prometheusRule": {"enabled": True, "labels": OWN},
        "dashboard": {"enabled": True, "labels": OWN | {"grafana_dashboard": "mljob"}},
    },
)
"""Values whose labels and annotations all have keys of the chart. Some values are empty."""


def test_labels_and_annotations_in_the_values_win(render: Render) -> None:
    rendered = render(VALUES)

    for kind in ("ServiceMonitor", "PrometheusRule", "ConfigMap"):
        for found in rendered.all(kind):
            assert OWN.items() <= found["metadata"]["labels"].items()
    assert rendered.one("ConfigMap")["metadata"]["labels"]["grafana_dashboard"] == "mljob"
    for deployment in rendered.all("Deployment"):
        metadata = deployment["spec"]["template"]["metadata"]
        assert OWN.items() <= metadata["labels"].items()
        assert metadata["annotations"] == {CONTAINER: ""}


def test_no_value_overrides_the_labels_that_select_a_pod(render: Render) -> None:
    for deployment in render(VALUES).all("Deployment"):
        selector = deployment["spec"]["selector"]["matchLabels"]
        assert selector.keys() == {*SELECTING}
        assert selector.items() <= deployment["spec"]["template"]["metadata"]["labels"].items()


def repeated_keys(node: yaml.Node) -> list[str]:
    """Return the keys that occur twice in a mapping of a YAML document. YAML forbids them, and
    server-side apply and strict parsers refuse them.
    """
    if isinstance(node, yaml.SequenceNode):
        return [key for each in node.value for key in repeated_keys(each)]
    if not isinstance(node, yaml.MappingNode):
        return []
    keys = [key.value for key, _ in node.value]
    below = [key for _, each in node.value for key in repeated_keys(each)]
    return [key for key in {*keys} if keys.count(key) > 1] + below


@pytest.mark.parametrize("values", [{}, VALUES], ids=["required values", "values with keys of the chart"])
def test_no_key_occurs_twice(helm: Path, values: dict[str, Any]) -> None:
    arguments = ("template", RELEASE, str(CHART), "--namespace", NAMESPACE, "--values", "-")
    documents = yaml.compose_all(run_helm(helm, *arguments, values=complete(values)), Loader=yaml.CSafeLoader)

    assert [key for each in documents if each is not None for key in repeated_keys(each)] == []
