"""Requests have a bearer token. A refused token is renewed, and no error shows the credentials."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pytest

from mljob_operator.adapters.airflow.answers import Reply
from mljob_operator.adapters.airflow.bearer_auth import RENEWED_EVERY
from mljob_operator.adapters.airflow.bodies import MAX_ERROR_BYTES
from mljob_operator.core.conf.redaction import Redaction
from mljob_operator.errors import AirflowError, AirflowForbidden, AirflowUnauthorized, AirflowUnavailable
from tests.fakes.oauth2_provider import OAuth2Provider, client
from tests.live.http_gateway import Answer, HttpGateway, only_with
from tests.scripted_airflow import DAG, RUN, Says, ScriptedAirflow, refused, said

from .conftest import Connect


async def test_token_is_sent_with_every_request(server: ScriptedAirflow, connect: Connect) -> None:
    # Airflow requires no token for its version, but a gateway may require the token.
    with HttpGateway(server.url, guard=only_with("a-token")) as gateway:
        assert (await connect(gateway, token="a-token").probe()).version == "3.3.2"
        with pytest.raises(AirflowUnauthorized, match=r"refused the operator's credentials: .*does a proxy at"):
            await connect(gateway, token="another").probe()


async def test_oauth2_client_requests_another_token_when_airflow_refuses_the_first(
    server: ScriptedAirflow, connect: Connect, provider: OAuth2Provider
) -> None:
    with HttpGateway(server.url, guard=only_with("first")) as gateway:
        airflow = connect(gateway, oauth2=client(provider.url))
        await airflow.probe()
        gateway.guard = only_with("second")
        await airflow.probe()
    assert len(provider.asked) == 2


@pytest.mark.parametrize(
    "tokens", [pytest.param(range(100), id="another token"), pytest.param(["same"] * 100, id="the same token")]
)
@pytest.mark.parametrize(
    "says",
    [
        pytest.param(refused(403, "Forbidden"), id="a permission is missing"),
        pytest.param(Says(403, "<html>Forbidden</html>", "text/html"), id="a proxy"),
    ],
)
async def test_lasting_403_leads_to_a_login_a_minute(
    says: Says,
    tokens: Iterable[Any],
    server: ScriptedAirflow,
    connect: Connect,
    provider: OAuth2Provider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    provider.tokens = iter(map(str, tokens))
    airflow = connect(server, oauth2=client(provider.url))
    await airflow.probe()
    server.told["list dags"] = says
    for minute in range(3):
        for _ in range(10):
            with pytest.raises(AirflowForbidden):
                await airflow.probe()
        assert len(provider.asked) == 2 + minute
        now[0] += RENEWED_EVERY


@pytest.mark.parametrize(
    "says", [refused(401, "Token Expired"), refused(403, "Invalid JWT token"), refused(403, "Forbidden")]
)
async def test_request_is_sent_again_with_a_renewed_token(
    says: Says, server: ScriptedAirflow, connect: Connect, provider: OAuth2Provider
) -> None:
    def only(headers: Mapping[str, str]) -> Answer | None:
        if headers.get("authorization") == f"Bearer {valid}":
            return None
        return Answer(says.status, says.body.encode(), says.content_type)

    valid = "first"
    with HttpGateway(server.url, guard=only) as gateway:
        airflow = connect(gateway, oauth2=client(provider.url))
        await airflow.probe()
        valid = "second"
        await airflow.probe()
        assert len(provider.asked) == 2


async def test_parallel_requests_share_the_renewal_after_a_403_of_a_gateway(
    server: ScriptedAirflow, connect: Connect, provider: OAuth2Provider
) -> None:
    def only(headers: Mapping[str, str]) -> Answer | None:
        if headers.get("authorization") == f"Bearer {valid}":
            return None
        if valid == "second":
            together.wait()
        return Answer(403, b"<html>Forbidden</html>", "text/html")

    def slow_tokens() -> Iterator[str]:
        yield "first"
        time.sleep(0.5)
        yield "second"

    together = threading.Barrier(4, timeout=30)
    valid = "first"
    provider.tokens = slow_tokens()
    with HttpGateway(server.url, guard=only) as gateway:
        airflow = connect(gateway, oauth2=client(provider.url))
        await airflow.probe()
        valid = "second"
        await asyncio.gather(*(airflow.params(DAG) for _ in range(4)))
    assert len(provider.asked) == 2


async def test_403_leads_to_another_login_soon_after_a_failed_login(
    server: ScriptedAirflow, connect: Connect, provider: OAuth2Provider
) -> None:
    valid = "first"
    with HttpGateway(server.url, guard=lambda headers: only_with(valid, 403)(headers)) as gateway:
        airflow = connect(gateway, oauth2=client(provider.url))
        await airflow.probe()
        valid = "second"
        provider.says = said(503)
        with pytest.raises(AirflowUnavailable):
            await airflow.probe()
        provider.says = None
        await airflow.probe()
    assert len(provider.asked) == 3


async def test_refused_login_after_an_effect_leaves_no_doubt_about_other_requests(
    server: ScriptedAirflow, connect: Connect, provider: OAuth2Provider
) -> None:
    airflow = connect(server, oauth2=client(provider.url))
    await airflow.probe()
    # The run exists, and the operator can't read it.
    server.told["trigger"] = refused(409, "The DagRun already exists")
    server.told["get run"] = refused(401, "Invalid token")
    provider.says = said(401, error="invalid_client")
    with pytest.raises(AirflowUnauthorized) as after_effect:
        await airflow.submit(DAG, RUN, {}, "note")
    assert after_effect.value.outcome_unknown
    server.told["trigger"] = refused(401, "Invalid token")
    with pytest.raises(AirflowUnauthorized) as refused_at_once:
        await airflow.submit(DAG, "mljob.team-b.other.x", {}, "note")
    assert not refused_at_once.value.outcome_unknown


async def test_refused_token_is_renewed_soon_after_a_missing_permission(
    server: ScriptedAirflow, connect: Connect, provider: OAuth2Provider
) -> None:
    airflow = connect(server, oauth2=client(provider.url))
    server.told["list dags"] = refused(403, "Forbidden")
    with pytest.raises(AirflowForbidden):
        await airflow.probe()
    assert len(provider.asked) == 2
    server.told["list dags"] = refused(403, "Invalid JWT token")
    with pytest.raises(AirflowUnauthorized):
        await airflow.probe()
    assert len(provider.asked) == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 502])
async def test_login_whose_answer_quotes_the_password_does_not_disclose_the_password(
    status: int, server: ScriptedAirflow, connect: Connect
) -> None:
    password = "pa55-w0rd-of-the-operator"
    for says in (refused(status, f"password={password}"), Says(status, f"<p>{password}</p>", "text/html")):
        server.told["login"] = says
        with pytest.raises(AirflowError) as caught:
            await connect(server, user="mljob", password=password).probe()
        assert "pa55" not in str(caught.value)


@pytest.mark.parametrize("is_json", [True, False])
@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 502])
async def test_answer_that_quotes_the_headers_does_not_disclose_the_token(
    status: int, is_json: bool, server: ScriptedAirflow, connect: Connect
) -> None:
    def quote_headers(headers: Mapping[str, str]) -> Answer:
        text = f"Bearer: {headers['authorization']}, key: {headers['x-api-key']}"
        if is_json:
            return Answer(status, json.dumps({"detail": text}).encode(), "application/json")
        return Answer(status, f"<p>{text}</p>".encode(), "text/html")

    with (
        HttpGateway(server.url, guard=quote_headers) as gateway,
        pytest.raises(AirflowError) as caught,
    ):
        await connect(gateway, token="a-t0ken", headers={"X-Api-Key": "k3y-for-the-gateway"}).probe()
    assert "a-t0k" not in str(caught.value)
    assert "k3y-f" not in str(caught.value)


async def test_answer_that_quotes_a_renewed_token_does_not_disclose_the_token(
    server: ScriptedAirflow, connect: Connect, provider: OAuth2Provider
) -> None:
    def quote_headers(headers: Mapping[str, str]) -> Answer:
        return Answer(401, headers["authorization"].encode(), "text/plain")

    with HttpGateway(server.url, guard=quote_headers) as gateway:
        airflow = connect(gateway, oauth2=client(provider.url))
        with pytest.raises(AirflowUnauthorized, match=r"Bearer \*\*\*") as caught:
            await airflow.probe()
    assert len(provider.asked) == 2
    assert "second" not in str(caught.value)


TOKEN, HEADER = "abcd-efgh-ijkl-mnop", '{"key": "k3y-for-the-gateway", "pin": "1234"}'
HIDDEN_TEXTS = Redaction(frozenset({TOKEN, HEADER}), exact=True)


@pytest.mark.parametrize(
    "word",
    [
        *(f"{TOKEN[:length]}..." for length in range(4, len(TOKEN))),
        f"{TOKEN[:-1]}…",
        b64encode(TOKEN.encode()).decode()[:8] + "...",
        "k3y-for-the-gateway",
        "1234",
    ],
)
@pytest.mark.parametrize("status", [400, 403, 502])
async def test_author_can_not_find_out_credentials_piece_by_piece(
    status: int, word: str, server: ScriptedAirflow, connect: Connect
) -> None:
    airflow = connect(server, token=TOKEN, headers={"X-Api-Key": HEADER})
    # An answer of Airflow may quote what an author wrote into the conf.
    for says in (
        refused(status, f"{word} {TOKEN} {HEADER} {word}"),
        Says(status, f"{word} {TOKEN} {word}", "text/plain"),
    ):
        server.told["list dags"] = says
        with pytest.raises(AirflowError) as caught:
            await airflow.probe()
        assert str(caught.value).count(word) == 2
        assert TOKEN not in str(caught.value)
        assert HEADER not in str(caught.value)


@pytest.mark.parametrize("hidden", [HIDDEN_TEXTS, Redaction(frozenset({TOKEN, HEADER}))])
@pytest.mark.parametrize("left", [4, 10, len(TOKEN) - 1, len(TOKEN)])
def test_token_at_the_end_of_a_cut_answer_is_not_shown(left: int, hidden: Redaction) -> None:
    spaces = b" " * (MAX_ERROR_BYTES - left - len("Bearer "))
    for body in (spaces + b"Bearer " + TOKEN[:left].encode(), spaces + "ä".encode()[:1] * 7 + TOKEN[:left].encode()):
        reply = Reply("https://a", 502, "text/plain", "", 0.0, None, body, hidden)
        with pytest.raises(AirflowUnavailable) as caught:
            reply.result()
        assert TOKEN[:4] not in str(caught.value)
