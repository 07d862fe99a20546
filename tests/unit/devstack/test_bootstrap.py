"""With the environment variables of ``devstack.bootstrap``, pip and uv trust a package index whose
certificate is signed by a company's certificate authority (CA).
"""

from __future__ import annotations

import hashlib
import ssl
import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from devstack import bootstrap
from devstack.caches import cache_directory, once
from tests.live.authority import Authority
from tests.live.loopback import LoopbackServer, QuietHandler

CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "UV_SYSTEM_CERTS")


class Index(LoopbackServer):
    """A package index that answers each request with 404. The index uses HTTPS, with a certificate
    that a new CA has signed.

    Attributes:
        authority: The file with the CA's certificate.
        simple: The index's URL for pip and uv.
        asked: The paths of all requests that the index has received.
    """

    def __init__(self, directory: Path) -> None:
        authority = Authority()
        self.authority = authority.write_certificate(directory / "ca.crt")
        self.asked: list[str] = []
        asked = self.asked

        class Handler(QuietHandler):
            def answer(self) -> None:
                asked.append(self.path)
                self.send_error(404)

        super().__init__(Handler, tls=authority.server())
        self.simple = f"https://localhost:{self.port}/simple"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    for name in CERTIFICATES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "localhost")
    with Index(tmp_path) as index:
        yield index


def set_system_certificates(monkeypatch: pytest.MonkeyPatch, *files: Path) -> None:
    """Let ``bootstrap.system_certificates`` return the first of ``files``. Without ``files``, let
    the function return None.
    """
    nothing = ssl.DefaultVerifyPaths("", "", "SSL_CERT_FILE", "", "SSL_CERT_DIR", "")
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: nothing)
    monkeypatch.setattr(bootstrap, "SYSTEM_CERTIFICATES", tuple(map(str, files)))


@cache
def pip_of_venv() -> tuple[str, ...]:
    """Return the command of the pip that Python's module ``venv`` installs into a virtual
    environment. The environment is cached, because its creation takes seconds.
    """
    base = bootstrap.base_python()
    version = subprocess.check_output((base, "-VV"), text=True)
    name = f"test-pip-{hashlib.sha256(f'{base} {version}'.encode()).hexdigest()[:12]}"

    def make(target: Path) -> None:
        subprocess.run((base, "-m", "venv", target), check=True)

    # As a module: the script's first line names the folder in which the environment was made.
    return str(once(cache_directory() / name, "installing pip", make) / "bin" / "python"), "-m", "pip"


def pip(index: Index) -> None:
    command = (*pip_of_venv(), "download", "--retries=0", "--no-deps", f"--index-url={index.simple}", "absent")
    subprocess.run(command, env=bootstrap.pip_environment(), capture_output=True, check=False)


def uv(index: Index) -> None:
    command = (bootstrap.uv(), "pip", "compile", "--no-cache", f"--index-url={index.simple}", "-")
    environment = bootstrap.uv_environment() | {"UV_HTTP_RETRIES": "0"}
    subprocess.run(command, input=b"absent", env=environment, capture_output=True, check=False)


def test_pip_trusts_the_certificates_of_the_system(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    set_system_certificates(monkeypatch, index.authority)
    pip(index)
    assert index.asked


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "PIP_CERT"])
@pytest.mark.parametrize("ask", [pip, uv])
def test_pip_and_uv_trust_the_file_that_a_variable_names(
    index: Index, monkeypatch: pytest.MonkeyPatch, variable: str, ask: Callable[[Index], None]
) -> None:
    set_system_certificates(monkeypatch)
    ask(index)
    assert not index.asked
    monkeypatch.setenv(variable, str(index.authority))
    ask(index)
    assert index.asked


def test_uv_uses_the_certificates_of_the_system_if_there_are_any(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    set_system_certificates(monkeypatch)
    assert "UV_SYSTEM_CERTS" not in bootstrap.uv_environment()
    set_system_certificates(monkeypatch, index.authority)
    assert bootstrap.uv_environment()["UV_SYSTEM_CERTS"] == "true"
    monkeypatch.setenv("UV_SYSTEM_CERTS", "false")
    assert bootstrap.uv_environment()["UV_SYSTEM_CERTS"] == "false"
