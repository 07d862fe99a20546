"""The operator logs in to Airflow with a token, a token file or an OAuth 2 client."""

from __future__ import annotations

import asyncio
import html
import json
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus, unquote_plus

import pytest
from pydantic import SecretStr

from mljob_contract.airflow_instance import ClientAuthentication
from mljob_operator.adapters.airflow.answers import Reply
from mljob_operator.adapters.airflow.tokens import REFUSED_FOR, ProviderToken
from mljob_operator.core.airflow_instance.credentials import OAuth2Client
from mljob_operator.errors import AirflowError, AirflowForbidden, AirflowUnauthorized, AirflowUnavailable
from tests.fakes.oauth2_provider import CLIENT_ID, CLIENT_SECRET, OAuth2Provider, client
from tests.live.authority import Authority
from tests.live.http_gateway import Answer, HttpGateway, only_with
from tests.scripted_airflow import DAG, RUN, Says, ScriptedAirflow, refused, said

from .conftest import Connect

DAY = datetime(2026, 1, 1, tzinfo=UTC)


async def test_error_of_a_redirect_to_a_login_page_names_its_host(server: ScriptedAirflow, connect: Connect) -> None:
    page = Answer(302, b"", "text/html", {"Location": "https://login.example.com/realms/ml"})
    with (
        HttpGateway(server.url, guard=lambda _: page) as gateway,
        pytest.raises(AirflowUnavailable, match=r"302, a redirect to login\.example\.com\. .*login page"),
    ):
        await connect(gateway, token="a-token").probe()


@pytest.mark.parametrize(
    ("status", "detail", "means"),
    [
        pytest.param(401, "Token Expired", AirflowUnauthorized, id="expired"),
        pytest.param(403, "Invalid JWT token", AirflowUnauthorized, id="no token of Airflow's"),
        pytest.param(403, "Forbidden", AirflowForbidden, id="a permission is missing"),
    ],
)
async def test_wrong_token_is_distinguished_from_a_missing_permission(
    status: int, detail: str, means: type[Exception], server: ScriptedAirflow, connect: Connect
) -> None:
    server.told["list dags"] = refused(status, detail)
    with pytest.raises((AirflowUnauthorized, AirflowForbidden)) as caught:
        await connect(server, token="a-token", source="Secret prod").probe()
    assert type(caught.value) is means
    assert detail in str(caught.value)
    assert "Secret prod" in str(caught.value)


async def test_configured_headers_are_sent_with_the_login_and_every_request(
    server: ScriptedAirflow, connect: Connect
) -> None:
    seen: list[str | None] = []

    def key(headers: Mapping[str, str]) -> Answer | None:
        seen.append(headers.get("x-api-key"))
        return None

    with HttpGateway(server.url, guard=key) as gateway:
        airflow = connect(gateway, user="mljob", password="right", headers={"X-Api-Key": "a-key"})
        await airflow.probe()
        await airflow.changed_runs(DAY)
    assert server.asked[:2] == ["login", "version"]
    assert set(seen) == {"a-key"}
    assert len(seen) == len(server.asked)


async def test_token_file_is_read_again_after_a_change(
    server: ScriptedAirflow, connect: Connect, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text("old\n")
    with HttpGateway(server.url, guard=only_with("old")) as gateway:
        airflow = connect(gateway, token_file=str(file))
        await airflow.probe()
        gateway.guard = only_with("renewed")
        with pytest.raises(AirflowUnauthorized):
            await airflow.probe()
        file.write_text("renewed\n")
        await airflow.probe()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param(None, "can't be read: No such file", id="not there"),
        pytest.param(b"", "holds no token: it is empty", id="empty"),
        pytest.param(b"two\nlines", "holds no token", id="two lines"),
        pytest.param("tökén".encode(), "holds no token", id="not ASCII"),
        pytest.param(b"x" * 20_000, "holds no token: it is empty or too large", id="too large"),
    ],
)
async def test_error_of_an_invalid_token_file_names_the_file(
    content: bytes | None, says: str, server: ScriptedAirflow, connect: Connect, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(AirflowUnauthorized, match=says) as caught:
        await connect(server, token_file=str(file)).probe()
    assert str(file) in str(caught.value)
    assert not server.asked


@pytest.mark.parametrize("authentication", ClientAuthentication)
async def test_oauth2_client_requests_one_token_and_reuses_it(
    authentication: ClientAuthentication, server: ScriptedAirflow, connect: Connect, provider: OAuth2Provider
) -> None:
    oauth2 = client(provider.url, scopes=("airflow", "openid"), audience="ml", authentication=authentication)
    with HttpGateway(server.url, guard=only_with("first")) as gateway:
        airflow = connect(gateway, oauth2=oauth2, headers={"X-Api-Key": "for-the-gateway"})
        await airflow.probe()
        await airflow.probe()
    ((form, headers),) = provider.asked
    shown = {name: form.pop(name) for name in ("client_id", "client_secret") if name in form}
    assert form == {"grant_type": "client_credentials", "scope": "airflow openid", "audience": "ml"}
    if authentication is ClientAuthentication.BASIC:
        pair = b64decode(headers["authorization"].removeprefix("Basic ")).decode()
        assert [unquote_plus(part) for part in pair.split(":")] == [CLIENT_ID, CLIENT_SECRET]
        assert not shown
    else:
        assert shown == {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
        assert "authorization" not in headers
    assert "x-api-key" not in headers, "what is for the gateway is for nobody else"


@pytest.mark.parametrize(
    ("life", "passed", "renewed"),
    [
        (3600, 3500, False),
        (3600, 3550, True),
        (60, 50, False),
        (60, 55, True),
        (None, 80_000, False),
        (1e12, 80_000, False),
        (1e12, 90_000, True),
        (10**400, 80_000, False),
        (-5, 80_000, False),
    ],
)
async def test_oauth2_token_is_renewed_shortly_before_it_expires(
    life: Any,
    passed: float,
    renewed: bool,
    server: ScriptedAirflow,
    connect: Connect,
    provider: OAuth2Provider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    provider.life = life
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    airflow = connect(server, oauth2=client(provider.url))
    await airflow.probe()
    now[0] += passed
    await airflow.probe()
    assert len(provider.asked) == 1 + renewed


@pytest.mark.parametrize(
    ("says", "means", "words"),
    [
        pytest.param(
            said(401, error="invalid_client", error_description=f"{CLIENT_SECRET} is wrong"),
            AirflowUnauthorized,
            r"refused client 'mljob:operator': invalid_client \(\*\*\* is wrong\)\. Check Secret oauth",
            id="refused",
        ),
        pytest.param(
            said(404), AirflowUnavailable, r"answered 404 .*OAuth 2 provider's token endpoint\?", id="another URL"
        ),
        pytest.param(said(503), AirflowUnavailable, "answered 503", id="out of order"),
        pytest.param(Says(200, "<html>", "text/html"), AirflowUnavailable, "in which there is no token", id="a page"),
        pytest.param(said(200, token_type="Bearer"), AirflowUnavailable, "in which there is no token", id="none"),
        pytest.param(said(200, access_token="a\nb"), AirflowUnavailable, "can't be in an HTTP header", id="unfit"),
        pytest.param(said(200, access_token="x" * 20_000), AirflowUnavailable, "there is no token", id="too long"),
        pytest.param(said(200, access_token="a", token_type="mac"), AirflowUnavailable, "not a bearer token", id="mac"),
        pytest.param(
            Says(302, headers={"Location": "https://login.example.com/"}),
            AirflowUnavailable,
            "answered 302",
            id="redirect",
        ),
    ],
)
async def test_error_of_a_token_endpoint_does_not_quote_the_secret(
    says: Says, means: type[Exception], words: str, server: ScriptedAirflow, connect: Connect, provider: OAuth2Provider
) -> None:
    provider.says = says
    with pytest.raises(means, match=words) as caught:
        await connect(server, oauth2=client(provider.url), source="Secret oauth").probe()
    assert CLIENT_SECRET not in str(caught.value)
    assert provider.url in str(caught.value)
    assert not server.asked


SECRETS = [
    "S3cr3t-" + "kQ7z" * 10 + "-END",
    "p@ss/w0rd+very&secret=",
    'with "quotes" and <tags> \\',
    CLIENT_SECRET,
]


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(
    "form",
    [
        pytest.param(lambda secret: secret, id="plain"),
        pytest.param(quote_plus, id="form"),
        pytest.param(quote, id="percent"),
        pytest.param(html.escape, id="HTML"),
        pytest.param(lambda secret: b64encode(secret.encode()).decode(), id="base64"),
        pytest.param(lambda secret: b64encode(f"{CLIENT_ID}:{secret}".encode()).decode(), id="Basic"),
        pytest.param(
            lambda secret: b64encode(f"{quote_plus(CLIENT_ID)}:{quote_plus(secret)}".encode()).decode(),
            id="Basic of RFC 6749",
        ),
    ],
)
@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(lambda text: said(401, error=text), id="error"),
        pytest.param(lambda text: said(401, error="invalid_client", error_description=text), id="description"),
        pytest.param(lambda text: said(400, message=text), id="no error"),
        pytest.param(lambda text: said(503, error=text), id="out of order"),
        pytest.param(lambda text: Says(502, f"<html>{text}</html>", "text/html"), id="a page"),
        pytest.param(lambda text: Says(200, f"<html>{text}</html>", "text/html"), id="a page with status 200"),
        pytest.param(lambda text: said(200, access_token="a", token_type=text), id="type"),
    ],
)
def test_answer_that_quotes_the_request_does_not_disclose_the_secret(
    secret: str, form: Callable[[str], str], answer: Callable[[str], Says]
) -> None:
    # Errors cut an answer at several lengths.
    for before in (0, 40, 70, 85, 95, 130, 170, 190, 198, 380):
        says = answer("." * before + " " + form(secret) + " is wrong")
        reply = Reply("https://idp/token", says.status, says.content_type, "", 0.0, None, says.body.encode())
        oauth2 = OAuth2Client(CLIENT_ID, SecretStr(secret), "https://idp/token")
        with pytest.raises(AirflowError) as caught:
            ProviderToken(oauth2, "https://idp/token", "Secret oauth", partial(_answered, reply)).token()
        for text in (secret, form(secret)):
            assert text[:6] not in str(caught.value)


def _answered(reply: Reply, *_: Any) -> Reply:
    return reply


async def test_error_of_an_unreachable_token_endpoint_names_its_url(
    server: ScriptedAirflow, connect: Connect, provider: OAuth2Provider
) -> None:
    provider.close()
    with pytest.raises(AirflowUnavailable, match=r"The token endpoint http://\S+/token can't be reached") as caught:
        await connect(server, oauth2=client(provider.url)).submit("train", "mljob.a.b.aaaaaaaaaa-1", {}, "")
    assert not caught.value.outcome_unknown, "nothing was asked of Airflow"


async def test_ca_bundle_also_applies_to_the_token_endpoint(server: ScriptedAirflow, connect: Connect) -> None:
    authority = Authority()
    with OAuth2Provider(authority.server()) as provider:
        airflow = connect(server, oauth2=client(provider.url), ca_bundle=authority.certificate.decode())
        assert (await airflow.probe()).version == "3.3.2"
        with pytest.raises(AirflowUnavailable, match=r"token endpoint .* can't be trusted: .*Check the CA bundle"):
            await connect(server, oauth2=client(provider.url)).probe()


async def test_refused_login_is_repeated_after_a_pause(
    server: ScriptedAirflow, connect: Connect, provider: OAuth2Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    provider.says = said(401, error="invalid_client")
    airflow = connect(server, oauth2=client(provider.url))
    for pauses in range(2):
        found = await asyncio.gather(*(airflow.get(DAG, RUN) for _ in range(20)), return_exceptions=True)
        assert {type(error) for error in found} == {AirflowUnauthorized}
        assert len({str(error) for error in found}) == 1
        assert len(provider.asked) == pauses + 1
        now[0] += REFUSED_FOR
    provider.says = None
    assert await airflow.get(DAG, RUN) is not None


async def test_without_a_token_endpoint_the_client_logs_in_at_airflow(
    server: ScriptedAirflow, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Airflow accepts these credentials if Keycloak is its auth manager.
    bodies: list[Any] = []
    answer = server.answer

    def answered(method: str, path: str, body: Mapping[str, Any]) -> Any:
        if path == "/auth/token":
            bodies.append(dict(body))
        return answer(method, path, body)

    monkeypatch.setattr(server, "answer", answered)
    await connect(server, oauth2=client(None)).probe()
    assert bodies == [{"grant_type": "client_credentials", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}]
    server.told["login"] = Says(403, json.dumps({"detail": "Client authentication failed"}))
    with pytest.raises(AirflowUnauthorized, match="refused the login of client 'mljob:operator'"):
        await connect(server, oauth2=client(None)).probe()
