from __future__ import annotations

from typing import Any

import pytest
import trustme

from mljob_operator.api.front_proxy import FrontProxy, NoFrontProxy

CA = trustme.CA().cert_pem.bytes().decode()


def data(**changes: str) -> dict[str, str]:
    return {
        "requestheader-client-ca-file": CA,
        "requestheader-allowed-names": '["front-proxy-client", "aggregator"]',
        "requestheader-username-headers": '["X-Remote-User"]',
    } | {name.replace("_", "-"): value for name, value in changes.items()}


def certificate(name: str) -> dict[str, Any]:
    return {"subject": ((("organizationName", "x"),), (("commonName", name),))}


@pytest.mark.parametrize(
    ("shown", "trusted"),
    [
        (certificate("front-proxy-client"), True),
        (certificate("aggregator"), True),
        (certificate("somebody"), False),
        (certificate(""), False),
        ({"subject": ((("organizationName", "aggregator"),),)}, False),
        ({}, False),
        (None, False),
    ],
)
def test_certificate_needs_an_allowed_name(shown: Any, *, trusted: bool) -> None:
    assert FrontProxy.of(data(), allow_any_name=False).is_shown_by(shown) is trusted


@pytest.mark.parametrize("names", ["[]", "", '[""]'])
def test_any_name_is_allowed_on_demand_only(names: str) -> None:
    with pytest.raises(NoFrontProxy, match="MLJOB_API_ALLOW_ANY_FRONT_PROXY_NAME"):
        FrontProxy.of(data(requestheader_allowed_names=names), allow_any_name=False)
    proxy = FrontProxy.of(data(requestheader_allowed_names=names), allow_any_name=True)
    assert proxy.is_shown_by(certificate("somebody"))
    assert not proxy.is_shown_by(None)


@pytest.mark.parametrize(
    "ca", ["", " ", "not a certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"]
)
def test_config_map_without_a_ca_trusts_nobody(ca: str) -> None:
    with pytest.raises(NoFrontProxy, match="requestheader-client-ca-file"):
        FrontProxy.of(data(requestheader_client_ca_file=ca), allow_any_name=True)


@pytest.mark.parametrize("names", ["{", '{"a": 1}', "[1]", '"a"'])
def test_names_of_another_form_trust_nobody(names: str) -> None:
    with pytest.raises(NoFrontProxy, match="requestheader-allowed-names"):
        FrontProxy.of(data(requestheader_allowed_names=names), allow_any_name=True)


@pytest.mark.parametrize(
    ("headers", "user"),
    [
        ({"X-Remote-User": "ada"}, "ada"),
        ({"X-User": "bob"}, "bob"),
        ({"X-Remote-User": "", "X-User": "bob"}, "bob"),
        ({"Authorization": "Bearer x"}, None),
        ({"X-Remote-User": "x" * 2000}, None),
    ],
)
def test_user_comes_from_the_headers_of_the_config_map(headers: dict[str, str], user: str | None) -> None:
    proxy = FrontProxy.of(data(requestheader_username_headers='["X-Remote-User", "X-User"]'), allow_any_name=False)
    assert proxy.user(headers) == user
