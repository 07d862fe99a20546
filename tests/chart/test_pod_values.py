"""Helm values that configure the Pods of the operator, mljob-api and the live view."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.chart.conftest import Render
from tests.chart.rendering import CHART, Rendered, merged
from tests.chart.value_sets import COMPONENTS, POD, WHOLE_POD

NAMES = ("mljob-operator", "mljob-operator-api", "mljob-operator-view")
OF_THE_POD = (
    "imagePullSecrets",
    "nodeSelector",
    "tolerations",
    "affinity",
    "priorityClassName",
    "runtimeClassName",
    "schedulerName",
    "hostAliases",
    "dnsPolicy",
    "dnsConfig",
    "terminationGracePeriodSeconds",
    "initContainers",
)
"""Values that are fields of the Pod's spec."""


def deployment(rendered: Rendered, name: str) -> dict[str, Any]:
    spec: dict[str, Any] = rendered.one("Deployment", name)["spec"]
    return spec


def pod(rendered: Rendered, name: str) -> dict[str, Any]:
    spec: dict[str, Any] = deployment(rendered, name)["template"]["spec"]
    return spec


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_the_schema_lets_each_component_replace_every_value_of_the_section() -> None:
    # A new value in this part of the schema needs an entry in POD.
    replaceable = json.loads((CHART / "values.schema.json").read_text())["definitions"]["pod"]["properties"]

    assert replaceable.keys() == {*POD, "podSecurityContext", "securityContext"}


def test_values_of_the_pod_reach_every_component(render: Render, name: str) -> None:
    found = pod(render(WHOLE_POD), name)

    assert {field: found[field] for field in OF_THE_POD} == {field: POD[field] for field in OF_THE_POD}
    metadata = deployment(render(WHOLE_POD), name)["template"]["metadata"]
    assert POD["podAnnotations"].items() <= metadata["annotations"].items()
    assert POD["podLabels"].items() <= metadata["labels"].items()


def test_values_of_the_container_reach_every_component(render: Render, name: str) -> None:
    found = pod(render(WHOLE_POD), name)
    main, *others = found["containers"]

    assert others == POD["extraContainers"]
    assert POD["extraEnv"][0] in main["env"]
    assert main["envFrom"] == POD["extraEnvFrom"]
    assert POD["extraVolumeMounts"][0] in main["volumeMounts"]
    assert POD["extraVolumes"][0] in found["volumes"]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert POD[probe].items() <= main[probe].items()


def test_a_spread_constraint_without_a_selector_gets_that_of_its_pods(render: Render, name: str) -> None:
    (constraint,) = pod(render(WHOLE_POD), name)["topologySpreadConstraints"]

    assert constraint == POD["topologySpreadConstraints"][0] | {
        "labelSelector": deployment(render(WHOLE_POD), name)["selector"]
    }


def test_a_spread_constraint_keeps_its_own_selector(render: Render) -> None:
    own = POD["topologySpreadConstraints"][0] | {"labelSelector": {"matchLabels": {"team": "ml"}}}

    assert render({"topologySpreadConstraints": [own]}).pod["topologySpreadConstraints"] == [own]


def test_an_empty_list_turns_the_spread_off(render: Render) -> None:
    assert "topologySpreadConstraints" not in render({"topologySpreadConstraints": []}).pod


@pytest.mark.parametrize("component", ["api", "view"])
def test_a_component_replaces_a_value_as_a_whole(render: Render, component: str) -> None:
    values = merged(COMPONENTS, {"nodeSelector": {"disk": "ssd", "zone": "a"}, "tolerations": POD["tolerations"]})
    rendered = render(merged(values, {component: {"pod": {"nodeSelector": {"gpu": "no"}, "tolerations": []}}}))

    other = pod(rendered, f"mljob-operator-{component}")
    assert other["nodeSelector"] == {"gpu": "no"}
    assert "tolerations" not in other
    assert pod(rendered, "mljob-operator")["nodeSelector"] == {"disk": "ssd", "zone": "a"}
    assert pod(rendered, "mljob-operator")["tolerations"] == POD["tolerations"]


def test_the_view_gets_nothing_that_may_hold_the_operators_credentials(render: Render) -> None:
    secret = {"name": "MLJOB_AIRFLOW_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "airflow", "key": "password"}}}
    values = POD | {"extraEnv": [secret], "extraEnvFrom": [{"secretRef": {"name": "airflow"}}]}
    found = pod(render(merged(COMPONENTS, values)), "mljob-operator-view")

    assert "secret" not in json.dumps(found).lower().replace("imagepullsecrets", "")
    assert "initContainers" not in found
    assert len(found["containers"]) == 1
    assert [volume["name"] for volume in found["volumes"]] == ["ca"]


def test_annotations_and_history_reach_every_deployment(render: Render, name: str) -> None:
    rendered = render(WHOLE_POD)

    assert rendered.one("Deployment", name)["metadata"]["annotations"] == {"example.com/a": "1"}
    assert deployment(rendered, name)["revisionHistoryLimit"] == 3


def test_the_services_have_the_chosen_ip_families(render: Render) -> None:
    services = render(WHOLE_POD).all("Service")

    assert len(services) == 3
    assert {tuple(each["spec"]["ipFamilies"]) for each in services} == {("IPv6", "IPv4")}
    assert {each["spec"]["ipFamilyPolicy"] for each in services} == {"RequireDualStack"}


def test_every_component_listens_on_ipv6_by_default(render: Render) -> None:
    hosts = {
        each["value"]
        for found in render(COMPONENTS).all("Deployment")
        for each in found["spec"]["template"]["spec"]["containers"][0]["env"]
        if each["name"].endswith("_HOST")
    }

    assert hosts == {"::"}


def test_extra_objects_are_rendered_as_templates(render: Render) -> None:
    rendered = render(WHOLE_POD)

    assert rendered.one("ConfigMap", "company-ca")["data"] == {"ca.pem": "x"}
    assert rendered.one("ConfigMap", "mljob-operator-text")
