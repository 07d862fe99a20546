from __future__ import annotations

import asyncio
import itertools
import json
import socket
import threading
import time
from contextlib import AsyncExitStack, suppress

import pytest

from mljob import errors
from mljob.aio.transport import AsyncTransport
from mljob.keepalive import detect_dead_peer
from mljob.kubeconfig import ClusterConfig
from mljob.kubeconfig_user import User
from mljob.sync.transport import Transport
from tests.fakes.mljob_cluster import Answer, Asked, MLJobCluster, refusal

PATH = "/apis/mljob.dev/v1alpha1/namespaces/team-a/mljobs"


@pytest.mark.parametrize(
    ("code", "reason", "kind", "says"),
    [
        (401, "Unauthorized", errors.NotAuthenticated, "Log in again"),
        (403, "Forbidden", errors.NotAllowed, "a rule of the cluster"),
        (404, "NotFound", errors.NotFound, "said so"),
        (409, "AlreadyExists", errors.AlreadyExists, "said so"),
        (409, "Conflict", errors.Conflict, "said so"),
        (410, "Expired", errors.Expired, "said so"),
        (422, "Invalid", errors.Invalid, "said so"),
        (429, "TooManyRequests", errors.TooManyRequests, "later"),
        (500, "InternalError", errors.Unavailable, "network"),
        (418, "Teapot", errors.ApiError, "said so"),
    ],
)
def test_refusal_becomes_its_error_with_the_servers_message_and_the_way_out(
    cluster: MLJobCluster, transport: Transport, code: int, reason: str, kind: type[errors.ApiError], says: str
) -> None:
    cluster.interfere = lambda _: refusal(code, reason, "the server said so")

    with pytest.raises(errors.ApiError, match="the server said so") as raised:
        transport.request("GET", PATH)

    assert type(raised.value) is kind
    assert (raised.value.code, raised.value.reason) == (code, reason)
    assert says in str(raised.value)


def test_missing_right_names_the_roles_that_have_it(cluster: MLJobCluster, transport: Transport) -> None:
    said = 'mljobs.mljob.dev is forbidden: User "ada" cannot list resource "mljobs" in API group "mljob.dev"'
    cluster.interfere = lambda _: refusal(403, "Forbidden", said)

    with pytest.raises(errors.NotAllowed, match="<name>-editor"):
        transport.request("GET", PATH)


def test_exceeded_quota_is_not_called_a_missing_right(cluster: MLJobCluster, transport: Transport) -> None:
    said = 'mljobs.mljob.dev "a" is forbidden: exceeded quota: mljobs, requested: count/mljobs.mljob.dev=1'
    cluster.interfere = lambda _: refusal(403, "Forbidden", said)

    with pytest.raises(errors.NotAllowed, match="exceeded quota") as raised:
        transport.request("GET", PATH)

    assert "Ask for this right" not in str(raised.value)


def test_message_of_a_refusal_is_bounded_and_has_no_control_characters(
    cluster: MLJobCluster, transport: Transport
) -> None:
    cluster.interfere = lambda _: refusal(403, "Forbidden", "\x1b[31mred\x07" + "x" * 50_000)

    with pytest.raises(errors.NotAllowed) as raised:
        transport.request("GET", PATH)

    assert "\x1b" not in str(raised.value)
    assert "\x07" not in str(raised.value)
    assert len(str(raised.value)) < 3_000


def test_unknown_kind_says_that_the_crds_are_missing(cluster: MLJobCluster, transport: Transport) -> None:
    cluster.interfere = lambda _: Answer(404, b"404 page not found\n")

    with pytest.raises(errors.KindNotServed, match="CRDs"):
        transport.request("GET", PATH)


@pytest.mark.parametrize("code", [429, 500, 502, 503, 504])
def test_read_is_tried_again(cluster: MLJobCluster, transport: Transport, code: int) -> None:
    answers = iter([refusal(code), refusal(code)])
    cluster.interfere = lambda _: next(answers, None)

    assert transport.request("GET", PATH)["items"] == []
    assert len(cluster.asked) == 3


def test_write_is_tried_again_only_if_the_server_did_nothing(cluster: MLJobCluster, transport: Transport) -> None:
    cluster.interfere = lambda _: refusal(500, "InternalError")
    with pytest.raises(errors.Unavailable):
        transport.request("POST", PATH, body={"metadata": {"name": "a"}})
    assert len(cluster.asked) == 1

    answers = iter([refusal(429, retry_after="0"), refusal(503, retry_after="0")])
    cluster.interfere = lambda _: next(answers, None)
    assert transport.request("POST", PATH, body={"metadata": {"name": "a"}})["metadata"]["name"] == "a"


def test_retry_after_is_waited_for(cluster: MLJobCluster, transport: Transport) -> None:
    answers = iter([refusal(429, retry_after="1")])
    cluster.interfere = lambda _: next(answers, None)
    begun = time.monotonic()

    transport.request("GET", PATH)

    assert time.monotonic() - begun >= 1


def test_retry_beyond_the_deadline_is_not_waited_for(cluster: MLJobCluster, transport: Transport) -> None:
    cluster.interfere = lambda _: refusal(429, retry_after="3600")

    with pytest.raises(errors.TooManyRequests):
        transport.request("GET", PATH, deadline=time.monotonic() + 1)

    assert len(cluster.asked) == 1


def test_answer_that_was_cut_is_read_again(cluster: MLJobCluster, transport: Transport) -> None:
    answers = iter([Answer(200, b'{"items": [', then_cut=True)])
    cluster.interfere = lambda _: next(answers, None)

    assert transport.request("GET", PATH)["items"] == []


def test_server_that_is_down_is_told_with_its_address_and_context() -> None:
    config = ClusterConfig("https://127.0.0.1:9", context="dev")

    with Transport(config) as transport, pytest.raises(errors.Unavailable, match=r"127\.0\.0\.1:9.*'dev'"):
        transport.request("GET", PATH, tries=1)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"<html>", "not JSON"),
        (b"[]", "not a JSON object"),
        (b"[" * 100_000, "not JSON"),
        (b'{"a": ' * 100_000, "not JSON"),
        (b"\xff\xfe", "not JSON"),
    ],
)
def test_answer_that_is_no_object_is_refused(
    cluster: MLJobCluster, transport: Transport, body: bytes, says: str
) -> None:
    cluster.interfere = lambda _: Answer(200, body)

    with pytest.raises(errors.BadAnswer, match=says):
        transport.request("GET", PATH)


def test_deep_conf_of_one_mljob_does_not_hide_the_others(cluster: MLJobCluster, transport: Transport) -> None:
    deep = b'{"metadata": {"name": "deep"}, "spec": {"conf": ' + b'[{"\\"]}": ' * 5_000 + b"1" + b"}]" * 5_000 + b"}}"
    body = b'{"items": [' + deep + b', {"metadata": {"name": "other"}}], "metadata": {}}'
    cluster.interfere = lambda _: Answer(200, body)

    items = transport.request("GET", PATH)["items"]

    assert [item["metadata"]["name"] for item in items] == ["deep", "other"]


def test_answer_that_is_too_large_is_not_read_to_its_end(
    cluster: MLJobCluster, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mljob.sync.answers.MAX_ANSWER_BYTES", 1_000)
    cluster.interfere = lambda _: Answer(200, b'"' + b"x" * 1_000_000)

    with pytest.raises(errors.BadAnswer, match="more than 1000 bytes"):
        transport.request("GET", PATH)


@pytest.mark.parametrize("long", [b"x" * 1_000_000, b"x" * 1_001 + b"\nshort"], ids=["no end", "in one chunk"])
def test_line_that_is_too_long_ends_the_stream(long: bytes, cluster: MLJobCluster, transport: Transport) -> None:
    cluster.interfere = lambda _: Answer(200, b"short\n" + long)

    with transport.lines(PATH, max_line_bytes=1_000) as lines:
        assert next(lines) == b"short"
        with pytest.raises(errors.BadAnswer, match="more than 1000 bytes"):
            next(lines)


def test_lines_are_the_same_however_they_are_cut_into_chunks(cluster: MLJobCluster, transport: Transport) -> None:
    text = b"\n".join(b"line %d" % number for number in range(20_000)) + b"\nlast"
    cluster.interfere = lambda _: Answer(200, text)

    with transport.lines(PATH) as lines:
        assert list(lines) == text.split(b"\n")


def test_silent_stream_is_given_up(cluster: MLJobCluster, transport: Transport) -> None:
    cluster.interfere = lambda asked: None
    with (
        pytest.raises(errors.Unavailable),
        transport.lines(PATH, params={"watch": "true", "resourceVersion": "10"}, idle_seconds=0.1) as lines,
    ):
        list(lines)


def test_redirect_is_not_followed_with_the_persons_token(cluster: MLJobCluster, quick_retries: None) -> None:
    cluster.interfere = lambda _: Answer(302, b"", {"Location": f"{cluster.url}/stolen"})
    config = ClusterConfig(cluster.url, user=User(token="secret"))

    with Transport(config) as transport, pytest.raises(errors.ApiError):
        transport.request("GET", PATH)

    assert [asked.path for asked in cluster.asked] == [PATH]


def test_token_is_sent_and_never_shown(cluster: MLJobCluster) -> None:
    config = ClusterConfig(cluster.url, user=User(token="very-secret", impersonate=(("Impersonate-User", "anna"),)))
    cluster.interfere = lambda _: refusal(403, "Forbidden", "no")

    with Transport(config) as transport, pytest.raises(errors.NotAllowed) as raised:
        transport.request("GET", PATH)

    headers = cluster.asked[0].headers
    assert headers["Authorization"] == "Bearer very-secret"
    assert headers["Impersonate-User"] == "anna"
    assert "very-secret" not in f"{config!r} {transport!r} {raised.value}"


def test_proxies_of_the_environment_are_not_for_this_machine(
    cluster: MLJobCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    with Transport(ClusterConfig(cluster.url)) as transport:
        assert transport.request("GET", PATH)["items"] == []
    with Transport(ClusterConfig("http://kubernetes.example")) as transport, pytest.raises(errors.Unavailable):
        transport.request("GET", PATH, tries=1)


def test_proxy_of_the_kubeconfig_is_used(cluster: MLJobCluster) -> None:
    config = ClusterConfig("http://kubernetes.example", proxy=cluster.url)
    cluster.interfere = lambda asked: (
        Answer(200, b'{"items": []}') if "kubernetes.example" in asked.headers["Host"] else None
    )

    with Transport(config) as transport:
        assert transport.request("GET", PATH) == {"items": []}


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:9", "ftp://x"])
def test_proxy_that_cannot_be_used_is_told_with_its_context(proxy: str) -> None:
    config = ClusterConfig("http://kubernetes.example", context="dev", proxy=proxy)

    with Transport(config) as transport, pytest.raises(errors.ConfigError, match="proxy-url of the context 'dev'"):
        transport.request("GET", PATH, tries=1)


@pytest.mark.parametrize("code", [200, 503])
def test_answer_that_never_ends_is_given_up(
    code: int, cluster: MLJobCluster, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mljob.sync.answers.ANSWER_SECONDS", -1.0)
    cluster.interfere = lambda _: Answer(code, b"{}")

    with pytest.raises(errors.Unavailable, match=rf"{PATH}: the API server has not ended its answer.+network"):
        transport.request("GET", PATH)

    assert len(cluster.asked) == 1, "the next answer would be as slow"


def test_both_halves_send_the_same_requests(cluster: MLJobCluster, config: ClusterConfig) -> None:
    async def ask() -> object:
        async with AsyncTransport(config) as transport:
            return await transport.request("GET", PATH)

    with Transport(config) as transport:
        assert transport.request("GET", PATH) == asyncio.run(ask())
    first, second = ((asked.method, asked.path, asked.query) for asked in cluster.asked)
    assert first == second


def test_parallel_requests_of_one_transport_do_not_mix(cluster: MLJobCluster, transport: Transport) -> None:
    from concurrent.futures import ThreadPoolExecutor

    for number in range(20):
        cluster.put(f"job-{number}")

    def read(number: int) -> str:
        name: str = transport.request("GET", f"{PATH}/job-{number}")["metadata"]["name"]
        return name

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(read, range(20))) == [f"job-{number}" for number in range(20)]


@pytest.fixture
def sockets(monkeypatch: pytest.MonkeyPatch) -> list[socket.socket]:
    """The sockets on which the client has turned keepalive on."""
    found: list[socket.socket] = []

    def detect(opened: socket.socket) -> None:
        detect_dead_peer(opened)
        found.append(opened)

    for half in ("aio", "sync"):
        monkeypatch.setattr(f"mljob.{half}.transport.detect_dead_peer", detect)
    return found


def notices_a_dead_peer(opened: socket.socket) -> bool:
    idle, interval, probes = (
        opened.getsockopt(socket.IPPROTO_TCP, option)
        for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
    )
    return bool(opened.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)) and idle + interval * probes <= 90


@pytest.mark.skipif(not hasattr(socket, "TCP_KEEPIDLE"), reason="macOS has another name for this option")
@pytest.mark.parametrize("by_proxy", [False, True])
async def test_connections_notice_that_their_peer_is_gone(
    cluster: MLJobCluster, sockets: list[socket.socket], by_proxy: bool
) -> None:
    config = ClusterConfig("http://kubernetes.example", proxy=cluster.url) if by_proxy else ClusterConfig(cluster.url)
    cluster.interfere = lambda _: Answer(200, b"{}")

    with Transport(config) as transport:
        transport.request("GET", PATH)
        assert [notices_a_dead_peer(opened) for opened in sockets] == [True]
    async with AsyncTransport(config) as asyncio_transport:
        await asyncio_transport.request("GET", PATH)
        assert notices_a_dead_peer(sockets[1])


async def test_open_streams_leave_connections_for_requests(cluster: MLJobCluster, config: ClusterConfig) -> None:
    watch = {"watch": "true", "resourceVersion": "10"}
    async with AsyncTransport(config) as transport, AsyncExitStack() as streams:
        for _ in range(300):
            await streams.enter_async_context(transport.lines(PATH, params=watch))

        assert (await transport.request("GET", PATH, tries=1))["items"] == []


async def test_parallel_requests_are_bounded_and_wait_for_each_other(
    cluster: MLJobCluster, config: ClusterConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mljob.aio.transport.MAX_PARALLEL_REQUESTS", 2)
    third = threading.Barrier(3, timeout=0.2)

    def answer(_: Asked) -> None:
        with suppress(threading.BrokenBarrierError):
            third.wait()

    cluster.interfere = answer
    async with AsyncTransport(config) as transport:
        answers = await asyncio.gather(*(transport.request("GET", PATH) for _ in range(6)))

    assert [found["items"] for found in answers] == [[]] * 6
    assert third.broken, "three requests were answered at a time"


def test_json_of_a_request_is_what_was_given(cluster: MLJobCluster, transport: Transport) -> None:
    body = {"metadata": {"name": "umlaut"}, "spec": {"dagId": "trainiere_Bär"}}

    transport.request("POST", PATH, body=body)

    assert cluster.asked[-1].body == body
    assert json.dumps(cluster.get("umlaut")["spec"]) == json.dumps(body["spec"])


def test_waits_grow_and_are_bounded() -> None:
    from mljob.retries import MAX_WAIT_SECONDS, wait_seconds

    waits = [wait_seconds(failures) for failures in range(1, 40)]

    assert waits[0] < 0.3
    assert all(later > sooner * 1.2 for sooner, later in itertools.pairwise(waits[:6]))
    assert max(waits) <= MAX_WAIT_SECONDS * 1.25
    assert wait_seconds(1, retry_after=1e9) <= MAX_WAIT_SECONDS * 1.25
