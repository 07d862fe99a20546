"""The commands in the documentation install, upgrade, roll back and uninstall the chart on a real
API server. No kubelet runs in this cluster, so the tests skip commands that need a running Pod.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.chart.chart_copies import ChartCopy, chart_copy
from tests.chart.cluster import Cluster, unique
from tests.live.eventually import eventually
from tests.live.plugin import plugin_environment, write_kubeconfig
from tests.page_runners import LIFECYCLE_PAGES, Runner, lines_of
from tests.pages import ROOT, Block, blocks, typed

README, INSTALL, UPGRADE, UNINSTALL = LIFECYCLE_PAGES

NEEDS_A_POD = ("kubectl rollout status", "kubectl logs")
"""Commands that end when a Pod is ready, and commands that read a Pod's log."""
NEEDS_MORE = ("docker ", "kubectl get airflowinstances", "kubectl delete airflowinstances")
"""Commands that need Docker, and commands about objects that other tests share."""
RELEASE, NAMESPACE = "mljob-operator", "mljob-system"


@dataclass(frozen=True)
class Reader:
    """Runs commands from pages of the documentation. In the commands, the release, the namespace,
    the chart and the CRDs are replaced by those of the test.
    """

    cluster: Cluster
    copy: ChartCopy
    release: str
    namespace: str
    environment: dict[str, str]
    typed: list[str] = field(default_factory=list)
    """The commands that have been typed, as they are on the pages."""

    def types(self, page: Path, heading: str, *, containing: str = "") -> None:
        """Run the commands below a heading, except commands that start with a text in
        ``NEEDS_A_POD`` or ``NEEDS_MORE``.

        Args:
            page: The page.
            heading: The text of the heading.
            containing: Run only the code blocks that contain this text.
        """
        lines = [line for block in below(page, heading) if containing in block.text for line in typed(block)]
        lines = [line for line in lines if not line.startswith((*NEEDS_A_POD, *NEEDS_MORE))]
        assert lines, f"{page.name} has no command below {heading!r}"
        for line in lines:
            self._run(self._own(line))
        self.typed.extend(lines)

    def _own(self, line: str) -> str:
        line = line.replace("charts/mljob-operator", str(self.copy.path))
        line = re.sub(
            rf"(?<=helm )(install|upgrade|history|rollback|uninstall) {RELEASE}\b", rf"\1 {self.release}", line
        )
        line = re.sub(rf"\b(deployment|pdb)/{RELEASE}\b", rf"\1/{self.release}", line)
        line = line.replace(NAMESPACE, self.namespace).replace("--all-namespaces", f"--namespace {self.namespace}")
        line = re.sub(r"crd mljobs\.mljob\.dev airflowinstances\.mljob\.dev", f"crd {self.copy.crd}", line)
        return re.sub(r"kubectl delete mljobs\b", f"kubectl delete {self.copy.crd}", line)

    def _run(self, line: str) -> None:
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"

    def deployment(self) -> dict[str, Any]:
        found: dict[str, Any] = self.cluster.get("deployment", self.release, f"--namespace={self.namespace}")
        return found

    def image(self) -> str:
        return str(self.deployment()["spec"]["template"]["spec"]["containers"][0]["image"])

    def objects(self) -> list[Any]:
        kinds = "deployments,poddisruptionbudgets,services,serviceaccounts,roles,rolebindings,clusterroles,clusterrolebindings"
        mine = f"--selector=app.kubernetes.io/instance={self.release}"
        return list(self.cluster.get(kinds, mine, f"--namespace={self.namespace}")["items"])


def below(page: Path, heading: str) -> list[Block]:
    """Return the ``console`` blocks between a heading and the next heading of the same or a higher
    level.
    """
    text = page.read_text()
    found = re.search(rf"^(#+) {re.escape(heading)}\n", text, re.MULTILINE)
    assert found, f"{page.name} has no heading {heading!r}"
    following = re.compile(rf"^#{{1,{len(found[1])}}} ", re.MULTILINE).search(text, found.end())
    first = text.count("\n", 0, found.start()) + 1
    last = text.count("\n", 0, following.start()) + 1 if following else len(text)
    return [block for block in blocks(page, "console") if first < int(block.where.rpartition(":")[2]) < last]


@pytest.fixture
def reader(cluster: Cluster, tmp_path: Path) -> Iterator[Reader]:
    with chart_copy(cluster, tmp_path) as copy:
        kubeconfig = write_kubeconfig(cluster.kubeconfig, tmp_path / "config", "default")
        environment = plugin_environment(kubeconfig)
        reader = Reader(cluster, copy, f"{unique('t')}-mljob-operator", unique("docs"), environment)
        yield reader
        if reader.objects():
            cluster.helm("uninstall", reader.release, f"--namespace={reader.namespace}")
        cluster.kubectl("delete", "namespace", reader.namespace, "--ignore-not-found", "--wait=false")


def assert_installed(reader: Reader) -> None:
    def no_pod_was_refused() -> bool:
        status = reader.deployment()["status"]
        return status.get("replicas") == 2 and "ReplicaFailure" not in [each["type"] for each in status["conditions"]]

    eventually(no_pod_was_refused, "the Deployment has its Pods")
    assert reader.cluster.exists("secret", "airflow-credentials", f"--namespace={reader.namespace}")
    assert reader.cluster.exists("crd", reader.copy.crd)


def test_the_readmes_commands_install_the_operator(reader: Reader) -> None:
    reader.types(README, "Install it on your cluster")

    assert_installed(reader)


def test_the_operator_is_installed_upgraded_rolled_back_and_uninstalled(reader: Reader) -> None:
    reader.types(INSTALL, "Install the operator", containing="kubectl create namespace")
    reader.types(INSTALL, "From this repository")
    assert_installed(reader)
    first, before = reader.image(), reader.deployment()["spec"]["template"]["spec"]["containers"][0]["env"]

    reader.copy.change_version("0.2.0")
    reader.types(UPGRADE, "Upgrade")
    upgraded = reader.image()
    reader.cluster.helm("get", "values", reader.release, f"--namespace={reader.namespace}")
    assert reader.deployment()["spec"]["template"]["spec"]["containers"][0]["env"] == before, "the values are kept"
    assert reader.deployment()["metadata"]["labels"]["app.kubernetes.io/version"] == "0.2.0"
    assert upgraded.rpartition(":")[0] == first.rpartition(":")[0]

    reader.types(UPGRADE, "Roll back", containing="helm rollback")
    assert reader.deployment()["metadata"]["labels"]["app.kubernetes.io/version"] != "0.2.0"
    assert reader.image() == first

    uid = reader.cluster.get("crd", reader.copy.crd)["metadata"]["uid"]
    commands = [line for block in below(UNINSTALL, "Uninstall the operator") for line in typed(block)]
    assert [line.split()[:3] for line in commands] == [
        ["kubectl", "delete", "mljobs"],
        ["kubectl", "delete", "airflowinstances"],
        ["helm", "uninstall", "mljob-operator"],
    ]
    reader.types(UNINSTALL, "Uninstall the operator")
    eventually(lambda: not reader.objects(), "all objects of the release are deleted")
    assert reader.cluster.get("crd", reader.copy.crd)["metadata"]["uid"] == uid, "the CRD and its objects stay"

    reader.types(UNINSTALL, "Remove the CRDs")
    eventually(lambda: not reader.cluster.exists("crd", reader.copy.crd), "the CRD is deleted")
    assert {line for _, _, line in lines_of(Runner.LIFECYCLE)} - set(reader.typed) == set()
