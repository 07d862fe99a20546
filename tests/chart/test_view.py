from __future__ import annotations

from typing import Any

import pytest

from mljob.view.server import application
from mljob.view.site import Site
from tests.chart.conftest import Render
from tests.chart.rendering import ROOT, Rendered, merged

NAME = "mljob-operator-view"
ENABLED: dict[str, Any] = {
    "view": {
        "enabled": True,
        "hosts": ["mljobs.example.com", "jobs:8443"],
        "image": {"repository": "registry/mljob-view"},
    }
}


def of_view(rendered: Rendered) -> Rendered:
    return Rendered([each for each in rendered.objects if each["metadata"]["name"] == NAME])


@pytest.fixture
def view(render: Render) -> Rendered:
    return of_view(render(ENABLED))


def test_there_is_no_view_by_default(render: Render) -> None:
    assert not of_view(render()).objects


def test_the_view_has_no_rights_and_no_token(render: Render, view: Rendered) -> None:
    assert view.pod["automountServiceAccountToken"] is False
    assert "serviceAccountName" not in view.pod
    names = [
        each["metadata"]["name"]
        for kind in ("Role", "ClusterRole", "ServiceAccount")
        for each in render(ENABLED).all(kind)
    ]
    assert not [name for name in names if "view" in name and "viewer" not in name]


def test_the_view_gets_its_hosts_and_the_ca_of_the_api_server(view: Rendered) -> None:
    environment = {each["name"]: each["value"] for each in view.container["env"]}

    assert environment["MLJOB_VIEW_HOSTS"] == "mljobs.example.com,jobs:8443"
    assert environment["MLJOB_VIEW_CA_FILE"] == "/etc/mljob-view/ca.crt"
    assert view.container["volumeMounts"] == [{"name": "ca", "mountPath": "/etc/mljob-view", "readOnly": True}]
    assert view.pod["volumes"] == [{"name": "ca", "configMap": {"name": "kube-root-ca.crt"}}]


def test_the_view_satisfies_restricted_pod_security(view: Rendered) -> None:
    assert view.pod["securityContext"]["runAsNonRoot"] is True
    assert view.container["securityContext"]["readOnlyRootFilesystem"] is True
    assert view.container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_probes_ask_addresses_that_the_view_has(view: Rendered) -> None:
    class Nobody:
        allowed_hosts = frozenset[str]()

    paths = {getattr(route, "path", "") for route in application(Site(Nobody())).routes}  # type: ignore[arg-type]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert view.container[probe]["httpGet"]["path"] in paths


def test_the_proxy_alone_may_connect(render: Render, view: Rendered) -> None:
    assert view.one("NetworkPolicy")["spec"]["ingress"][0]["from"] == [{"podSelector": {}}]

    proxy = [{"podSelector": {"matchLabels": {"app": "oauth2-proxy"}}}]
    limited = of_view(render(merged(ENABLED, {"view": {"networkPolicy": {"ingressFrom": proxy}}})))
    assert limited.one("NetworkPolicy")["spec"]["ingress"][0]["from"] == proxy


def test_the_service_selects_the_views_pods_only(render: Render) -> None:
    rendered = render(ENABLED)
    service = of_view(rendered).one("Service")

    selector = service["spec"]["selector"].items()
    selected = [
        each["metadata"]["name"]
        for each in rendered.all("Deployment")
        if selector <= each["spec"]["template"]["metadata"]["labels"].items()
    ]
    assert selected == [NAME]


def test_the_guide_names_the_service_of_the_view(view: Rendered) -> None:
    name = view.one("Service")["metadata"]["name"]

    assert f"Service `<fullname>-view`, port 80: `{name}`" in (ROOT / "docs" / "guides" / "view.md").read_text()
