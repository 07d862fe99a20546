"""Tests of how ``devstack.bootstrap`` chooses an interpreter and makes an environment. With its
environment variables, pip and uv trust a package index whose certificate is signed by a company's
certificate authority (CA).
"""

from __future__ import annotations

import hashlib
import json
import os
import ssl
import subprocess
import sys
import sysconfig
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


@pytest.fixture
def slow_python(monkeypatch: pytest.MonkeyPatch) -> str:
    """Let this interpreter seem to have been built without optimizations, outside a virtual
    environment. Return the path of the interpreter.
    """
    monkeypatch.delenv("PYTHON", raising=False)
    monkeypatch.setattr(sysconfig, "get_config_var", {"CONFIG_ARGS": "'--enable-shared'"}.get)
    monkeypatch.setattr(sys, "base_prefix", "/home/anna/.pyenv/versions/3.11.7")
    monkeypatch.setattr(sys, "_base_executable", "/home/anna/.pyenv/versions/3.11.7/bin/python3.11")
    return "/home/anna/.pyenv/versions/3.11.7/bin/python3.11"


def set_system_python(monkeypatch: pytest.MonkeyPatch, directory: Path, script: str) -> str:
    system = directory / "python3"
    system.write_text(f"#!/bin/sh\n{script}\n")
    system.chmod(0o755)
    monkeypatch.setattr(bootstrap, "SYSTEM_PYTHON", system)
    return str(system)


SAME = f"echo {sys.version_info[0]} {sys.version_info[1]}"


def test_system_python_replaces_a_python_without_optimizations(
    slow_python: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    system = set_system_python(monkeypatch, tmp_path, SAME)
    assert bootstrap.base_python() == system


@pytest.mark.parametrize("script", ["echo 3 9", "echo No module named ensurepip >&2; exit 1"])
def test_system_python_of_another_version_or_without_venv_is_not_used(
    slow_python: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str
) -> None:
    set_system_python(monkeypatch, tmp_path, script)
    assert bootstrap.base_python() == slow_python


def test_system_without_python_leaves_the_python(
    slow_python: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(bootstrap, "SYSTEM_PYTHON", tmp_path / "absent")
    assert bootstrap.base_python() == slow_python


def test_python_with_optimizations_or_named_by_a_person_is_not_replaced(
    slow_python: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    set_system_python(monkeypatch, tmp_path, SAME)
    monkeypatch.setenv("PYTHON", "python3.11")
    assert bootstrap.base_python() == slow_python
    monkeypatch.delenv("PYTHON")
    monkeypatch.setattr(sysconfig, "get_config_var", {"CONFIG_ARGS": "'--enable-optimizations' '--with-lto'"}.get)
    assert bootstrap.base_python() == slow_python


def test_environment_is_made_anew_for_another_interpreter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(bootstrap, "ROOT", tmp_path)
    lock, environment = tmp_path / "empty.txt", tmp_path / ".venv"
    lock.touch()
    bootstrap.ensure(environment, lock, ())
    left = environment / "left"
    left.touch()
    bootstrap.ensure(environment, lock, ())
    assert left.exists()
    stamp = environment / "mljob-stamp.json"
    stamp.write_text(json.dumps(json.loads(stamp.read_text()) | {"python": "3.11 /usr/bin/another"}))
    bootstrap.ensure(environment, lock, ())
    assert not left.exists()
    assert (environment / "bin" / "python").exists()


def test_make_passes_the_name_of_a_python_on() -> None:
    """``base_python`` relies on this: only a value that a person has set is exported."""
    rule = "print:\n\t@env"
    makefile = f"PYTHON ?= python3\n{rule}\n"
    environment = {"PATH": os.environ["PATH"]}

    def exported(*arguments: str, **variables: str) -> bool:
        command = ("make", "-f", "-", *arguments)
        env = environment | variables
        done = subprocess.run(command, input=makefile, env=env, capture_output=True, text=True, check=True)
        return "PYTHON=python3.12" in done.stdout.splitlines()

    assert not exported()
    assert exported("PYTHON=python3.12")
    assert exported(PYTHON="python3.12")
