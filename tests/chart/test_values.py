"""values.yaml, values.schema.json and the README list the same values. The chart and the operator
have the same version.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests import libyaml
from tests.chart.rendering import CHART

WHOLE = {"resources", "api.resources", "view.resources", "podSecurityContext", "securityContext"}
"""Values whose content Kubernetes defines. The README shows each as a whole."""

EMPTY = {"operator.selector", "api.pod", "view.pod"}
"""Values that are empty mappings by default. Only the schema has their keys."""

TABLE_ROW = re.compile(r"^\| `(?P<key>[\w.]+)` \| (?P<default>.*?) \| (?P<meaning>.*) \|$", re.MULTILINE)


def leaves(values: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield a pair for each value of the chart: the key, such as ``airflow.url``, and the value. An
    empty mapping, and a mapping whose key is in ``WHOLE``, count as one value.
    """
    for key, value in values.items():
        below = f"{path}{key}"
        if isinstance(value, Mapping) and value and below not in WHOLE:
            yield from leaves(value, f"{below}.")
        else:
            yield below, value


def schema_leaves(schema: Mapping[str, Any], node: Mapping[str, Any], path: str = "") -> Iterator[str]:
    for key, value in node["properties"].items():
        below = f"{path}{key}"
        target = schema["definitions"][value["$ref"].rsplit("/", 1)[-1]] if "$ref" in value else value
        if "properties" in target and below not in EMPTY:
            yield from schema_leaves(schema, target, f"{below}.")
        else:
            yield below


@pytest.fixture(scope="module")
def rows() -> list[tuple[str, str, str]]:
    _, _, values = (CHART / "README.md").read_text().partition("\n## Values\n")
    return TABLE_ROW.findall(values)


@pytest.fixture(scope="module")
def defaults() -> dict[str, Any]:
    return dict(leaves(libyaml.load((CHART / "values.yaml").read_text())))


def test_the_schema_has_every_value_and_no_other(defaults: dict[str, Any]) -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())

    assert set(schema_leaves(schema, schema)) - {"global"} == set(defaults)


def test_the_readme_lists_every_value_in_the_order_of_values_yaml(
    rows: list[tuple[str, str, str]], defaults: dict[str, Any]
) -> None:
    assert [key for key, _, _ in rows] == list(defaults)


def test_the_readme_shows_the_defaults_of_values_yaml(
    rows: list[tuple[str, str, str]], defaults: dict[str, Any]
) -> None:
    stated = {key: default for key, default, _ in rows if key not in WHOLE}
    assert stated == {key: f"`{json.dumps(value)}`" for key, value in defaults.items() if key not in WHOLE}


def test_the_chart_and_the_operator_have_the_same_version() -> None:
    chart = libyaml.load((CHART / "Chart.yaml").read_text())
    project = (CHART.parents[1] / "operator" / "pyproject.toml").read_text()

    assert f'version = "{chart["appVersion"]}"' in project
