"""The ``mljob-airflow`` commands in the documentation succeed on the example DAGs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mljob_airflow.cli import main
from tests.page_runners import Runner, lines_of
from tests.pages import ROOT, blocks, commands_in

EXAMPLES = str(ROOT / "airflow-provider" / "example_dags")
OWN_FOLDERS = ("dags/", "~/dags")
"""The names that the pages give to the reader's own folder of DAGs."""


def documented() -> list[Any]:
    return [
        pytest.param(page, words[1:], id=f"{block.where}: {words[1]}")
        for page, block, line in lines_of(Runner.PROVIDER)
        for words in commands_in(line)
    ]


@pytest.fixture
def own_folder(page: Path, tmp_path: Path) -> str:
    dags = [block.text for block in blocks(page, "python") if "with mljob_dag(" in block.text]
    for number, dag in enumerate(dags):
        (tmp_path / f"dag_{number}.py").write_text(dag)
    return str(tmp_path) if dags else EXAMPLES


@pytest.mark.parametrize(("page", "arguments"), documented())
def test_a_documented_command_succeeds(
    arguments: list[str], own_folder: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    arguments = [own_folder if word in OWN_FOLDERS else word for word in arguments]
    # Readers redirect the output into a file.
    if ">" in arguments:
        arguments = arguments[: arguments.index(">")]

    assert main(arguments) == 0
    assert capsys.readouterr().out
