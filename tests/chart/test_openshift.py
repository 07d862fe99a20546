"""The values for OpenShift: what restricted-v2 assigns is left to OpenShift, and what it asks for is there."""

from __future__ import annotations

import stat

import pytest
import yaml

from tests.chart.conftest import Render
from tests.chart.rendering import CHART, Rendered
from tests.chart.test_environment import EVERYTHING

OPENSHIFT = yaml.safe_load((CHART / "values-openshift.yaml").read_text())
ASSIGNED = {"runAsUser", "runAsGroup", "fsGroup", "supplementalGroups", "seLinuxOptions"}
"""What restricted-v2 assigns from the ranges of the namespace, and refuses if it is another."""
VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
"""Those that restricted-v2 allows."""


@pytest.fixture(params=[OPENSHIFT, EVERYTHING | OPENSHIFT], ids=["the least", "everything"])
def rendered(request: pytest.FixtureRequest, render: Render) -> Rendered:
    return render(request.param)


def test_no_user_and_no_group_is_asked_for(rendered: Rendered, render: Render) -> None:
    assert not ASSIGNED & rendered.pod["securityContext"].keys()
    assert not ASSIGNED & rendered.container["securityContext"].keys()
    assert render().pod["securityContext"].keys() >= {"runAsUser", "runAsGroup", "fsGroup"}


def test_what_restricted_v2_asks_for_is_there(rendered: Rendered) -> None:
    pod, container = rendered.pod, rendered.container

    assert pod["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert all("hostPort" not in port for port in container["ports"])
    assert {kind for volume in pod["volumes"] for kind in volume.keys() - {"name"}} <= VOLUMES


def test_secrets_can_be_read_by_the_group_that_is_assigned(rendered: Rendered) -> None:
    modes = [volume["secret"]["defaultMode"] for volume in rendered.pod["volumes"] if "secret" in volume]

    assert all(mode & stat.S_IRGRP for mode in modes)
