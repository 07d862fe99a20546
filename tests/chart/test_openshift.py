from __future__ import annotations

import stat

import pytest

from tests import libyaml
from tests.chart.conftest import Render
from tests.chart.environment_values import EVERYTHING
from tests.chart.rendering import CHART, Rendered

OPENSHIFT = libyaml.load((CHART / "values-openshift.yaml").read_text())
ASSIGNED = {"runAsUser", "runAsGroup", "fsGroup", "supplementalGroups", "seLinuxOptions"}
"""Fields that restricted-v2 sets from the ranges of the namespace. Other values are refused."""
VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
"""The kinds of volumes that restricted-v2 allows."""


@pytest.fixture(params=[OPENSHIFT, EVERYTHING | OPENSHIFT], ids=["required values", "all values"])
def rendered(request: pytest.FixtureRequest, render: Render) -> Rendered:
    return render(request.param)


def test_the_pod_sets_no_user_and_no_group(rendered: Rendered, render: Render) -> None:
    assert not ASSIGNED & rendered.pod["securityContext"].keys()
    assert not ASSIGNED & rendered.container["securityContext"].keys()
    assert render().pod["securityContext"].keys() >= {"runAsUser", "runAsGroup", "fsGroup"}


def test_the_pod_satisfies_restricted_v2(rendered: Rendered) -> None:
    pod, container = rendered.pod, rendered.container

    assert pod["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert all("hostPort" not in port for port in container["ports"])
    assert {kind for volume in pod["volumes"] for kind in volume.keys() - {"name"}} <= VOLUMES


def test_the_assigned_group_can_read_mounted_secrets(rendered: Rendered) -> None:
    modes = [volume["secret"]["defaultMode"] for volume in rendered.pod["volumes"] if "secret" in volume]

    assert all(mode & stat.S_IRGRP for mode in modes)
