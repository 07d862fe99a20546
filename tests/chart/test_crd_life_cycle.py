"""Upgrades and removals of the chart on a real API server, and the life cycle of its CRDs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chart.chart_copies import ChartCopy, chart_copy
from tests.chart.cluster import Cluster, CommandError, unique
from tests.chart.releases import install, make_namespace
from tests.chart.rendering import CRD, MINIMAL, merged
from tests.live.eventually import eventually


@pytest.fixture
def copy(cluster: Cluster, tmp_path: Path) -> Iterator[ChartCopy]:
    with chart_copy(cluster, tmp_path) as copied:
        yield copied


@pytest.fixture
def home(cluster: Cluster) -> Iterator[str]:
    name = make_namespace(cluster, "chart")
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


def is_listed(cluster: Cluster, resource: str) -> bool:
    try:
        cluster.get(resource)
    except CommandError:
        return False
    return True


def test_helm_upgrade_upgrades_the_crd(cluster: Cluster, copy: ChartCopy, home: str) -> None:
    release = install(cluster, home, {"crds": {"install": True}}, copy.path)
    columns = cluster.get("crd", copy.crd)["spec"]["versions"][0]["additionalPrinterColumns"]
    assert "DAG" in [column["name"] for column in columns]

    copy.change("- name: DAG\n", "- name: Graph\n")
    cluster.helm("upgrade", release.name, str(copy.path), f"--namespace={home}", "--reuse-values")

    columns = cluster.get("crd", copy.crd)["spec"]["versions"][0]["additionalPrinterColumns"]
    assert "Graph" in [column["name"] for column in columns]
    cluster.helm("uninstall", release.name, f"--namespace={home}")


def test_helm_uninstall_keeps_the_crd_and_the_next_release_adopts_it(
    cluster: Cluster, copy: ChartCopy, home: str
) -> None:
    values = json.dumps(merged(MINIMAL, {"fullnameOverride": unique("test")}))
    arguments = (str(copy.path), f"--namespace={home}", "--values=-")

    cluster.helm("install", "again", *arguments, stdin=values)
    cluster.helm("uninstall", "again", f"--namespace={home}")
    assert cluster.exists("crd", copy.crd)

    cluster.helm("install", "again", *arguments, stdin=values)
    cluster.helm("uninstall", "again", f"--namespace={home}")


TAKEOVERS = {
    "take-ownership": "--take-ownership",
    "label and annotations": None,
}
"""The two ways in the chart's README in which a release takes over a CRD: by an option of Helm, or
by metadata of the CRD.
"""


@pytest.mark.parametrize("option", TAKEOVERS.values(), ids=TAKEOVERS.keys())
@pytest.mark.parametrize("created_by", ["another release", "kubectl"])
def test_a_release_takes_over_a_crd_that_it_did_not_create(
    cluster: Cluster, copy: ChartCopy, home: str, created_by: str, option: str | None
) -> None:
    before = "default"
    if created_by == "kubectl":
        cluster.kubectl("apply", "--server-side", f"--filename={copy.path / 'files' / 'crds' / CRD.name}")
    else:
        old = install(cluster, before, {"crds": {"install": True}}, copy.path)
        cluster.helm("uninstall", old.name, f"--namespace={before}")
    uid = cluster.get("crd", copy.crd)["metadata"]["uid"]
    values = json.dumps(merged(MINIMAL, {"fullnameOverride": unique("test")}))
    # Helm 4 uses server-side apply, where kubectl owns the fields that it wrote.
    force = ("--force-conflicts",) if created_by == "kubectl" else ()
    arguments = ("install", "ours", str(copy.path), f"--namespace={home}", "--values=-", *force)

    with pytest.raises(CommandError, match="invalid ownership metadata"):
        cluster.helm(*arguments, stdin=values)
    if option is None:
        cluster.kubectl("label", "crd", copy.crd, "--overwrite", "app.kubernetes.io/managed-by=Helm")
        cluster.kubectl(
            "annotate",
            "crd",
            copy.crd,
            "--overwrite",
            "meta.helm.sh/release-name=ours",
            f"meta.helm.sh/release-namespace={home}",
        )
        cluster.helm(*arguments, stdin=values)
    else:
        cluster.helm(*arguments, option, stdin=values)

    ours = cluster.get("crd", copy.crd)["metadata"]
    assert ours["uid"] == uid, "the CRD was replaced, and its MLJobs were lost"
    assert ours["annotations"]["meta.helm.sh/release-namespace"] == home
    cluster.helm("uninstall", "ours", f"--namespace={home}")


def test_helm_uninstall_deletes_the_crd_with_keep_false(cluster: Cluster, copy: ChartCopy, home: str) -> None:
    release = install(cluster, home, {"crds": {"install": True, "keep": False}}, copy.path)
    # If a CRD is deleted before the API server can list its objects, the API server logs "storage is
    # (re)initializing", and was seen to keep the CRD for three minutes.
    eventually(lambda: is_listed(cluster, copy.crd), "the API server lists the objects of the CRD")

    cluster.helm("uninstall", release.name, f"--namespace={home}")

    eventually(lambda: not cluster.exists("crd", copy.crd), "the CRD is deleted")


def test_helm_uninstall_deletes_all_other_objects(cluster: Cluster, crds: None, home: str) -> None:
    release = install(cluster, home, {})
    mine = f"--selector=app.kubernetes.io/instance={release.name}"
    kinds = (
        "deployments,poddisruptionbudgets,services,serviceaccounts,roles,rolebindings,clusterroles,clusterrolebindings"
    )
    assert cluster.get(kinds, mine, f"--namespace={home}")["items"]

    cluster.helm("uninstall", release.name, f"--namespace={home}")

    eventually(
        lambda: not cluster.get(kinds, mine, f"--namespace={home}")["items"], "all objects of the release are deleted"
    )
