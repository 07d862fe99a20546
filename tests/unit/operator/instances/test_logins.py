"""A login is the data with which the operator logs in to Airflow."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from mljob_contract.airflow_instance import ClientAuthentication, Credentials
from mljob_operator.controllers.airflow_instance.logins import Logins
from mljob_operator.core.airflow_instance.credentials import OAuth2Client
from mljob_operator.errors import InvalidCredentials

from .conftest import Platform

CLIENT = {"client-id": "mljob\n", "client-secret": "s3cr3t\n"}


def credentials(world: Platform, **given: Any) -> Credentials:
    return world.instance_objects.edit("prod", {"url": "http://prod:8080", "credentials": given}).spec.credentials


async def test_oauth2_client_is_read_from_its_secret(world: Platform) -> None:
    world.instance_objects.secrets["prod"] = CLIENT
    given = credentials(
        world,
        oauth2={
            "clientSecretRef": {"name": "prod"},
            "tokenUrl": "https://login.example.com/token",
            "scopes": ["airflow"],
            "audience": "ml",
            "clientAuthentication": "Post",
        },
    )
    found = await Logins(world.instance_objects).read(given)
    assert found.oauth2 == OAuth2Client(
        "mljob",
        SecretStr("s3cr3t"),
        "https://login.example.com/token",
        ("airflow",),
        "ml",
        ClientAuthentication.POST,
    )
    assert found.source == "Secret prod"
    assert "s3cr3t" in list(found.secrets())


async def test_token_file_is_read_from_the_folder_of_the_settings(world: Platform) -> None:
    given = credentials(world, tokenFile={"name": "prod.jwt"})
    found = await Logins(world.instance_objects, "/var/run/tokens/").read(given)
    assert (found.token_file, found.source) == ("/var/run/tokens/prod.jwt", "token file prod.jwt")
    with pytest.raises(InvalidCredentials, match=r"tokenFile is prod\.jwt, .*MLJOB_AIRFLOW_TOKEN_FILES"):
        await Logins(world.instance_objects).read(given)


@pytest.mark.parametrize("name", ["../token", "/etc/passwd", "..", ".hidden", "a/b", ""])
def test_token_file_outside_that_folder_is_refused(name: str) -> None:
    # Other folders have secret files too, such as the token of the operator's ServiceAccount.
    with pytest.raises(ValidationError, match="tokenFile"):
        Credentials.model_validate({"tokenFile": {"name": name}})


async def test_headers_are_read_from_their_secret(world: Platform) -> None:
    world.instance_objects.secrets |= {"prod": {"token": "t0k3n"}, "gateway": {"X-Api-Key": "k3y\n", "X-Team": "ml"}}
    given = credentials(world, tokenSecretRef={"name": "prod"}, headersSecretRef={"name": "gateway"})
    found = await Logins(world.instance_objects).read(given)
    assert found.headers == (("X-Api-Key", SecretStr("k3y")), ("X-Team", SecretStr("ml")))
    assert {"t0k3n", "k3y"} <= set(found.secrets())


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ({"Host": "elsewhere"}, "the header Host is not for a Secret to set"),
        ({"authorization": "Basic x"}, "the header authorization is not for a Secret to set"),
        ({"X-Key": "k3y\r\nHost: b"}, "the header X-Key is empty, or has characters"),
        ({"X-Key": "\n"}, "the header X-Key is empty"),
        ({"X-Key": "k3y" * 5000}, "the header X-Key has more than 8192 characters"),
        ({f"X-{n}": "k3y" for n in range(17)}, "there are 17 headers, and at most 16 can be sent"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_invalid_headers_are_refused_without_being_shown(
    world: Platform, headers: dict[str, str], says: str
) -> None:
    world.instance_objects.secrets |= {"prod": {"token": "t0k3n"}, "gateway": headers}
    given = credentials(world, tokenSecretRef={"name": "prod"}, headersSecretRef={"name": "gateway"})
    with pytest.raises(InvalidCredentials, match=says) as caught:
        await Logins(world.instance_objects).read(given)
    assert "Secret gateway (credentials.headersSecretRef)" in str(caught.value)
    assert "k3y" not in str(caught.value)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"headersSecretRef": {"name": "gateway"}},
        {"tokenSecretRef": {"name": "a"}, "tokenFile": {"name": "a"}},
        {"passwordSecretRef": {"name": "a"}, "oauth2": {"clientSecretRef": {"name": "a"}}},
    ],
)
def test_credentials_name_exactly_one_login(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="exactly one of passwordSecretRef, tokenSecretRef, tokenFile and oauth2"):
        Credentials.model_validate(given)
