"""The provider reads the API server's URL and the TLS settings from an Airflow Connection."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from mljob_airflow.rest.client import Endpoint


def connection(**fields: Any) -> SimpleNamespace:
    empty: dict[str, Any] = {
        "host": None,
        "schema": None,
        "port": None,
        "login": None,
        "password": None,
        "extra_dejson": {},
    }
    return SimpleNamespace(**empty | fields)


@pytest.mark.parametrize(
    ("fields", "url"),
    [
        ({"host": "http://airflow:8080"}, "http://airflow:8080"),
        ({"host": "https://airflow.example/base/"}, "https://airflow.example/base"),
        ({"host": "airflow", "port": 8080}, "http://airflow:8080"),
        ({"host": "airflow.example", "schema": "https"}, "https://airflow.example"),
        ({"host": "https://airflow.example", "port": 8443}, "https://airflow.example:8443"),
        ({"host": "https://airflow.example/base/", "port": 8443}, "https://airflow.example:8443/base"),
        ({"host": "airflow.example/base", "port": 8443}, "http://airflow.example:8443/base"),
        ({"host": "https://airflow.example:8443/base", "port": 8443}, "https://airflow.example:8443/base"),
        ({"host": "http://[::1]/", "port": 8080}, "http://[::1]:8080"),
        ({"host": "https://mljob:s3cret@airflow.example/base"}, "https://airflow.example/base"),
        ({"host": "mljob:s3@cret@airflow.example", "port": 8443}, "http://airflow.example:8443"),
        ({"host": "https://mljob@airflow.example:8443", "port": 8443}, "https://airflow.example:8443"),
    ],
    ids=[
        "url",
        "url-with-path",
        "host-and-port",
        "host-and-scheme",
        "url-and-port",
        "url-with-path-and-port",
        "host-with-path-and-port",
        "url-with-the-same-port",
        "ipv6-and-port",
        "url-with-a-password",
        "host-with-a-password-and-port",
        "url-with-a-login-and-the-same-port",
    ],
)
def test_the_url_is_made_from_the_connection(fields: dict[str, Any], url: str) -> None:
    assert Endpoint.from_connection(connection(**fields)).base_url == url


def test_a_connection_without_a_host_is_refused() -> None:
    with pytest.raises(ValueError, match="no host"):
        Endpoint.from_connection(connection())


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        (
            {"host": "https://u:secret@airflow.example:8443/base", "port": 8080},
            "has the port 8080, and its host 'airflow.example:8443/base' has the port 8443: remove one of them",
        ),
        ({"host": "airflow:http"}, "is not a valid URL: 'http://airflow:http'; set it to the URL"),
        ({"host": "http://u:secret@[::1", "port": 8080}, r"is not a valid URL: '\[::1'; set it to the URL"),
        ({"host": "https://", "port": 8080}, "is not a valid URL: 'https://'; set it to the URL"),
    ],
    ids=["two-ports", "no-number", "no-url", "no-host"],
)
def test_a_host_that_makes_no_url_is_refused(fields: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why) as caught:
        Endpoint.from_connection(connection(**fields))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("extra", "verify_tls", "ca_file"),
    [
        ({}, True, None),
        ({"verify": True}, True, None),
        ({"verify": False}, False, None),
        ({"verify": "/ca.pem"}, True, "/ca.pem"),
        ({"verify": "false"}, False, None),
        ({"verify": "False"}, False, None),
        ({"verify": "TRUE"}, True, None),
    ],
    ids=["system", "true", "nothing", "file", "text-false", "text-False", "text-TRUE"],
)
def test_the_extra_says_how_the_certificate_is_verified(
    extra: dict[str, Any], verify_tls: bool, ca_file: str | None
) -> None:
    endpoint = Endpoint.from_connection(connection(host="https://a", extra_dejson=extra))
    assert (endpoint.verify_tls, endpoint.ca_file) == (verify_tls, ca_file)
