"""The chart's values become environment variables of the operator's container."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chart.conftest import Render
from tests.chart.environment_values import EVERYTHING, KAFKA, SASL
from tests.chart.rendering import AIRFLOW_URL, merged


def test_with_the_required_values_only_the_operator_manages_all_namespaces_through_rest(render: Render) -> None:
    assert render().env == {
        "MLJOB_AIRFLOW_URL": AIRFLOW_URL,
        "MLJOB_AIRFLOW_INSTANCES": "true",
        "MLJOB_CREDENTIALS_NAMESPACE": "mljob-system",
        "MLJOB_CANCEL_DAG_ID": "mljob_cancel",
        "MLJOB_CANCEL_FALLBACK_SECONDS": "20",
        "MLJOB_KAFKA_BOOTSTRAP_SERVERS": "",
        "MLJOB_NAMESPACES": "",
        "MLJOB_LEASE_NAME": "mljob-operator",
        "MLJOB_LEASE_SECONDS": "10",
        "MLJOB_RUN_ID_PREFIX": "mljob",
        "MLJOB_RESYNC_INTERVAL_SECONDS": "5",
        "MLJOB_ORPHANED_RUNS": "Report",
        "MLJOB_STATUS_INTERVAL_SECONDS": "0.1",
        "MLJOB_LOG_FORMAT": "json",
        "MLJOB_LOG_LEVEL": "info",
        "MLJOB_POD_NAME": ("fieldRef", "metadata.name"),
        "MLJOB_POD_UID": ("fieldRef", "metadata.uid"),
        "MLJOB_HTTP_HOST": "::",
        "MLJOB_HTTP_PORT": "8080",
    }


def test_with_brokers_the_operator_reads_the_default_topic(render: Render) -> None:
    env = render({"kafka": KAFKA}).env

    assert {name: value for name, value in env.items() if "KAFKA" in name or "TOPIC" in name} == {
        "MLJOB_KAFKA_BOOTSTRAP_SERVERS": "kafka-0:9092,kafka-1:9092",
        "MLJOB_EVENTS_TOPIC": "airflow.events",
        "MLJOB_KAFKA_GROUP_ID": "mljob-operator",
        "MLJOB_KAFKA_SECURITY_PROTOCOL": "PLAINTEXT",
    }


@pytest.mark.parametrize(
    ("values", "name", "expected"),
    [
        pytest.param({"airflow": {"uiUrl": "https://ui.example"}}, "AIRFLOW_UI_URL", "https://ui.example", id="UI"),
        pytest.param(
            {"airflow": {"cancelDagId": "stopp_für_alle"}}, "CANCEL_DAG_ID", "stopp_für_alle", id="cancellation DAG"
        ),
        pytest.param(
            {"airflow": {"reservedDags": ["ops_*", "restore"]}}, "RESERVED_DAGS", "ops_*,restore", id="reserved DAGs"
        ),
        pytest.param({"airflow": {"access": [{}]}}, "AIRFLOW_ACCESS", "[{}]", id="access for every namespace"),
        pytest.param(
            {"airflow": {"acceptVanishedRunsBefore": "2026-01-31T12:00:00Z"}},
            "AIRFLOW_ACCEPT_VANISHED_RUNS_BEFORE",
            "2026-01-31T12:00:00Z",
            id="accepted loss of runs",
        ),
        pytest.param({"operator": {"httpHost": "0.0.0.0"}}, "HTTP_HOST", "0.0.0.0", id="address to listen on"),
        pytest.param({"kafka": KAFKA | {"eventsTopic": "ml.events"}}, "EVENTS_TOPIC", "ml.events", id="topic"),
        pytest.param({"kafka": KAFKA | {"groupId": "blue"}}, "KAFKA_GROUP_ID", "blue", id="consumer group"),
        pytest.param({"kafka": KAFKA | {"deadLetterTopic": "dead"}}, "DEAD_LETTER_TOPIC", "dead", id="dead letters"),
        pytest.param(
            {"kafka": KAFKA | {"securityProtocol": "SSL"}}, "KAFKA_SECURITY_PROTOCOL", "SSL", id="security protocol"
        ),
        pytest.param({"kafka": SASL}, "KAFKA_SASL_MECHANISM", "SCRAM-SHA-512", id="default SASL mechanism"),
        pytest.param(
            {"kafka": merged(SASL, {"sasl": {"mechanism": "PLAIN"}})},
            "KAFKA_SASL_MECHANISM",
            "PLAIN",
            id="SASL mechanism",
        ),
        pytest.param({"operator": {"namespaces": ["team-a"]}}, "NAMESPACES", "team-a", id="one namespace"),
        pytest.param({"airflowInstances": {"enabled": False}}, "AIRFLOW_INSTANCES", "false", id="no AirflowInstances"),
        pytest.param(
            {"operator": {"namespaces": ["team-a"]}},
            "AIRFLOW_INSTANCES",
            "false",
            id="no AirflowInstances by default with chosen namespaces",
        ),
        pytest.param(
            {"operator": {"namespaces": ["team-a"]}, "airflowInstances": {"enabled": True}},
            "AIRFLOW_INSTANCES",
            "true",
            id="AirflowInstances with chosen namespaces",
        ),
        pytest.param(
            {"operator": {"namespaces": ["team-a", "team-b"]}}, "NAMESPACES", "team-a,team-b", id="namespaces"
        ),
        pytest.param(
            {"operator": {"selector": {"matchLabels": {"team": "a"}}}},
            "SELECTOR",
            '{"matchLabels":{"team":"a"}}',
            id="selector",
        ),
        pytest.param(
            {"operator": {"selector": {"matchLabels": {"team": "a"}}}},
            "AIRFLOW_INSTANCES",
            "false",
            id="no instances with a selector",
        ),
        pytest.param({"operator": {"leaseSeconds": 30}}, "LEASE_SECONDS", "30", id="duration of the Lease"),
        pytest.param({"fullnameOverride": "churn"}, "LEASE_NAME", "churn", id="a Lease for each release"),
        pytest.param({"operator": {"runIdPrefix": "blue"}}, "RUN_ID_PREFIX", "blue", id="run id prefix"),
        pytest.param(
            {"operator": {"resyncIntervalSeconds": 0.5}}, "RESYNC_INTERVAL_SECONDS", "0.5", id="resync interval"
        ),
        pytest.param({"operator": {"orphanedRuns": "Cancel"}}, "ORPHANED_RUNS", "Cancel", id="orphaned runs"),
        pytest.param({"operator": {"statusIntervalSeconds": 0}}, "STATUS_INTERVAL_SECONDS", "0", id="status interval"),
        pytest.param(
            {"airflow": {"cancelFallbackSeconds": 60}}, "CANCEL_FALLBACK_SECONDS", "60", id="time before REST cancels"
        ),
        pytest.param(
            {"operator": {"tracesEndpoint": "http://collector:4318/v1/traces"}},
            "TRACES_ENDPOINT",
            "http://collector:4318/v1/traces",
            id="traces",
        ),
        pytest.param({"operator": {"logFormat": "text"}}, "LOG_FORMAT", "text", id="log format"),
        pytest.param({"operator": {"logLevel": "debug"}}, "LOG_LEVEL", "debug", id="log level"),
    ],
)
def test_a_value_becomes_its_variable(render: Render, values: dict[str, Any], name: str, expected: str) -> None:
    assert render(values).env[f"MLJOB_{name}"] == expected


def test_without_brokers_the_other_kafka_values_have_no_effect(render: Render) -> None:
    rendered = render(merged(EVERYTHING, {"kafka": {"bootstrapServers": ""}}))

    assert [name for name in rendered.env if "KAFKA" in name] == ["MLJOB_KAFKA_BOOTSTRAP_SERVERS"]
    assert [each["name"] for each in rendered.pod["volumes"]] == ["tmp", "airflow-ca"]


def test_with_all_values_no_variable_and_no_volume_occurs_twice(render: Render) -> None:
    rendered = render(EVERYTHING)

    volumes = [each["name"] for each in rendered.pod["volumes"]]
    assert sorted(volumes) == sorted({*volumes}) == ["airflow-ca", "kafka-ca", "kafka-client", "kafka-extra", "tmp"]
    assert len(rendered.env) == len(rendered.container["env"])


def test_extra_variables_come_last(render: Render) -> None:
    proxy = {"name": "HTTPS_PROXY", "value": "http://proxy:3128"}
    node = {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}

    assert render({"extraEnv": [proxy, node]}).container["env"][-2:] == [proxy, node]


def test_extra_variables_override_the_charts_and_no_name_occurs_twice(render: Render) -> None:
    # Server-side apply, which Helm 4 uses, refuses two variables with the same name.
    extra = [
        {"name": "MLJOB_KAFKA_SASL_USERNAME", "value": "first"},
        {"name": "MLJOB_LOG_LEVEL", "value": "debug"},
        {"name": "HTTPS_PROXY", "value": "http://proxy:3128"},
        {"name": "MLJOB_KAFKA_SASL_USERNAME", "value": "last"},
    ]
    rendered = render({"kafka": SASL, "extraEnv": extra})

    assert (
        rendered.env.items()
        >= {
            "MLJOB_KAFKA_SASL_USERNAME": "last",
            "MLJOB_LOG_LEVEL": "debug",
            "HTTPS_PROXY": "http://proxy:3128",
        }.items()
    )
    names = [each["name"] for each in rendered.container["env"]]
    assert names[-3:] == ["MLJOB_KAFKA_SASL_USERNAME", "MLJOB_LOG_LEVEL", "HTTPS_PROXY"]
