"""Passwords, tokens and certificates come from existing Secrets, as variables of the operator's
container or as files in volumes.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests import libyaml
from tests.chart.conftest import Render
from tests.chart.environment_values import CA, EVERYTHING, KAFKA, MSK, SASL
from tests.chart.rendering import merged
from tests.pages import ROOT, blocks


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


def test_on_the_page_about_composer_a_container_writes_the_token_files_that_the_operator_reads(render: Render) -> None:
    values, instance = (libyaml.load(block.text) for block in blocks(ROOT / "docs/environments/composer.md", "yaml"))
    containers = render(values).pod["containers"]
    reader, writer = (
        next(each for each in container["volumeMounts"] if each["name"] == "airflow-tokens") for container in containers
    )

    assert reader == {**writer, "readOnly": True}
    assert reader["mountPath"] == values["airflowInstances"]["tokenFiles"]
    assert instance["spec"]["credentials"]["tokenFile"]["name"] == "composer"


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


def test_the_chart_creates_no_secret_and_shows_no_password(render: Render) -> None:
    rendered = render(EVERYTHING)

    assert not rendered.all("Secret")
    assert not [name for name, value in rendered.env.items() if "PASSWORD" in name and isinstance(value, str)]
    assert "password" not in json.dumps([value for value in rendered.env.values() if isinstance(value, str)])


def test_a_user_name_can_be_a_value_instead_of_a_secrets_key(render: Render) -> None:
    # The Secret that Strimzi creates for a KafkaUser has no key with the user name.
    env = render({"kafka": merged(SASL, {"sasl": {"username": "mljob-operator"}})}).env

    assert env["MLJOB_KAFKA_SASL_USERNAME"] == "mljob-operator"
    assert env["MLJOB_KAFKA_SASL_PASSWORD"] == ("kafka-user", "password")


def test_msk_needs_no_secret(render: Render) -> None:
    env = render({"kafka": MSK}).env

    assert env["MLJOB_KAFKA_AWS_REGION"] == "eu-west-1"
    assert not [name for name, value in env.items() if "KAFKA" in name and isinstance(value, tuple)]
