"""The TLS connections that mljob-api accepts."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiohttp import web

from devstack.ports import Ports
from mljob_operator.api import listener as module
from mljob_operator.api import strangers
from mljob_operator.api.front_proxy import FrontProxy
from mljob_operator.api.listener import Certificate, Listener
from tests.live.eventually import until


class Tls:
    """A TLS listener of mljob-api. The application answers "True" to the front proxy of the
    Kubernetes API server, and "False" to other clients.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority, self.proxy_ca = trustme.CA(), trustme.CA()
        self.port = Ports(folder)["http"]
        self.cert, self.key = folder / "tls.crt", folder / "tls.key"
        self.issue()
        self.front_proxy: FrontProxy | None = FrontProxy(
            self.proxy_ca.cert_pem.bytes().decode(), frozenset({"front-proxy-client"}), ("X-Remote-User",)
        )
        self.client_cert = self.client("front-proxy-client")

    def issue(self) -> None:
        issued = self.authority.issue_cert("localhost")
        self.cert.write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
        self.key.write_bytes(issued.private_key_pem.bytes())

    def client(self, name: str, authority: trustme.CA | None = None) -> trustme.LeafCert:
        return (authority or self.proxy_ca).issue_cert(common_name=name)

    def context(self, certificate: trustme.LeafCert | None) -> ssl.SSLContext:
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        if certificate is not None:
            certificate.configure_cert(context)
        return context

    async def start(self, *, connections: int = 4) -> None:
        app = web.Application()
        app.router.add_get("/", self._answer)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        assert self._runner.server is not None
        certificate = Certificate(str(self.cert), str(self.key))
        self.listener = Listener(self._runner.server, certificate, lambda: self.front_proxy, connections=connections)
        self.listener.start("127.0.0.1", self.port)

    async def stop(self) -> None:
        await self._runner.cleanup()
        await self.listener.stop()

    async def _answer(self, request: web.Request) -> web.Response:
        known = self.listener.of(request.transport)
        assert known is not None
        known.has_asked.set()
        return web.Response(
            text=str(known.is_front_proxy), headers={} if known.is_front_proxy else {"Connection": "close"}
        )

    async def connect(
        self, certificate: trustme.LeafCert | None = None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(
            "127.0.0.1", self.port, ssl=self.context(certificate), server_hostname="localhost"
        )

    async def ask(self, certificate: trustme.LeafCert | None) -> str:
        reader, writer = await self.connect(certificate)
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        try:
            return (await reader.read()).decode().rpartition("\r\n\r\n")[2]
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


@pytest.fixture
async def tls(tmp_path: Path) -> AsyncIterator[Tls]:
    tls = Tls(tmp_path)
    errors: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
    yield tls
    await tls.stop()
    # An exception of a task is reported when the task is deleted.
    gc.collect()
    assert not errors


async def test_only_the_allowed_name_of_the_ca_is_the_front_proxy(tls: Tls) -> None:
    await tls.start()
    assert await tls.ask(tls.client_cert) == "True"
    assert await tls.ask(tls.client("somebody")) == "False"
    assert await tls.ask(None) == "False"


async def test_certificate_of_another_ca_ends_the_handshake(tls: Tls) -> None:
    await tls.start()
    # With TLS 1.3, the client learns of the refusal when it reads.
    with contextlib.suppress(ssl.SSLError, ConnectionError):
        assert await tls.ask(tls.client("front-proxy-client", trustme.CA())) == ""
    assert tls.listener.count == 0


async def test_renewed_certificates_need_no_restart(tls: Tls) -> None:
    await tls.start()
    assert await tls.ask(tls.client_cert) == "True"
    tls.authority = trustme.CA()
    tls.issue()
    assert await tls.ask(tls.client_cert) == "True"
    tls.key.write_bytes(b"partly written")
    assert await tls.ask(tls.client_cert) == "True"
    renewed = trustme.CA()
    tls.front_proxy = FrontProxy(renewed.cert_pem.bytes().decode(), frozenset({"front-proxy-client"}), ())
    tls.issue()
    assert await tls.ask(tls.client("front-proxy-client", renewed)) == "True"


async def test_nobody_is_the_front_proxy_while_it_is_not_known(tls: Tls) -> None:
    tls.front_proxy = None
    await tls.start()
    assert await tls.ask(tls.client_cert) == "False"


@pytest.mark.parametrize("patch", ["HANDSHAKE_SECONDS", "FIRST_REQUEST_SECONDS"])
async def test_client_that_asks_nothing_is_cut_off(tls: Tls, monkeypatch: pytest.MonkeyPatch, patch: str) -> None:
    monkeypatch.setattr(module, patch, 0.3)
    await tls.start()
    reader, writer = await tls.connect(tls.client_cert if patch == "FIRST_REQUEST_SECONDS" else None)
    async with asyncio.timeout(180):
        with contextlib.suppress(OSError):
            assert await reader.read() == b""
    writer.close()
    await until(lambda: tls.listener.count == 0, "the connection is forgotten")


@pytest.fixture
def silent(tls: Tls) -> Iterator[Callable[[str, int], None]]:
    """A function that opens connections from a loopback address, and begins no handshake."""
    with contextlib.ExitStack() as opened:

        def connect(source: str, count: int) -> None:
            for _ in range(count):
                opened.enter_context(socket.create_connection(("127.0.0.1", tls.port), source_address=(source, 0)))

        yield connect


@pytest.fixture
def few_strangers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Admit 8 strangers, and let no time-out close their connections."""
    monkeypatch.setattr(strangers, "STRANGERS", 8)
    monkeypatch.setattr(module, "HANDSHAKE_SECONDS", 3600.0)


@pytest.mark.usefixtures("few_strangers")
@pytest.mark.parametrize("source", ["127.0.0.1", "127.0.0.2"])
async def test_silent_clients_do_not_keep_the_front_proxy_out(
    tls: Tls, silent: Callable[[str, int], None], source: str
) -> None:
    await tls.start()
    async with asyncio.timeout(180):
        for _ in range(5):
            silent(source, 10)
            assert await tls.ask(tls.client_cert) == "True"


@pytest.mark.usefixtures("few_strangers")
async def test_clients_of_one_address_do_not_push_out_those_of_another(
    tls: Tls, silent: Callable[[str, int], None]
) -> None:
    await tls.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", tls.port)
    async with asyncio.timeout(180):
        for source in ("127.0.0.2", "127.0.0.3"):
            silent(source, 10)
        # Another answer shows that the silent connections were accepted before it.
        assert await tls.ask(tls.client_cert) == "True"
        await writer.start_tls(tls.context(tls.client_cert), server_hostname="localhost")
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert (await reader.read()).endswith(b"True")
    writer.close()


@pytest.mark.usefixtures("few_strangers")
async def test_client_without_certificate_is_closed_if_there_are_too_many(
    tls: Tls, silent: Callable[[str, int], None]
) -> None:
    await tls.start()
    reader, writer = await tls.connect(None)
    silent("127.0.0.1", 8)
    async with asyncio.timeout(180):
        with contextlib.suppress(OSError):
            assert await reader.read() == b""
    writer.close()


async def test_connections_of_the_front_proxy_are_limited(tls: Tls) -> None:
    await tls.start(connections=1)
    reader, writer = await tls.connect(tls.client_cert)
    writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert b"200" in await reader.readline()
    with contextlib.suppress(OSError):
        assert await tls.ask(tls.client_cert) == ""
    writer.close()
    await until(lambda: tls.listener.count == 0, "the connection is forgotten")
    assert await tls.ask(tls.client_cert) == "True"


async def test_clients_without_a_certificate_take_no_place_of_the_front_proxy(tls: Tls) -> None:
    await tls.start(connections=1)
    _, writer = await tls.connect(None)
    await until(lambda: tls.listener.count == 1, "the connection is accepted")
    assert await tls.ask(tls.client_cert) == "True"
    writer.close()


def unusable(cert: Path, key: Path) -> None:
    cert.write_text("x")
    key.write_text("x")


@pytest.mark.parametrize("spoil", [unusable, lambda cert, key: cert.unlink()])
def test_certificate_that_was_never_usable_gives_no_context(
    tmp_path: Path, spoil: Callable[[Path, Path], None]
) -> None:
    tls = Tls(tmp_path)
    spoil(tls.cert, tls.key)
    assert Certificate(str(tls.cert), str(tls.key)).context(None) is None
