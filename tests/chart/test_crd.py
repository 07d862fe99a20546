"""The MLJob definition inside the chart is the generated one, and Helm looks after it as the values say."""

from __future__ import annotations

import yaml

from tests.chart.conftest import Render
from tests.chart.rendering import CHART, CRD

KEEP = "helm.sh/resource-policy"


def test_the_charts_copy_is_the_generated_file() -> None:
    assert (CHART / "files" / "crds" / CRD.name).read_bytes() == CRD.read_bytes()


def test_what_is_installed_is_what_was_generated(render: Render) -> None:
    """Helm's YAML functions carry numbers as floats: a bound that came out rounded would show here."""
    installed = render().one("CustomResourceDefinition")
    generated = yaml.safe_load(CRD.read_text())

    assert installed["spec"] == generated["spec"]
    assert installed["metadata"]["name"] == generated["metadata"]["name"]
    annotations = dict(installed["metadata"]["annotations"])
    del annotations[KEEP]
    assert annotations == generated["metadata"].get("annotations", {})


def test_uninstalling_keeps_it_by_default(render: Render) -> None:
    assert render().one("CustomResourceDefinition")["metadata"]["annotations"][KEEP] == "keep"


def test_uninstalling_removes_it_when_asked(render: Render) -> None:
    assert KEEP not in render({"crds": {"keep": False}}).one("CustomResourceDefinition")["metadata"].get(
        "annotations", {}
    )


def test_it_can_be_left_to_somebody_else(render: Render) -> None:
    assert not render({"crds": {"install": False}}).all("CustomResourceDefinition")
