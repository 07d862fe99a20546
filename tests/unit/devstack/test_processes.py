"""A devstack command stops only processes that a devstack command has started."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from devstack.processes import MARK, Command, ManagedProcess, end_marked
from tests.live.eventually import eventually

SLEEP = Command(("sleep", "300"))


@pytest.fixture
def managed(tmp_path: Path) -> Iterator[ManagedProcess]:
    process = ManagedProcess(tmp_path, "sleeper")
    yield process
    process.kill()


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """A process that no devstack command has started."""
    with subprocess.Popen(["sleep", "300"], start_new_session=True) as process:
        yield process
        process.kill()


def record(managed: ManagedProcess, tmp_path: Path, **changed: object) -> None:
    """Write the file in which a devstack command records a process."""
    file = tmp_path / "processes" / f"{managed.name}.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps({"pid": 0, "began": "", "fingerprint": "", "stop_signal": 15} | changed))


def until_it_is_gone(process: psutil.Process) -> None:
    eventually(
        lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE,
        f"{process.pid} is gone",
    )


def test_another_command_finds_the_process(managed: ManagedProcess, tmp_path: Path) -> None:
    managed.start(SLEEP)
    assert ManagedProcess(tmp_path, "sleeper").pid == managed.pid is not None


def test_stop_ends_the_process_and_removes_its_record(managed: ManagedProcess) -> None:
    managed.start(SLEEP)
    pid = managed.pid
    assert pid is not None
    managed.stop()
    assert not psutil.pid_exists(pid)
    assert not managed.exists()


def test_stop_ends_the_children_of_the_process(managed: ManagedProcess) -> None:
    managed.start(Command(("bash", "-c", "sleep 300 & wait")))
    leader = psutil.Process(managed.pid)
    eventually(leader.children, "it has a child")
    (child,) = leader.children()
    managed.stop()
    assert not child.is_running()


def test_stop_ends_children_that_outlived_the_process(managed: ManagedProcess) -> None:
    managed.start(Command(("bash", "-c", "setsid sleep 300 & wait")))
    leader = psutil.Process(managed.pid)
    eventually(leader.children, "it has a child")
    (child,) = leader.children()
    leader.kill()
    eventually(lambda: managed.pid is None, "it has ended")
    assert child.is_running()
    managed.stop()
    until_it_is_gone(child)


def test_a_record_with_the_id_of_another_process_is_ignored(
    managed: ManagedProcess, stranger: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    record(managed, tmp_path, pid=stranger.pid, began="another-boot:1")
    assert managed.pid is None
    managed.stop()
    managed.kill()
    assert stranger.poll() is None


def test_stop_ends_orphans_and_not_another_process_with_the_id(
    managed: ManagedProcess, stranger: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    managed.start(SLEEP)
    orphan = psutil.Process(managed.pid)
    boot = json.loads((tmp_path / "processes" / "sleeper.json").read_text())["began"].partition(":")[0]
    record(managed, tmp_path, pid=stranger.pid, began=f"{boot}:1")
    managed.stop()
    until_it_is_gone(orphan)
    assert stranger.poll() is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": 1}'])
def test_an_unreadable_record_is_ignored(managed: ManagedProcess, tmp_path: Path, content: str) -> None:
    file = tmp_path / "processes" / "sleeper.json"
    file.parent.mkdir()
    file.write_text(content)
    assert managed.pid is None


def test_a_process_without_a_record_is_found_by_its_mark_and_stopped(
    managed: ManagedProcess, stranger: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    managed.start(SLEEP)
    process = psutil.Process(managed.pid)
    eventually(process.environ, "it has an environment: for a moment after exec it has none")
    (tmp_path / "processes" / "sleeper.json").unlink()
    end_marked(tmp_path)
    until_it_is_gone(process)
    assert stranger.poll() is None


def test_a_stack_whose_name_has_the_same_beginning_is_another_stack(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "300"], env={MARK: f"{tmp_path}-test:sleeper"}) as other:
        eventually(psutil.Process(other.pid).environ, "it has an environment")
        end_marked(tmp_path)
        assert other.poll() is None
        other.kill()


def test_the_log_has_the_output_of_the_process(managed: ManagedProcess) -> None:
    managed.start(Command((sys.executable, "-c", "print('said')")))
    eventually(lambda: managed.pid is None, "it has ended")
    assert "said" in managed.log.read_text()


def test_a_component_does_not_inherit_the_callers_python_and_kubeconfig(
    managed: ManagedProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("KUBECONFIG", "somebody-elses")
    monkeypatch.setenv("AIRFLOW__CORE__PARALLELISM", "3")
    managed.start(SLEEP)
    process = psutil.Process(managed.pid)
    eventually(process.environ, "it has an environment: for a moment after exec it has none")
    environment = process.environ()
    assert environment["AIRFLOW__CORE__PARALLELISM"] == "3"
    assert {"PYTHONDONTWRITEBYTECODE", "KUBECONFIG"}.isdisjoint(environment)


def test_the_fingerprint_changes_with_the_environment() -> None:
    assert Command(("x",), {"A": "1"}).fingerprint() != Command(("x",), {"A": "2"}).fingerprint()
    assert Command(("x",), {"A": "1", "B": "2"}).fingerprint() == Command(("x",), {"B": "2", "A": "1"}).fingerprint()
