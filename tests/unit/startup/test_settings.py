from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from mljob_operator import main as composition
from mljob_operator.adapters.consumer_properties import refusal
from mljob_operator.settings import Settings
from mljob_operator.settings.kafka_properties import RESERVED, secrets
from tests.live.authority import Authority

SECRET = "s3cr3t-t0k3n"
AIRFLOW = {"AIRFLOW_URL": "http://airflow:8080", "AIRFLOW_TOKEN": SECRET}
KAFKA = {"KAFKA_BOOTSTRAP_SERVERS": "kafka:9092"}
SASL = {
    **KAFKA,
    "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
    "KAFKA_SASL_MECHANISM": "PLAIN",
    "KAFKA_SASL_USERNAME": "mljob",
    "KAFKA_SASL_PASSWORD": SECRET,
}
OAUTH = {**KAFKA, "KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_SASL_MECHANISM": "OAUTHBEARER"}
OIDC = {
    "KAFKA_OAUTH_METHOD": "OIDC",
    "KAFKA_OIDC_TOKEN_ENDPOINT": "https://login/token",
    "KAFKA_OIDC_CLIENT_ID": "mljob",
    "KAFKA_OIDC_CLIENT_SECRET": SECRET,
}


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("MLJOB_"):
            monkeypatch.delenv(name)


def setting(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> Settings:
    for name, value in variables.items():
        monkeypatch.setenv(f"MLJOB_{name}", value)
    return Settings()


@pytest.mark.parametrize("padded", ["{}\n", "{}\r\n", "{} ", " {}\t", "\n{}\n\n"])
def test_white_space_around_a_value_is_ignored(monkeypatch: pytest.MonkeyPatch, padded: str) -> None:
    login = {"AIRFLOW_URL": "http://airflow:8080", "AIRFLOW_USER": "mljob", "AIRFLOW_PASSWORD": SECRET}
    given = login | SASL | {"HTTP_PORT": "8081", "NAMESPACES": "a,b"}
    assert setting(monkeypatch, {name: padded.format(value) for name, value in given.items()}) == setting(
        monkeypatch, given
    )


@pytest.mark.parametrize("blank", ["", " ", "\n"])
def test_blank_variable_counts_as_absent(monkeypatch: pytest.MonkeyPatch, blank: str) -> None:
    blanks = dict.fromkeys(
        ("AIRFLOW_URL", "AIRFLOW_TOKEN", "KAFKA_BOOTSTRAP_SERVERS", "KAFKA_GROUP_ID", "HTTP_PORT", "LOG_LEVEL"), blank
    )
    assert setting(monkeypatch, blanks) == Settings()


REFUSED = {
    "neither a URL nor AirflowInstances": (
        {"AIRFLOW_INSTANCES": "false"},
        "set MLJOB_AIRFLOW_URL, or MLJOB_AIRFLOW_INSTANCES to true",
    ),
    "no credentials": (
        {"AIRFLOW_URL": "http://airflow"},
        "set exactly one of MLJOB_AIRFLOW_TOKEN, or MLJOB_AIRFLOW_TOKEN_FILE, or both MLJOB_AIRFLOW_USER and MLJOB_AIRFLOW_PASSWORD, "
        "or both MLJOB_AIRFLOW_OAUTH2_CLIENT_ID and MLJOB_AIRFLOW_OAUTH2_CLIENT_SECRET",
    ),
    "two logins": (
        {**AIRFLOW, "AIRFLOW_USER": "mljob", "AIRFLOW_PASSWORD": SECRET},
        "set exactly one of MLJOB_AIRFLOW_TOKEN, or MLJOB_AIRFLOW_TOKEN_FILE, or both MLJOB_AIRFLOW_USER and MLJOB_AIRFLOW_PASSWORD, "
        "or both MLJOB_AIRFLOW_OAUTH2_CLIENT_ID and MLJOB_AIRFLOW_OAUTH2_CLIENT_SECRET; set are MLJOB_AIRFLOW_TOKEN and both "
        "MLJOB_AIRFLOW_USER and MLJOB_AIRFLOW_PASSWORD",
    ),
    "half an OAuth 2 client": (
        {"AIRFLOW_URL": "http://airflow", "AIRFLOW_OAUTH2_CLIENT_ID": "mljob"},
        "set exactly one of MLJOB_AIRFLOW_TOKEN",
    ),
    "a token endpoint without a scheme": (
        {
            "AIRFLOW_URL": "http://airflow",
            "AIRFLOW_OAUTH2_CLIENT_ID": "mljob",
            "AIRFLOW_OAUTH2_CLIENT_SECRET": SECRET,
            "AIRFLOW_OAUTH2_TOKEN_URL": "login.example.com/token",
        },
        "MLJOB_AIRFLOW_OAUTH2_TOKEN_URL: 'login.example.com/token' begins with neither http:// nor https://",
    ),
    "no way of showing a client's secret": (
        {
            "AIRFLOW_URL": "http://airflow",
            "AIRFLOW_OAUTH2_CLIENT_ID": "mljob",
            "AIRFLOW_OAUTH2_CLIENT_SECRET": SECRET,
            "AIRFLOW_OAUTH2_CLIENT_AUTHENTICATION": "basic",
        },
        "MLJOB_AIRFLOW_OAUTH2_CLIENT_AUTHENTICATION: Input should be 'Basic' or 'Post'",
    ),
    "a URL without a scheme": (
        {**AIRFLOW, "AIRFLOW_URL": "airflow:8080"},
        "MLJOB_AIRFLOW_URL: 'airflow:8080' begins with neither http:// nor https://. An example is https://airflow.example.com:8080",
    ),
    "a URL with a port out of range": (
        {**AIRFLOW, "AIRFLOW_URL": "http://airflow:80800"},
        "MLJOB_AIRFLOW_URL: 'http://airflow:80800' has a port that is not a number from 1 to 65535",
    ),
    "a URL with the port 0": (
        {**AIRFLOW, "AIRFLOW_URL": "http://airflow:0"},
        "MLJOB_AIRFLOW_URL: 'http://airflow:0' has the port 0",
    ),
    "a URL with the API's path": (
        {**AIRFLOW, "AIRFLOW_URL": "https://airflow.example/prod/api/v2/"},
        "MLJOB_AIRFLOW_URL: 'https://airflow.example/prod/api/v2/' ends in /api/v2/: leave that out, the operator adds it",
    ),
    "a URL with a query": (
        {**AIRFLOW, "AIRFLOW_UI_URL": "https://airflow.example/home?state=failed"},
        "MLJOB_AIRFLOW_UI_URL: 'https://airflow.example/home?state=failed' has a query or a fragment",
    ),
    "a URL without a host": (
        {**AIRFLOW, "AIRFLOW_URL": "http://:8080"},
        "MLJOB_AIRFLOW_URL: 'http://:8080' names no host",
    ),
    "a URL with a blank": (
        {**AIRFLOW, "AIRFLOW_URL": "http://airflow :8080"},
        "MLJOB_AIRFLOW_URL: 'http://airflow :8080' holds white space",
    ),
    "a URL with half an address": (
        {**AIRFLOW, "AIRFLOW_URL": "http://[fd00::1"},
        "MLJOB_AIRFLOW_URL: 'http://[fd00::1' holds an invalid IP address in brackets",
    ),
    "a port that is a word": ({"HTTP_PORT": "http"}, "MLJOB_HTTP_PORT: is not a port: a number from 1 to 65535"),
    "a port out of range": ({"HTTP_PORT": "80800"}, "MLJOB_HTTP_PORT: is not a port: a number from 1 to 65535"),
    "a resync that never comes": (
        {"RESYNC_INTERVAL_SECONDS": "inf"},
        "MLJOB_RESYNC_INTERVAL_SECONDS: is not a number of seconds above 0, and at most 3600",
    ),
    "an interval that is no number": (
        {"STATUS_INTERVAL_SECONDS": "nan"},
        "MLJOB_STATUS_INTERVAL_SECONDS: is not a number of seconds from 0 to 60",
    ),
    "an interval with a unit": (
        {"CANCEL_FALLBACK_SECONDS": "20s"},
        "MLJOB_CANCEL_FALLBACK_SECONDS: is not a number of seconds above 0, and at most 3600",
    ),
    "two namespaces that can't be ones": (
        {"NAMESPACES": "Team_A,Team_B"},
        "MLJOB_NAMESPACES: String should match pattern",
    ),
    "a selector that is no JSON": ({"SELECTOR": "team=a"}, "MLJOB_SELECTOR: Invalid JSON: expected ident at line 1"),
    "a selector with a field that selectors lack": (
        {"SELECTOR": '{"labels": {"team": "a"}}'},
        "MLJOB_SELECTOR: labels: Extra inputs are not permitted",
    ),
    "a selector with a key that no label has": (
        {"SELECTOR": '{"matchLabels": {"team a": "x"}}'},
        "MLJOB_SELECTOR: 'team a' is not the key of a label. An example is example.com/team",
    ),
    "a selector with a value that no label has": (
        {"SELECTOR": '{"matchExpressions": [{"key": "team", "operator": "In", "values": ["a,b"]}]}'},
        "MLJOB_SELECTOR: 'a,b' is not the value of a label: at most 63 letters",
    ),
    "a Lease that is too short": (
        {"LEASE_SECONDS": "1"},
        "MLJOB_LEASE_SECONDS: is not a whole number of seconds from 4 to 60",
    ),
    "a Lease with an impossible name": (
        {"LEASE_NAME": "My Lease"},
        "MLJOB_LEASE_NAME: String should match pattern",
    ),
    "a URL with a line break": (
        {**AIRFLOW, "AIRFLOW_URL": "http://air\nflow"},
        "MLJOB_AIRFLOW_URL: 'http://air\\nflow' holds white space",
    ),
    "a URL with no number for a port": (
        {**AIRFLOW, "AIRFLOW_UI_URL": "http://airflow:http"},
        "MLJOB_AIRFLOW_UI_URL: 'http://airflow:http' has a port that is not a number from 1 to 65535",
    ),
    "credentials in a URL": (
        {**AIRFLOW, "AIRFLOW_URL": f"http://mljob:{SECRET}@airflow"},
        "MLJOB_AIRFLOW_URL: must not hold credentials: URLs appear in logs and statuses",
    ),
    "a token with a line break": (
        {**AIRFLOW, "AIRFLOW_TOKEN": f"{SECRET}\n{SECRET}"},
        "MLJOB_AIRFLOW_TOKEN: holds characters that can't be in an HTTP header, such as a line break within it",
    ),
    "a token with a dash of an editor": (
        {**AIRFLOW, "AIRFLOW_TOKEN": f"{SECRET}\u2013"},
        "MLJOB_AIRFLOW_TOKEN: holds characters that can't be in an HTTP header, such as a line break within it",
    ),
    "a CA file that is not there": (
        {**AIRFLOW, "AIRFLOW_CA_FILE": "/nowhere/ca.crt"},
        "MLJOB_AIRFLOW_CA_FILE: /nowhere/ca.crt can't be read: No such file or directory",
    ),
    "a CA file that is none": (
        {**AIRFLOW, "AIRFLOW_CA_FILE": __file__},
        f"MLJOB_AIRFLOW_CA_FILE: {__file__} holds no CA certificate in PEM: NO_CERTIFICATE_OR_CRL_FOUND",
    ),
    "a key file that is a directory": (
        {**KAFKA, "KAFKA_SSL_KEY_FILE": str(Path(__file__).parent)},
        f"MLJOB_KAFKA_SSL_KEY_FILE: {Path(__file__).parent} can't be read: Is a directory",
    ),
    "a certificate that is none": (
        {**KAFKA, "KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_SSL_CERTIFICATE_FILE": __file__},
        "MLJOB_KAFKA_SSL_CERTIFICATE_FILE: librdkafka refuses the settings for Kafka: ",
    ),
    "a key that is none": (
        {**KAFKA, "KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_SSL_KEY_FILE": __file__},
        "MLJOB_KAFKA_SSL_KEY_FILE: librdkafka refuses the settings for Kafka: ",
    ),
    "a broker's port that is no number": (
        {"KAFKA_BOOTSTRAP_SERVERS": "kafka:9092,kafka:port"},
        "MLJOB_KAFKA_BOOTSTRAP_SERVERS: 'kafka:port' is not a broker's host:port",
    ),
    "no broker": ({"KAFKA_BOOTSTRAP_SERVERS": ","}, "MLJOB_KAFKA_BOOTSTRAP_SERVERS: names no broker"),
    "SASL without a login": (
        {**KAFKA, "KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_SASL_USERNAME": "mljob"},
        "MLJOB_KAFKA_SECURITY_PROTOCOL=SASL_SSL needs MLJOB_KAFKA_SASL_MECHANISM, MLJOB_KAFKA_SASL_PASSWORD",
    ),
    "an unknown mechanism": (
        {**SASL, "KAFKA_SASL_MECHANISM": "SCRAM"},
        "MLJOB_KAFKA_SASL_MECHANISM: Input should be 'PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512' or 'OAUTHBEARER'",
    ),
    "OAUTHBEARER without a source of tokens": (
        OAUTH,
        "MLJOB_KAFKA_SECURITY_PROTOCOL=SASL_SSL with MLJOB_KAFKA_SASL_MECHANISM=OAUTHBEARER needs MLJOB_KAFKA_OAUTH_METHOD",
    ),
    "OIDC without a client": (
        {**OAUTH, "KAFKA_OAUTH_METHOD": "OIDC", "KAFKA_OIDC_TOKEN_ENDPOINT": "https://login/token"},
        "MLJOB_KAFKA_SECURITY_PROTOCOL=SASL_SSL with MLJOB_KAFKA_SASL_MECHANISM=OAUTHBEARER needs "
        "MLJOB_KAFKA_OIDC_CLIENT_ID, MLJOB_KAFKA_OIDC_CLIENT_SECRET",
    ),
    "MSK without a region": (
        {**OAUTH, "KAFKA_OAUTH_METHOD": "MSK_IAM"},
        "MLJOB_KAFKA_SECURITY_PROTOCOL=SASL_SSL with MLJOB_KAFKA_SASL_MECHANISM=OAUTHBEARER needs MLJOB_KAFKA_AWS_REGION",
    ),
    "a CA of the token endpoint that is none": (
        {**OAUTH, **OIDC, "KAFKA_OIDC_CA_FILE": __file__},
        f"MLJOB_KAFKA_OIDC_CA_FILE: {__file__} holds no CA certificate in PEM",
    ),
    "MSK without AWS's library": (
        {**OAUTH, "KAFKA_OAUTH_METHOD": "MSK_IAM", "KAFKA_AWS_REGION": "eu-west-1"},
        "MLJOB_KAFKA_OAUTH_METHOD=MSK_IAM needs the Python package botocore, which is not installed: "
        "use an image that was built with --build-arg EXTRAS=msk, or pip install 'mljob-operator[msk]'",
    ),
    "a receiver of traces with a password": (
        {"TRACES_ENDPOINT": f"https://user:{SECRET}@collector/v1/traces"},
        "MLJOB_TRACES_ENDPOINT: must not hold credentials: URLs appear in logs and statuses",
    ),
    "a receiver of traces that is no URL": (
        {"TRACES_ENDPOINT": "collector:4317"},
        "MLJOB_TRACES_ENDPOINT: 'collector:4317' begins with neither http:// nor https://",
    ),
    "a property that librdkafka does not know": (
        {**KAFKA, "KAFKA_EXTRA_CONFIG": '{"socket.timeout": 1}'},
        'MLJOB_KAFKA_EXTRA_CONFIG: librdkafka refuses the settings for Kafka: No such configuration property: "socket.timeout"',
    ),
    "a property with a value that librdkafka does not take": (
        {**KAFKA, "KAFKA_EXTRA_CONFIG": '{"socket.timeout.ms": "soon"}'},
        "MLJOB_KAFKA_EXTRA_CONFIG: librdkafka refuses the settings for Kafka: Invalid value for configuration property "
        '"socket.timeout.ms"',
    ),
    "a property that the operator depends on": (
        {**KAFKA, "KAFKA_EXTRA_CONFIG": '{"enable.auto.commit": true}'},
        "MLJOB_KAFKA_EXTRA_CONFIG: enable.auto.commit can't be set: "
        "the operator commits an offset when the status that holds the event is stored. Leave it out",
    ),
    "a property that has a setting": (
        {**KAFKA, "KAFKA_EXTRA_CONFIG": f'{{"sasl.password": "{SECRET}"}}'},
        "MLJOB_KAFKA_EXTRA_CONFIG: sasl.password has a setting of its own: use MLJOB_KAFKA_SASL_PASSWORD",
    ),
    "a property of Python's": (
        {**KAFKA, "KAFKA_EXTRA_CONFIG": '{"error_cb": "print"}'},
        "MLJOB_KAFKA_EXTRA_CONFIG: error_cb can't be set: the operator sets this property itself. Leave it out",
    ),
    "a property twice": (
        {**KAFKA, "KAFKA_EXTRA_CONFIG": '{"client.id": "a", "client.id": "b"}'},
        "MLJOB_KAFKA_EXTRA_CONFIG: client.id is set twice",
    ),
    "properties that are no JSON object": (
        {**KAFKA, "KAFKA_EXTRA_CONFIG": '["client.id"]'},
        "MLJOB_KAFKA_EXTRA_CONFIG: is not a JSON object of librdkafka's properties, such as ",
    ),
    "properties without an end": (
        {**KAFKA, "KAFKA_EXTRA_CONFIG": "[" * 50_000},
        "MLJOB_KAFKA_EXTRA_CONFIG: is not a JSON object of librdkafka's properties, such as ",
    ),
    "properties that are too large": (
        {**KAFKA, "KAFKA_EXTRA_CONFIG": json.dumps({"ssl.ca.pem": "x" * 65_536})},
        "MLJOB_KAFKA_EXTRA_CONFIG: is larger than 65536 bytes",
    ),
    "a property that is an object": (
        {**KAFKA, "KAFKA_EXTRA_CONFIG": '{"client.id": {"a": 1}}'},
        "MLJOB_KAFKA_EXTRA_CONFIG: the value of client.id is neither a string, a number nor a boolean",
    ),
    "a file of properties that is none": (
        {**KAFKA, "KAFKA_EXTRA_CONFIG_FILE": "/nowhere/kafka.properties"},
        "MLJOB_KAFKA_EXTRA_CONFIG_FILE: /nowhere/kafka.properties can't be read: No such file or directory",
    ),
    "a file of other things": (
        {**KAFKA, "KAFKA_EXTRA_CONFIG_FILE": __file__},
        f"MLJOB_KAFKA_EXTRA_CONFIG_FILE: {__file__}: line 1 is not name=value",
    ),
    "a namespace that can't be one": (
        {"NAMESPACES": "team-a,team_b"},
        "MLJOB_NAMESPACES: String should match pattern '^[a-z0-9]([-a-z0-9]*[a-z0-9])?$'",
    ),
}


@pytest.mark.parametrize(("variables", "sentence"), REFUSED.values(), ids=REFUSED.keys())
def test_invalid_setting_ends_the_operator_with_an_error_that_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variables: dict[str, str], sentence: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"MLJOB_{name}", value)
    assert composition.main() == 2
    told = capsys.readouterr().err
    assert told.startswith(f"The operator's settings are wrong:\n  {sentence}")
    assert told.count("\n") == 2
    assert SECRET not in told


def test_each_invalid_setting_has_a_line_in_the_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLJOB_AIRFLOW_TOKEN", f"{SECRET}\r{SECRET}")
    monkeypatch.setenv("MLJOB_HTTP_PORT", "http")
    assert composition.main() == 2
    assert capsys.readouterr().err.count("\n  MLJOB_") == 2


def test_validation_error_does_not_quote_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValidationError) as refused:
        setting(monkeypatch, {"AIRFLOW_TOKEN": f"{SECRET}\r{SECRET}", "KAFKA_SECURITY_PROTOCOL": SECRET})
    assert SECRET not in f"{refused.value!r} {refused.value}"


@pytest.mark.parametrize("brokers", ["kafka:9092", "kafka", "a:9092, b:9093,", "[::1]:9092", "SASL_SSL://kafka:9092"])
def test_brokers_may_have_every_form_that_librdkafka_accepts(monkeypatch: pytest.MonkeyPatch, brokers: str) -> None:
    assert setting(monkeypatch, {"KAFKA_BOOTSTRAP_SERVERS": brokers}).kafka_bootstrap_servers == brokers


def test_token_endpoint_may_have_any_path_and_a_query(monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = "https://login.example/tenant/api/v2?p=policy"
    given = {
        "AIRFLOW_URL": "http://airflow",
        "AIRFLOW_OAUTH2_CLIENT_ID": "mljob",
        "AIRFLOW_OAUTH2_CLIENT_SECRET": SECRET,
        "AIRFLOW_OAUTH2_TOKEN_URL": endpoint,
    }
    assert setting(monkeypatch, given).airflow_oauth2_token_url == endpoint


def test_printed_settings_do_not_show_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = setting(monkeypatch, AIRFLOW | SASL | {"AIRFLOW_PASSWORD": SECRET})
    assert SECRET not in f"{settings!r} {settings}"
    assert settings.kafka()["sasl.password"] == SECRET


def test_properties_that_the_operator_depends_on_are_refused_under_every_name(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in RESERVED:
        with pytest.raises(ValidationError, match="can't be set"):
            setting(monkeypatch, KAFKA | {"KAFKA_EXTRA_CONFIG": json.dumps({name: "1"})})
    for name in ("metadata.broker.list", "sasl.mechanisms", "group.id", "sasl.oauthbearer.method"):
        with pytest.raises(ValidationError, match="has a setting of its own"):
            setting(monkeypatch, KAFKA | {"KAFKA_EXTRA_CONFIG": json.dumps({name: "1"})})


def test_extra_properties_come_from_json_and_from_a_file_that_takes_precedence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "kafka.properties"
    file.write_text("# secret\n\nssl.keystore.password = a=b\nclient.id=file\nssl.ca.pem=BEGIN\\nEND\n")
    more = {"KAFKA_EXTRA_CONFIG": '{"client.id": "json", "socket.keepalive.enable": true, "socket.timeout.ms": 30000}'}
    given = setting(monkeypatch, SASL | more | {"KAFKA_EXTRA_CONFIG_FILE": str(file)}).kafka()
    assert (
        given.items()
        >= {
            "client.id": "file",
            "socket.keepalive.enable": "true",
            "socket.timeout.ms": "30000",
            "ssl.keystore.password": "a=b",
            "ssl.ca.pem": "BEGIN\nEND",
        }.items()
    )
    assert sorted(secrets(given)) == ["a=b", SECRET]


def test_settings_for_oidc_become_properties_of_librdkafka(monkeypatch: pytest.MonkeyPatch) -> None:
    extensions = {"KAFKA_OIDC_SCOPE": "kafka", "KAFKA_OIDC_EXTENSIONS": "logicalCluster=lkc-1"}
    settings = setting(monkeypatch, OAUTH | OIDC | extensions)
    assert settings.kafka() == {
        "bootstrap.servers": "kafka:9092",
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "OAUTHBEARER",
        "sasl.oauthbearer.method": "oidc",
        "sasl.oauthbearer.token.endpoint.url": "https://login/token",
        "sasl.oauthbearer.client.id": "mljob",
        "sasl.oauthbearer.client.secret": SECRET,
        "sasl.oauthbearer.scope": "kafka",
        "sasl.oauthbearer.extensions": "logicalCluster=lkc-1",
    }
    assert SECRET not in f"{settings!r}"
    assert refusal(settings.kafka()) is None


@pytest.mark.parametrize(("password", "refused"), [("geheim", False), ("wrong", True), (None, True)])
def test_encrypted_key_needs_its_password(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, password: str | None, refused: bool
) -> None:
    authority = Authority()
    certificate, key = authority.client("mljob", password=b"geheim")
    (tmp_path / "tls.crt").write_bytes(certificate)
    (tmp_path / "tls.key").write_bytes(key)
    files = {
        "KAFKA_SSL_CERTIFICATE_FILE": str(tmp_path / "tls.crt"),
        "KAFKA_SSL_KEY_FILE": str(tmp_path / "tls.key"),
        "KAFKA_SECURITY_PROTOCOL": "SSL",
    }
    given = {"KAFKA_SSL_KEY_PASSWORD": password} if password is not None else {}
    why = refusal(setting(monkeypatch, KAFKA | files | given).kafka())
    assert (why is not None) is refused
