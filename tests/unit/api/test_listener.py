"""The TLS connections that mljob-api accepts."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import trustme
from aiohttp import web

from devstack.ports import Ports
from mljob_operator.api import listener as module
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
    yield tls
    await tls.stop()


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


async def test_clients_in_the_handshake_do_not_keep_others_out_for_long(
    tls: Tls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STRANGERS", 2)
    monkeypatch.setattr(module, "HANDSHAKE_SECONDS", 0.5)
    await tls.start()
    slow = [await asyncio.open_connection("127.0.0.1", tls.port) for _ in range(5)]
    async with asyncio.timeout(180):
        assert await tls.ask(tls.client_cert) == "True"
    for _, writer in slow:
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
