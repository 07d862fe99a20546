"""Every ``mljob-airflow`` command in the documentation succeeds on the example DAGs."""

from __future__ import annotations

import os
from typing import Any

import pytest

from mljob_airflow.cli import main
from tests.pages import PAGES, ROOT, blocks, commands

EXAMPLES = str(ROOT / "airflow-provider" / "example_dags")


def documented() -> list[Any]:
    return [
        pytest.param(words[1:], id=f"{block.where}: {words[1]}")
        for page in PAGES
        for block in blocks(page, "console")
        for words in commands(block)
        if words[0] == "mljob-airflow"
    ]


@pytest.mark.parametrize("arguments", documented())
def test_a_documented_command_succeeds(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    # An earlier command on the page sets this variable.
    monkeypatch.setenv("version", "0123456789ab")
    # Readers name their own folder of DAGs, and redirect the output into a file.
    arguments = [EXAMPLES if word == "dags/" else os.path.expandvars(word) for word in arguments]
    if ">" in arguments:
        arguments = arguments[: arguments.index(">")]

    assert main(arguments) == 0
    assert capsys.readouterr().out
