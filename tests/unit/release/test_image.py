"""The Dockerfile copies only existing files, and installs only locked or local packages."""

from __future__ import annotations

import re

import pytest

from release.version import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text()
COPIED = [path for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE) for path in line.split()[:-1]]
LOCKS = [path for path in COPIED if path.startswith("requirements/")]


@pytest.mark.parametrize("path", COPIED)
def test_each_copied_file_exists_and_is_not_ignored(path: str) -> None:
    allowed = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)

    assert (ROOT / path).exists()
    assert path in allowed


@pytest.mark.parametrize("path", LOCKS)
def test_every_lock_of_the_image_has_hashes(path: str) -> None:
    pins = re.split(r"\n(?=\S)", (ROOT / path).read_text().strip())

    assert [pin.split()[0] for pin in pins if "==" not in pin or "--hash=sha256:" not in pin] == []


def test_every_installation_is_locked_or_local() -> None:
    commands = re.findall(r"pip (?:install|wheel) [^\\|&\n]+", DOCKERFILE)

    assert len(commands) == 8
    assert [command for command in commands if not re.search("--require-hashes|--no-index", command)] == []
