from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from release import chart, version
from tests import libyaml
from tests.chart.rendering import Rendered, run_helm
from tests.chart.value_sets import COMPONENTS
from tests.live.oci_registry import OciRegistry
from tests.pages import ROOT, blocks, commands

IMAGES = "registry.example.com/ml"
VERSION = version.read()
INSTALL = ROOT / "docs" / "operations" / "install.md"
REQUIRED = {"airflow": {"url": "http://airflow:8080"}}


@pytest.fixture(scope="module")
def registry(helm: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("release")
    chart.write(f"{IMAGES}/mljob-operator", f"{IMAGES}/mljob-view", folder / "chart-source")
    run_helm(helm, "package", str(folder / "chart-source"), "--destination", str(folder))
    with OciRegistry() as registry:
        address = f"oci://127.0.0.1:{registry.port}/ml/charts"
        run_helm(helm, "push", str(folder / f"mljob-operator-{VERSION}.tgz"), address, "--plain-http")
        yield registry


def rendered(helm: Path, registry: OciRegistry, values: dict[str, Any]) -> Rendered:
    address = f"oci://127.0.0.1:{registry.port}/ml/charts/mljob-operator"
    arguments = ("template", "mljob-operator", address, "--version", VERSION, "--plain-http", "--values", "-")
    # helm says first what it has pulled.
    _, _, text = run_helm(helm, *arguments, values=json.dumps(values)).partition("\n---\n")
    return Rendered([each for each in libyaml.load_all(text) if each])


def test_the_released_chart_names_the_released_images(helm: Path, registry: OciRegistry) -> None:
    values = REQUIRED | COMPONENTS | {"view": {"enabled": True, "hosts": ["mljobs.example.com"]}}

    images = {
        each["metadata"]["name"]: each["spec"]["template"]["spec"]["containers"][0]["image"]
        for each in rendered(helm, registry, values).all("Deployment")
    }

    assert images == {
        "mljob-operator": f"{IMAGES}/mljob-operator:{VERSION}",
        "mljob-operator-api": f"{IMAGES}/mljob-operator:{VERSION}",
        "mljob-operator-view": f"{IMAGES}/mljob-view:{VERSION}",
    }


def test_the_released_chart_has_the_crds(helm: Path, registry: OciRegistry) -> None:
    assert len(rendered(helm, registry, REQUIRED).all("CustomResourceDefinition")) == 2


def test_the_documented_command_installs_what_the_workflow_publishes(helm: Path, registry: OciRegistry) -> None:
    (words,) = [
        words
        for block in blocks(INSTALL, "console")
        for words in commands(block)
        if words[:2] == ["helm", "install"] and words[3].startswith("oci://")
    ]
    workflow = (ROOT / ".github" / "workflows" / "release.yml").read_text()
    releasing = (ROOT / "RELEASING.md").read_text()

    assert words[3] == f"oci://{IMAGES}/charts/mljob-operator"
    assert words[words.index("--version") + 1] == VERSION
    assert not [word for word in words if "image" in word]
    assert 'helm push "chart/mljob-operator-$VERSION.tgz" "oci://$CHARTS"' in workflow
    assert "CHARTS: ${{ vars.REGISTRY }}/${{ vars.REGISTRY_NAMESPACE }}/charts" in workflow
    assert 'release/chart.py "$IMAGES/mljob-operator" "$IMAGES/mljob-view"' in workflow
    assert set(re.findall(r"- image: (\S+)", workflow)) == {"mljob-operator", "mljob-view"}
    assert "`oci://<REGISTRY>/<REGISTRY_NAMESPACE>/charts/mljob-operator`" in releasing
    options = [
        word for name, value in zip(words, [*words[1:], ""], strict=True) if name == "--set" for word in (name, value)
    ]
    address = f"oci://127.0.0.1:{registry.port}/ml/charts/mljob-operator"
    assert "kind: Deployment" in run_helm(
        helm, "template", words[2], address, "--version", VERSION, "--plain-http", *options
    )
