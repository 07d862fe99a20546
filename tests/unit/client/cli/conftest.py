from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import NamedTuple, Protocol

import pytest

from mljob.cli.app import run
from tests.fakes.mljob_cluster import MLJobCluster


class Ended(NamedTuple):
    code: int
    out: str
    err: str


class Plugin(Protocol):
    def __call__(self, *arguments: str) -> Ended: ...


class Terminal(io.StringIO):
    """A terminal that keeps what is written."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True

    def text(self) -> str:
        """Return what is written, without escape sequences."""
        return re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", self.getvalue())


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal of 80 columns and 24 rows, without colours."""
    for name, value in {"TERM": "xterm", "NO_COLOR": "1", "COLUMNS": "80", "LINES": "24"}.items():
        monkeypatch.setenv(name, value)
    return Terminal()


@pytest.fixture
def kubeconfig(cluster: MLJobCluster, tmp_path: Path) -> Path:
    file = tmp_path / "config"
    file.write_text(
        json.dumps(
            {
                "current-context": "test",
                "contexts": [{"name": "test", "context": {"cluster": "test", "namespace": "team-a"}}],
                "clusters": [{"name": "test", "cluster": {"server": cluster.url}}],
            }
        )
    )
    return file


@pytest.fixture
def plugin(
    kubeconfig: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], quick_retries: None
) -> Plugin:
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))

    def call(*arguments: str) -> Ended:
        capsys.readouterr()
        code = run(arguments)
        told = capsys.readouterr()
        return Ended(code, told.out, told.err)

    return call
