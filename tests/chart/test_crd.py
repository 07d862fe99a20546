"""The definitions inside the chart are the generated ones, and Helm looks after them as the values say."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.chart.conftest import Render
from tests.chart.rendering import CHART, CRD, CRDS, INSTANCES

KEEP = "helm.sh/resource-policy"

definitions = pytest.mark.parametrize("crd", [CRD, INSTANCES], ids=lambda path: path.name.partition(".")[0])


def test_the_charts_copies_are_the_generated_files() -> None:
    generated = {path.name: path.read_bytes() for path in CRDS.glob("*.yaml")}

    assert {path.name: path.read_bytes() for path in (CHART / "files" / "crds").iterdir()} == generated


@definitions
def test_what_is_installed_is_what_was_generated(render: Render, crd: Path) -> None:
    """Helm's YAML functions carry numbers as floats: a bound that came out rounded would show here."""
    installed = render().one("CustomResourceDefinition", crd.stem)
    generated = yaml.safe_load(crd.read_text())

    assert installed["spec"] == generated["spec"]
    assert installed["metadata"]["name"] == generated["metadata"]["name"]
    annotations = dict(installed["metadata"]["annotations"])
    del annotations[KEEP]
    assert annotations == generated["metadata"].get("annotations", {})


@definitions
def test_uninstalling_keeps_it_by_default(render: Render, crd: Path) -> None:
    assert render().one("CustomResourceDefinition", crd.stem)["metadata"]["annotations"][KEEP] == "keep"


@definitions
def test_uninstalling_removes_it_when_asked(render: Render, crd: Path) -> None:
    definition = render({"crds": {"keep": False}}).one("CustomResourceDefinition", crd.stem)

    assert KEEP not in definition["metadata"].get("annotations", {})


def test_they_can_be_left_to_somebody_else(render: Render) -> None:
    assert not render({"crds": {"install": False}}).all("CustomResourceDefinition")
