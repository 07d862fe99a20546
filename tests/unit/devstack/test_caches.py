from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import pytest

from devstack import caches
from devstack.caches import cache_directory, locked, once, remove_tree, unused, used


def test_an_entry_is_made_once(tmp_path: Path) -> None:
    made = []

    def make(target: Path) -> None:
        made.append(target)
        target.write_text("whole")

    for _ in range(3):
        assert once(tmp_path / "thing", "making it", make).read_text() == "whole"
    assert len(made) == 1


def test_callers_at_the_same_time_make_an_entry_once(tmp_path: Path) -> None:
    made, begun = [], threading.Barrier(4)

    def make(target: Path) -> None:
        made.append(target)
        target.mkdir()

    def call() -> None:
        begun.wait()
        once(tmp_path / "thing", "making it", make)

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1


def test_an_interruption_leaves_no_incomplete_entry(tmp_path: Path) -> None:
    def make(target: Path) -> None:
        target.mkdir()
        (target / "half").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        once(tmp_path / "thing", "making it", make)
    assert [path.name for path in tmp_path.iterdir()] == [".thing.lock"]


def test_directories_without_write_permission_are_removed_too(tmp_path: Path) -> None:
    module = tmp_path / "mod" / "example.com"
    module.mkdir(parents=True)
    (module / "file.go").touch(mode=0o400)
    # Go's module cache has directories without write permission.
    module.chmod(0o500)
    module.parent.chmod(0o500)
    remove_tree(tmp_path / "mod")
    assert not (tmp_path / "mod").exists()


def test_a_lock_is_unused_only_after_every_user_has_released_it(tmp_path: Path) -> None:
    with used(tmp_path / "lock"), used(tmp_path / "lock"), unused(tmp_path / "lock") as free:
        assert not free
    with unused(tmp_path / "lock") as free:
        assert free


def test_environment_variables_choose_the_cache_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("MLJOB_CACHE_DIR", raising=False)
    assert cache_directory() == tmp_path / "xdg" / "mljob-operator"
    monkeypatch.setenv("MLJOB_CACHE_DIR", str(tmp_path / "chosen"))
    assert cache_directory() == tmp_path / "chosen"


def test_waiting_for_a_lock_names_the_process_that_holds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    told = threading.Event()

    def say(text: str) -> None:
        said.append(text)
        told.set()

    monkeypatch.setattr(caches, "say", say)
    monkeypatch.setattr(sys, "orig_argv", ["python3", "-m", "devstack", "demo"])

    def wait() -> None:
        with locked(tmp_path / "lock", "starting the stack"):
            pass

    waiting = threading.Thread(target=wait)
    with locked(tmp_path / "lock", "starting the stack"):
        waiting.start()
        assert told.wait(60)
    waiting.join()
    holder = f"process {os.getpid()} (python3 -m devstack demo)"
    assert said == [f"  waiting for {holder} that is starting the stack; Ctrl-C there ends it"]
    assert (tmp_path / "lock").read_text() == ""
