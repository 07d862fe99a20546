"""The variable ``DAGS_FOLDERS`` of ``make up``."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from devstack import __main__ as command
from devstack.errors import StackError


class Stack:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.env = {"AIRFLOW_URL": "http://127.0.0.1", "AIRFLOW_USER": "a", "AIRFLOW_PASSWORD": "b"}
        self.started_with: dict[str, object] = {}

    def up(self, **choices: object) -> None:
        self.started_with = choices


def started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folders: str) -> object:
    """Return the folders that the command `up` passes to the stack."""
    stack = Stack(tmp_path)
    monkeypatch.setenv("DAGS_FOLDERS", folders)
    monkeypatch.setenv("HOME", str(tmp_path))
    arguments = argparse.Namespace(no_operator=False, dags_folder=[], airflow=None)
    command._up(stack, arguments)  # type: ignore[arg-type]
    return stack.started_with["dags_folders"]


def test_folder_of_dags_may_be_in_the_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "dags").mkdir()
    (tmp_path / "more").mkdir()

    assert started(monkeypatch, tmp_path, f"~/dags:{tmp_path}/more") == [tmp_path / "dags", tmp_path / "more"]
    assert started(monkeypatch, tmp_path, "") == []


def test_folder_of_dags_that_is_missing_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(StackError, match=rf"DAGS_FOLDERS: {tmp_path}/dags is not a folder\. Create it"):
        started(monkeypatch, tmp_path, "~/dags")
