"""The real pip and the real uv with a package index behind a company's own certificate authority."""

from __future__ import annotations

import atexit
import ssl
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from devstack import bootstrap
from devstack.ports import HOST
from tests.live.authority import Authority

CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "UV_SYSTEM_CERTS")


class Index:
    """A package index without packages.

    Attributes:
        asked: The paths of the requests, which only clients that trust the index's certificate send.
    """

    def __init__(self, directory: Path) -> None:
        authority = Authority()
        self.authority = authority.write_certificate(directory / "ca.crt")
        self.asked: list[str] = []
        asked = self.asked

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                self.send_error(404)

            def log_message(self, *_: object) -> None: ...

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                """Ignore clients that end the handshake, because they don't trust the certificate."""

        self.server = Server((HOST, 0), Handler)
        self.server.socket = authority.server().wrap_socket(self.server.socket, server_side=True)
        self.url = f"https://localhost:{self.server.server_address[1]}/simple"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    for name in CERTIFICATES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "localhost")
    index = Index(tmp_path)
    yield index
    index.server.shutdown()
    index.server.server_close()


def the_systems(monkeypatch: pytest.MonkeyPatch, *files: Path) -> None:
    """Let the system trust the certificates in these files only."""
    nothing = ssl.DefaultVerifyPaths(None, None, "SSL_CERT_FILE", "", "SSL_CERT_DIR", "")
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: nothing)
    monkeypatch.setattr(bootstrap, "SYSTEM_CERTIFICATES", tuple(map(str, files)))


@cache
def pip_of_the_machine() -> str:
    """The path of a pip in a new environment, as bootstrap makes one."""
    folder = tempfile.TemporaryDirectory(prefix="mljob-pip-")
    atexit.register(folder.cleanup)
    subprocess.run((bootstrap.base_python(), "-m", "venv", folder.name), check=True)
    return f"{folder.name}/bin/pip"


def pip(index: Index) -> None:
    command = (pip_of_the_machine(), "download", "--retries=0", "--no-deps", f"--index-url={index.url}", "absent")
    subprocess.run(command, env=bootstrap.pip_environment(), capture_output=True, check=False)


def uv(index: Index) -> None:
    command = (bootstrap.uv(), "pip", "compile", "--no-cache", f"--index-url={index.url}", "-")
    environment = bootstrap.uv_environment() | {"UV_HTTP_RETRIES": "0"}
    subprocess.run(command, input=b"absent", env=environment, capture_output=True, check=False)


def test_pip_trusts_the_certificates_of_the_system(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    the_systems(monkeypatch, index.authority)
    pip(index)
    assert index.asked


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "PIP_CERT"])
@pytest.mark.parametrize("ask", [pip, uv])
def test_pip_and_uv_trust_the_file_that_a_variable_names(
    index: Index, monkeypatch: pytest.MonkeyPatch, variable: str, ask
) -> None:
    the_systems(monkeypatch)
    ask(index)
    assert not index.asked
    monkeypatch.setenv(variable, str(index.authority))
    ask(index)
    assert index.asked


def test_uv_uses_the_certificates_of_the_system_where_there_are_any(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    the_systems(monkeypatch)
    assert "UV_SYSTEM_CERTS" not in bootstrap.uv_environment()
    the_systems(monkeypatch, index.authority)
    assert bootstrap.uv_environment()["UV_SYSTEM_CERTS"] == "true"
    monkeypatch.setenv("UV_SYSTEM_CERTS", "false")
    assert bootstrap.uv_environment()["UV_SYSTEM_CERTS"] == "false"
