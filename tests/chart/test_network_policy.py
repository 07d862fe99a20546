from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.chart.conftest import Render
from tests.chart.rendering import merged
from tests.chart.value_sets import CLOSED, COMPONENTS, PEER

NAME = "mljob-operator"
RESTRICTED: dict[str, Any] = {"networkPolicy": {"create": True, "egress": {"restrict": True}}}


def policy(render: Render, values: dict[str, Any], name: str = NAME) -> dict[str, Any]:
    spec: dict[str, Any] = render(values).one("NetworkPolicy", name)["spec"]
    return spec


def tcp(*ports: int) -> list[dict[str, Any]]:
    return [{"port": port, "protocol": "TCP"} for port in ports]


DNS = {"ports": [{"port": port, "protocol": protocol} for port in (53, 5353) for protocol in ("UDP", "TCP")]}
API = {"ports": tcp(443, 6443)}


def test_there_is_no_policy_of_the_operator_by_default(render: Render) -> None:
    assert not render().all("NetworkPolicy")


def test_metrics_and_probes_are_the_only_way_in(render: Render) -> None:
    rendered = render({"networkPolicy": {"create": True}})
    spec = rendered.one("NetworkPolicy")["spec"]

    assert spec["podSelector"] == rendered.one("Deployment")["spec"]["selector"]
    assert spec["policyTypes"] == ["Ingress"]
    assert spec["ingress"] == [{"ports": [{"port": "http", "protocol": "TCP"}]}]


def test_metrics_are_read_by_the_named_peers_only(render: Render) -> None:
    assert policy(render, CLOSED)["ingress"] == [{"ports": [{"port": "http", "protocol": "TCP"}], "from": [PEER]}]
    of_api = policy(render, CLOSED, f"{NAME}-api")["ingress"]
    assert [rule.get("from") for rule in of_api] == [None, [PEER]]


def test_egress_goes_to_what_the_values_name(render: Render) -> None:
    expected = [
        DNS | {"to": [PEER]},
        API | {"to": [{"ipBlock": {"cidr": "10.0.0.1/32"}}]},
        {"ports": tcp(8080, 443), "to": [PEER]},
        {"ports": tcp(9092, 9093), "to": [PEER]},
        {"ports": tcp(443), "to": [PEER]},
    ]
    for name in (NAME, f"{NAME}-api"):
        assert policy(render, CLOSED, name)["egress"] == expected
        assert policy(render, CLOSED, name)["policyTypes"] == ["Ingress", "Egress"]


def test_the_view_reaches_dns_and_the_kubernetes_api_alone(render: Render) -> None:
    assert policy(render, merged(RESTRICTED, COMPONENTS), f"{NAME}-view")["egress"] == [DNS, API]
    assert "egress" not in policy(render, COMPONENTS, f"{NAME}-view")


@pytest.mark.parametrize(
    ("url", "port"),
    [
        ("http://airflow.example:8080", 8080),
        ("https://airflow.example", 443),
        ("http://airflow.example/team", 80),
        ("https://[fd00::7]:8443/a", 8443),
        ("https://[fd00::7]", 443),
    ],
)
def test_the_port_of_airflow_comes_from_its_url(render: Render, url: str, port: int) -> None:
    assert policy(render, merged(RESTRICTED, {"airflow": {"url": url}}))["egress"] == [DNS, API, {"ports": tcp(port)}]


def test_the_ports_in_the_values_replace_those_of_the_addresses(render: Render) -> None:
    # A Service with the port 80 may lead to Pods with the port 8080, which a NetworkPolicy sees.
    values = {
        "airflow": {"url": "http://airflow.airflow"},
        "kafka": {"bootstrapServers": "kafka:9092"},
        "networkPolicy": {"egress": {"airflow": {"ports": [8080]}, "kafka": {"ports": [19092]}}},
    }

    rules = policy(render, merged(RESTRICTED, values))["egress"]
    assert rules == [DNS, API, {"ports": tcp(8080)}, {"ports": tcp(19092)}]


TRACES = {"operator": {"tracesEndpoint": "http://otel.monitoring:4318/v1/traces"}}


@pytest.mark.parametrize(
    ("egress", "rule"),
    [
        ({}, {"ports": tcp(4318)}),
        ({"to": [PEER]}, {"ports": tcp(4318), "to": [PEER]}),
        ({"ports": [14318]}, {"ports": tcp(14318)}),
    ],
)
def test_the_operator_alone_reaches_the_receiver_of_traces(
    render: Render, egress: dict[str, Any], rule: dict[str, Any]
) -> None:
    values = merged(RESTRICTED, merged(COMPONENTS, TRACES) | {"networkPolicy": {"egress": {"traces": egress}}})

    assert policy(render, values)["egress"][-1] == rule
    assert rule not in policy(render, values, f"{NAME}-api")["egress"]
    assert policy(render, values, f"{NAME}-view")["egress"] == [DNS, API]


def test_without_a_receiver_of_traces_no_rule_admits_one(render: Render) -> None:
    values = merged(RESTRICTED, {"networkPolicy": {"egress": {"traces": {"to": [PEER]}}}})

    assert policy(render, values)["egress"] == [DNS, API, {"ports": tcp(8080)}]


def test_own_rules_of_mljob_api_replace_the_common_ones(render: Render) -> None:
    values = merged(CLOSED, {"api": {"networkPolicy": {"egress": [{"to": [PEER]}]}}})

    assert policy(render, values, f"{NAME}-api")["egress"] == [{"to": [PEER]}]


def test_without_a_port_of_airflow_the_message_says_what_to_set(refusal: Callable[[Mapping[str, Any]], str]) -> None:
    said = refusal(merged(RESTRICTED, {"airflow": {"url": ""}}))

    assert "set networkPolicy.egress.airflow.ports to the ports of your AirflowInstances" in said


def test_peers_alone_are_enough_for_airflow(render: Render) -> None:
    values = {"airflow": {"url": ""}, "networkPolicy": {"egress": {"airflow": {"to": [PEER]}}}}

    assert policy(render, merged(RESTRICTED, values))["egress"] == [DNS, API, {"to": [PEER]}]
