"""Every ``mljob-airflow`` command in the documentation succeeds on the example DAGs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from mljob_airflow.cli import main
from tests.pages import PAGES, ROOT, blocks, commands

EXAMPLES = str(ROOT / "airflow-provider" / "example_dags")
OWN_FOLDERS = ("dags/", "~/dags")
"""The names of the reader's own folder of DAGs in the pages."""


def documented() -> list[Any]:
    return [
        pytest.param(page, words[1:], id=f"{block.where}: {words[1]}")
        for page in PAGES
        for block in blocks(page, "console")
        for words in commands(block)
        if words[0] == "mljob-airflow"
    ]


@pytest.fixture
def own_folder(page: Path, tmp_path: Path) -> str:
    """The reader's own folder: the DAGs that the page shows, or the examples if it shows none."""
    dags = [block.text for block in blocks(page, "python") if "with mljob_dag(" in block.text]
    for number, dag in enumerate(dags):
        (tmp_path / f"dag_{number}.py").write_text(dag)
    return str(tmp_path) if dags else EXAMPLES


@pytest.mark.parametrize(("page", "arguments"), documented())
def test_a_documented_command_succeeds(
    arguments: list[str], own_folder: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    # An earlier command on the page sets this variable.
    monkeypatch.setenv("version", "0123456789ab")
    arguments = [own_folder if word in OWN_FOLDERS else os.path.expandvars(word) for word in arguments]
    # Readers redirect the output into a file.
    if ">" in arguments:
        arguments = arguments[: arguments.index(">")]

    assert main(arguments) == 0
    assert capsys.readouterr().out
