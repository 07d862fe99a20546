from __future__ import annotations

from pathlib import Path

import pytest

from tests import libyaml
from tests.chart.conftest import Render
from tests.chart.rendering import CHART, CRD, CRDS, INSTANCE_CRD

KEEP = "helm.sh/resource-policy"

each_crd = pytest.mark.parametrize("crd", [CRD, INSTANCE_CRD], ids=lambda path: path.name.partition(".")[0])


@pytest.mark.parametrize(
    ("version", "known"), [("1.29.5", False), ("1.29.5-gke.1", False), ("1.30.0", True), ("1.36.3", True)]
)
def test_an_older_kubernetes_gets_no_field_that_it_refuses(render: Render, version: str, *, known: bool) -> None:
    for crd in render(options=("--kube-version", version)).all("CustomResourceDefinition"):
        if crd["spec"]["names"]["kind"] == "MLJob":
            assert ("selectableFields" in crd["spec"]["versions"][0]) is known


def test_the_charts_crds_are_the_generated_files() -> None:
    generated = {path.name: path.read_bytes() for path in CRDS.glob("*.yaml")}

    assert {path.name: path.read_bytes() for path in (CHART / "files" / "crds").iterdir()} == generated


@each_crd
def test_the_rendered_crd_is_the_generated_one(render: Render, crd: Path) -> None:
    # Helm's YAML functions turn numbers into floats, which might round a minimum or a maximum.
    installed = render().one("CustomResourceDefinition", crd.stem)
    generated = libyaml.load(crd.read_text())

    assert installed["spec"] == generated["spec"]
    assert installed["metadata"]["name"] == generated["metadata"]["name"]
    annotations = dict(installed["metadata"]["annotations"])
    del annotations[KEEP]
    assert annotations == generated["metadata"].get("annotations", {})


@each_crd
def test_uninstall_keeps_the_crd_by_default(render: Render, crd: Path) -> None:
    assert render().one("CustomResourceDefinition", crd.stem)["metadata"]["annotations"][KEEP] == "keep"


@each_crd
def test_uninstall_deletes_the_crd_with_keep_false(render: Render, crd: Path) -> None:
    rendered = render({"crds": {"keep": False}}).one("CustomResourceDefinition", crd.stem)

    assert KEEP not in rendered["metadata"].get("annotations", {})


def test_the_release_has_no_crd_with_install_false(render: Render) -> None:
    assert not render({"crds": {"install": False}}).all("CustomResourceDefinition")
