"""The operator reads its settings from the variables that the chart sets."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from typing import Any

import pytest

from mljob_contract.airflow_instance import AccessRule
from mljob_operator.settings import Settings
from tests.chart.conftest import Render
from tests.chart.environment_values import CA, EVERYTHING, KAFKA, MSK, OIDC, WITH_OAUTH2, WITH_TOKEN, WITH_TOKEN_FILE
from tests.chart.rendering import CHART, MINIMAL, Rendered, merged


def test_without_an_airflow_url_the_operator_manages_airflow_instances(
    render: Render, settings: Callable[[Rendered], Settings]
) -> None:
    parsed = settings(render({"airflow": {"url": ""}}))

    assert (parsed.airflow_url, parsed.airflow_instances) == (None, True)


TWO_TEAMS: list[dict[str, Any]] = [
    {
        "namespaceSelector": {
            "matchLabels": {"team": "churn"},
            "matchExpressions": [
                {"key": "tier", "operator": "In", "values": ["gold", "silver"]},
                {"key": "banned", "operator": "DoesNotExist"},
            ],
        },
        "dags": ["train_*", "predict", "modèle_?"],
        "credentials": {"passwordSecretRef": {"name": "churn", "userKey": "login", "passwordKey": "pass"}},
        "maxActiveRuns": 5,
        "priority": 10,
    },
    {
        "namespaceSelector": {"matchLabels": {"team": "fraud"}},
        "credentials": {"tokenSecretRef": {"name": "fraud", "key": "jwt"}},
        "priority": -1,
    },
]


def test_access_rules_reach_the_operator_unchanged(render: Render, settings: Callable[[Rendered], Settings]) -> None:
    parsed = settings(render(merged(WITH_TOKEN, {"airflow": {"access": TWO_TEAMS}})))

    assert parsed.airflow_access == tuple(AccessRule.model_validate(rule) for rule in TWO_TEAMS)


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Callable[[Rendered], Settings]:
    def read(rendered: Rendered) -> Settings:
        for name in [name for name in os.environ if name.startswith("MLJOB_")]:
            monkeypatch.delenv(name)
        for name, value in rendered.env.items():
            monkeypatch.setenv(name, value if isinstance(value, str) else "from-a-Secret")
        return Settings()

    return read


def test_the_chart_sets_all_settings_of_the_operator_and_no_other_variable(render: Render) -> None:
    headers = {"airflow": {"headers": {"existingSecret": "gateway"}}}
    releases: tuple[dict[str, Any], ...] = (
        EVERYTHING,
        WITH_TOKEN,
        WITH_TOKEN_FILE,
        WITH_OAUTH2,
        headers,
        {"kafka": OIDC},
        {"kafka": MSK},
    )
    releases += ({"operator": {"selector": {"matchLabels": {"team": "a"}}, "tracesEndpoint": "http://collector"}},)
    assert {name for values in releases for name in render(values).env} == {
        f"MLJOB_{field.upper()}" for field in Settings.model_fields
    }


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(EVERYTHING, id="everything"),
        pytest.param(WITH_TOKEN, id="token"),
        pytest.param(WITH_TOKEN_FILE, id="token file"),
        pytest.param(WITH_OAUTH2, id="OAuth 2 client"),
        pytest.param(merged(WITH_TOKEN, {"kafka": OIDC}), id="OIDC tokens for Kafka"),
        pytest.param(merged(WITH_TOKEN, {"kafka": MSK}), id="MSK"),
    ],
)
def test_the_operator_accepts_the_variables_of_the_chart(
    render: Render, settings: Callable[[Rendered], Settings], values: dict[str, Any]
) -> None:
    parsed = settings(render(values))

    assert parsed.airflow_url == merged(MINIMAL, values)["airflow"]["url"]
    assert parsed.namespaces == tuple(values.get("operator", {}).get("namespaces", ()))


def test_the_chart_and_the_operator_have_the_same_defaults(
    render: Render, settings: Callable[[Rendered], Settings]
) -> None:
    parsed = settings(render(merged(WITH_TOKEN, {"kafka": KAFKA})))

    without_default = {"airflow_url", "airflow_token", "kafka_bootstrap_servers", "pod_name", "pod_uid"}
    defaults = {name: field.default for name, field in Settings.model_fields.items() if name not in without_default}
    assert {name: getattr(parsed, name) for name in defaults} == defaults


@pytest.mark.parametrize(
    ("path", "field"),
    [
        pytest.param(("operator", "logFormat"), "log_format", id="log format"),
        pytest.param(("operator", "logLevel"), "log_level", id="log level"),
        pytest.param(("operator", "orphanedRuns"), "orphaned_runs", id="orphaned runs"),
        pytest.param(("kafka", "securityProtocol"), "kafka_security_protocol", id="security protocol"),
        pytest.param(("kafka", "sasl", "mechanism"), "kafka_sasl_mechanism", id="SASL mechanism"),
        pytest.param(("kafka", "sasl", "oauth", "method"), "kafka_oauth_method", id="source of tokens"),
    ],
)
def test_the_schema_has_the_choices_of_the_operators_setting(path: tuple[str, ...], field: str) -> None:
    node = json.loads((CHART / "values.schema.json").read_text())
    for key in path:
        node = node["properties"][key]
    choices = re.findall(r"'([^']+)'", str(Settings.model_fields[field].annotation))

    assert [choice for choice in node["enum"] if choice] == choices


def test_oidc_takes_the_client_from_one_secret_and_the_ca_from_another(
    render: Render, settings: Callable[[Rendered], Settings]
) -> None:
    rendered = render(merged(WITH_TOKEN, {"kafka": OIDC}))

    assert (
        rendered.env.items()
        >= {
            "MLJOB_KAFKA_OAUTH_METHOD": "OIDC",
            "MLJOB_KAFKA_OIDC_TOKEN_ENDPOINT": "https://login.example/token",
            "MLJOB_KAFKA_OIDC_CLIENT_ID": ("kafka-user", "client-id"),
            "MLJOB_KAFKA_OIDC_CLIENT_SECRET": ("kafka-user", "client-secret"),
            "MLJOB_KAFKA_OIDC_SCOPE": "kafka",
            "MLJOB_KAFKA_OIDC_CA_FILE": "/etc/mljob-operator/oidc-ca/ca.crt",
        }.items()
    )
    assert "MLJOB_KAFKA_SASL_PASSWORD" not in rendered.env
    [volume] = [each for each in rendered.pod["volumes"] if each["name"] == "oidc-ca"]
    assert (volume["secret"]["secretName"], volume["secret"]["items"]) == ("login-ca", CA)
    properties = settings(rendered).kafka()
    assert properties["sasl.oauthbearer.method"] == "oidc"
    assert properties["sasl.oauthbearer.extensions"] == "logicalCluster=lkc-1,identityPoolId=pool-1"


def test_extra_properties_of_librdkafka_reach_the_operator_unchanged(
    render: Render, settings: Callable[[Rendered], Settings]
) -> None:
    rendered = render(EVERYTHING)

    assert settings(rendered).kafka_extra_config == {
        "socket.timeout.ms": "30000",
        "socket.keepalive.enable": "true",
        "client.id": "mljob",
    }
    assert rendered.env["MLJOB_KAFKA_EXTRA_CONFIG_FILE"] == "/etc/mljob-operator/kafka-extra/kafka.properties"
    [volume] = [each for each in rendered.pod["volumes"] if each["name"] == "kafka-extra"]
    assert volume["secret"]["items"] == [{"key": "kafka.properties", "path": "kafka.properties"}]
