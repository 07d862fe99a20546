"""The URL and the credentials for Airflow's REST API, which the provider reads from an Airflow
Connection.
"""

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
    ],
    ids=["url", "url-with-path", "host-and-port", "host-and-scheme", "url-and-port"],
)
def test_the_url_is_made_from_the_connection(fields: dict[str, Any], url: str) -> None:
    assert Endpoint.from_connection(connection(**fields)).base_url == url


def test_a_connection_without_a_host_is_refused() -> None:
    with pytest.raises(ValueError, match="no host"):
        Endpoint.from_connection(connection())


@pytest.mark.parametrize(
    ("extra", "verify_tls", "ca_file"),
    [({}, True, None), ({"verify": False}, False, None), ({"verify": "/ca.pem"}, True, "/ca.pem")],
    ids=["system", "nothing", "file"],
)
def test_the_extra_says_how_the_certificate_is_verified(
    extra: dict[str, Any], verify_tls: bool, ca_file: str | None
) -> None:
    endpoint = Endpoint.from_connection(connection(host="https://a", extra_dejson=extra))
    assert (endpoint.verify_tls, endpoint.ca_file) == (verify_tls, ca_file)
