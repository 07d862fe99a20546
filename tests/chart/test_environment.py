"""The chart's values become environment variables of the operator's container. Passwords come from
existing Secrets.
"""

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
from tests.chart.rendering import AIRFLOW_URL, CHART, MINIMAL, Rendered, merged

KAFKA = {"bootstrapServers": "kafka-0:9092,kafka-1:9092"}
SASL = KAFKA | {"securityProtocol": "SASL_SSL", "sasl": {"existingSecret": "kafka-user"}}
EVERYTHING: dict[str, Any] = {
    "airflow": {
        "url": "https://airflow.example",
        "uiUrl": "https://ui.example",
        "acceptVanishedRunsBefore": "2026-01-31T12:00:00Z",
        "existingSecret": "airflow-credentials",
        "tls": {"ca": {"existingSecret": "airflow-ca"}},
        "access": [{"dags": ["train_*"]}],
        "reservedDags": ["ops_*", "restore"],
    },
    "kafka": merged(
        SASL,
        {
            "deadLetterTopic": "dead",
            "tls": {
                "ca": {"existingSecret": "kafka-ca"},
                "client": {"existingSecret": "kafka-client", "privateKeyPasswordKey": "key-password"},
            },
            "extraConfig": {"socket.timeout.ms": 30000, "socket.keepalive.enable": True, "client.id": "mljob"},
            "extraConfigSecret": {"existingSecret": "kafka-extra"},
        },
    ),
    "operator": {"namespaces": ["team-a", "team-b"]},
}
"""Values of Airflow, Kafka and the namespaces that can be set at the same time. The login at
Airflow is a user name and a password. The values of the other logins are WITH_TOKEN,
WITH_TOKEN_FILE and WITH_OAUTH2.
"""

OIDC = merged(
    SASL,
    {
        "sasl": {
            "mechanism": "OAUTHBEARER",
            "oauth": {
                "method": "OIDC",
                "oidc": {
                    "tokenEndpoint": "https://login.example/token",
                    "scope": "kafka",
                    "extensions": "logicalCluster=lkc-1,identityPoolId=pool-1",
                    "ca": {"existingSecret": "login-ca"},
                },
            },
        }
    },
)
MSK = KAFKA | {
    "securityProtocol": "SASL_SSL",
    "sasl": {"mechanism": "OAUTHBEARER", "oauth": {"method": "MSK_IAM", "awsRegion": "eu-west-1"}},
}

CA = [{"key": "ca.crt", "path": "ca.crt"}]


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


def test_without_an_airflow_url_the_operator_manages_airflow_instances(
    render: Render, settings: Callable[[Rendered], Settings]
) -> None:
    parsed = settings(render({"airflow": {"url": ""}}))

    assert (parsed.airflow_url, parsed.airflow_instances) == (None, True)


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


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param({"existingSecret": "creds"}, {"USER": "user", "PASSWORD": "password"}, id="password"),
        pytest.param({"existingSecret": "creds", "auth": "Token"}, {"TOKEN": "token"}, id="token"),
        pytest.param(
            {"existingSecret": "creds", "secretKeys": {"user": "login", "password": "pass"}},
            {"USER": "login", "PASSWORD": "pass"},
            id="password under other keys",
        ),
        pytest.param(
            {"existingSecret": "creds", "auth": "Token", "secretKeys": {"token": "jwt"}},
            {"TOKEN": "jwt"},
            id="token under another key",
        ),
        pytest.param(
            {"existingSecret": "creds", "auth": "OAuth2"},
            {"OAUTH2_CLIENT_ID": "client-id", "OAUTH2_CLIENT_SECRET": "client-secret"},
            id="an OAuth 2 client",
        ),
        pytest.param({"auth": "Token"}, {}, id="no Secret, no credentials"),
    ],
)
def test_credentials_for_airflow_come_from_the_named_secret(
    render: Render, values: dict[str, Any], expected: dict[str, str]
) -> None:
    env = render({"airflow": values}).env

    credentials = {
        name: env[name]
        for name in env
        if name.removeprefix("MLJOB_AIRFLOW_")
        in ("USER", "PASSWORD", "TOKEN", "TOKEN_FILE", "OAUTH2_CLIENT_ID", "OAUTH2_CLIENT_SECRET")
    }
    assert credentials == {f"MLJOB_AIRFLOW_{name}": ("creds", key) for name, key in expected.items()}


def test_oauth2_values_become_variables(render: Render) -> None:
    oauth2 = {"tokenUrl": "https://login.example.com/token", "scopes": ["airflow", "openid"], "audience": "ml"}
    env = render({"airflow": {"existingSecret": "creds", "auth": "OAuth2", "oauth2": oauth2}}).env
    named = {
        name: value for name, value in env.items() if name.startswith("MLJOB_AIRFLOW_OAUTH2") and "SECRET" not in name
    }
    assert named == {
        "MLJOB_AIRFLOW_OAUTH2_CLIENT_ID": ("creds", "client-id"),
        "MLJOB_AIRFLOW_OAUTH2_TOKEN_URL": "https://login.example.com/token",
        "MLJOB_AIRFLOW_OAUTH2_SCOPES": "airflow openid",
        "MLJOB_AIRFLOW_OAUTH2_AUDIENCE": "ml",
        "MLJOB_AIRFLOW_OAUTH2_CLIENT_AUTHENTICATION": "Basic",
    }


def test_a_token_file_and_headers_are_mounted_as_whole_volumes(render: Render) -> None:
    # A mount of a single file would keep the old content when the Secret changes.
    rendered = render(
        {"airflow": {"existingSecret": "creds", "auth": "TokenFile", "headers": {"existingSecret": "gateway"}}}
    )
    assert rendered.env["MLJOB_AIRFLOW_TOKEN_FILE"] == "/etc/mljob-operator/airflow-token/token"
    assert rendered.env["MLJOB_AIRFLOW_HEADERS_DIR"] == "/etc/mljob-operator/airflow-headers"
    volumes = {volume["name"]: volume for volume in rendered.pod["volumes"]}
    assert volumes["airflow-token"]["secret"]["items"] == [{"key": "token", "path": "token"}]
    assert volumes["airflow-headers"]["secret"] == {"secretName": "gateway", "defaultMode": 0o440}
    mounts = {mount["name"]: mount for mount in rendered.container["volumeMounts"]}
    for name in ("airflow-token", "airflow-headers"):
        assert mounts[name]["mountPath"] == f"/etc/mljob-operator/{name}"
        assert not mounts[name].keys() & {"subPath", "subPathExpr"}


def test_extra_volumes_are_mounted_for_token_files(render: Render) -> None:
    volume = {"name": "tokens", "csi": {"driver": "secrets-store.csi.k8s.io"}}
    rendered = render(
        {
            "airflowInstances": {"tokenFiles": "/var/run/tokens"},
            "extraVolumes": [volume],
            "extraVolumeMounts": [{"name": "tokens", "mountPath": "/var/run/tokens", "readOnly": True}],
        }
    )
    assert rendered.env["MLJOB_AIRFLOW_TOKEN_FILES"] == "/var/run/tokens"
    assert volume in rendered.pod["volumes"]
    assert {"name": "tokens", "mountPath": "/var/run/tokens", "readOnly": True} in rendered.container["volumeMounts"]


@pytest.mark.parametrize("protocol", ["SASL_SSL", "SASL_PLAINTEXT"])
def test_credentials_for_kafka_come_from_the_named_secret(render: Render, protocol: str) -> None:
    env = render({"kafka": merged(SASL, {"securityProtocol": protocol, "sasl": {"usernameKey": "login"}})}).env

    assert env["MLJOB_KAFKA_SASL_USERNAME"] == ("kafka-user", "login")
    assert env["MLJOB_KAFKA_SASL_PASSWORD"] == ("kafka-user", "password")


@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SSL"])
def test_without_sasl_there_are_no_sasl_variables(render: Render, protocol: str) -> None:
    assert not [name for name in render({"kafka": KAFKA | {"securityProtocol": protocol}}).env if "SASL" in name]


@pytest.mark.parametrize(
    ("values", "volume", "secret", "items", "files"),
    [
        pytest.param(
            {
                "airflow": {
                    "url": "https://airflow.example",
                    "tls": {"ca": {"existingSecret": "trust", "key": "bundle.pem"}},
                }
            },
            "airflow-ca",
            "trust",
            [{"key": "bundle.pem", "path": "ca.crt"}],
            {"MLJOB_AIRFLOW_CA_FILE": "ca.crt"},
            id="Airflow's CA",
        ),
        pytest.param(
            {"kafka": KAFKA | {"securityProtocol": "SSL", "tls": {"ca": {"existingSecret": "trust"}}}},
            "kafka-ca",
            "trust",
            CA,
            {"MLJOB_KAFKA_SSL_CA_FILE": "ca.crt"},
            id="Kafka's CA",
        ),
        pytest.param(
            {"kafka": merged(SASL, {"tls": {"ca": {"existingSecret": "trust"}}})},
            "kafka-ca",
            "trust",
            CA,
            {"MLJOB_KAFKA_SSL_CA_FILE": "ca.crt"},
            id="Kafka's CA with SASL",
        ),
        pytest.param(
            {"kafka": KAFKA | {"securityProtocol": "SSL", "tls": {"client": {"existingSecret": "mine"}}}},
            "kafka-client",
            "mine",
            [{"key": "tls.crt", "path": "tls.crt"}, {"key": "tls.key", "path": "tls.key"}],
            {"MLJOB_KAFKA_SSL_CERTIFICATE_FILE": "tls.crt", "MLJOB_KAFKA_SSL_KEY_FILE": "tls.key"},
            id="client certificate",
        ),
        pytest.param(
            {
                "kafka": KAFKA
                | {
                    "securityProtocol": "SSL",
                    "tls": {
                        "client": {"existingSecret": "mine", "certificateKey": "user.crt", "privateKeyKey": "user.key"}
                    },
                }
            },
            "kafka-client",
            "mine",
            [{"key": "user.crt", "path": "tls.crt"}, {"key": "user.key", "path": "tls.key"}],
            {"MLJOB_KAFKA_SSL_CERTIFICATE_FILE": "tls.crt", "MLJOB_KAFKA_SSL_KEY_FILE": "tls.key"},
            id="client certificate under other keys",
        ),
    ],
)
def test_a_certificate_is_mounted_and_its_file_becomes_a_setting(
    render: Render, values: dict[str, Any], volume: str, secret: str, items: list[dict[str, str]], files: dict[str, str]
) -> None:
    rendered = render(values)

    volumes = {each["name"]: each for each in rendered.pod["volumes"]}
    mounts = {each["name"]: each for each in rendered.container["volumeMounts"]}
    assert volumes[volume] == {"name": volume, "secret": {"secretName": secret, "defaultMode": 0o440, "items": items}}
    assert mounts[volume] == {"name": volume, "mountPath": f"/etc/mljob-operator/{volume}", "readOnly": True}
    assert set(volumes) == set(mounts) == {"tmp", volume}
    assert {name: value for name, value in rendered.env.items() if name.endswith("_FILE")} == {
        name: f"/etc/mljob-operator/{volume}/{file}" for name, file in files.items()
    }


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


def test_the_chart_creates_no_secret_and_shows_no_password(render: Render) -> None:
    rendered = render(EVERYTHING)

    assert not rendered.all("Secret")
    assert not [name for name, value in rendered.env.items() if "PASSWORD" in name and isinstance(value, str)]
    assert "password" not in json.dumps([value for value in rendered.env.values() if isinstance(value, str)])


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


WITH_TOKEN = {"airflow": {"existingSecret": "creds", "auth": "Token"}}
WITH_TOKEN_FILE = {
    "airflow": {"existingSecret": "creds", "auth": "TokenFile"},
    "airflowInstances": {"tokenFiles": "/var/run/tokens"},
}
WITH_OAUTH2 = {
    "airflow": {
        "existingSecret": "creds",
        "auth": "OAuth2",
        "oauth2": {"tokenUrl": "https://login.example.com/token", "scopes": ["airflow"], "audience": "ml"},
    }
}


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


def test_a_user_name_can_be_a_value_instead_of_a_secrets_key(render: Render) -> None:
    # The Secret that Strimzi creates for a KafkaUser has no key with the user name.
    env = render({"kafka": merged(SASL, {"sasl": {"username": "mljob-operator"}})}).env

    assert env["MLJOB_KAFKA_SASL_USERNAME"] == "mljob-operator"
    assert env["MLJOB_KAFKA_SASL_PASSWORD"] == ("kafka-user", "password")


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


def test_msk_needs_no_secret(render: Render) -> None:
    env = render({"kafka": MSK}).env

    assert env["MLJOB_KAFKA_AWS_REGION"] == "eu-west-1"
    assert not [name for name, value in env.items() if "KAFKA" in name and isinstance(value, tuple)]


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
