"""A process that a later command finds again and ends, without ever ending a stranger."""

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
    """A process that has nothing to do with any stack, in a session of its own."""
    with subprocess.Popen(["sleep", "300"], start_new_session=True) as process:
        yield process
        process.kill()


def record(managed: ManagedProcess, tmp_path: Path, **changed: object) -> None:
    """Write a record as an earlier command would have left it."""
    file = tmp_path / "processes" / f"{managed.name}.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps({"pid": 0, "began": "", "fingerprint": "", "stop_signal": 15} | changed))


def until_it_is_gone(process: psutil.Process) -> None:
    eventually(
        lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE,
        f"{process.pid} is gone",
        within=60,
    )


def test_it_is_found_again_by_another_command(managed, tmp_path):
    managed.start(SLEEP)
    assert ManagedProcess(tmp_path, "sleeper").pid == managed.pid is not None


def test_stopping_ends_it_and_forgets_it(managed):
    managed.start(SLEEP)
    pid = managed.pid
    managed.stop()
    assert not psutil.pid_exists(pid)
    assert not managed.exists()


def test_stopping_ends_what_it_started(managed):
    managed.start(Command(("bash", "-c", "sleep 300 & wait")))
    leader = psutil.Process(managed.pid)
    eventually(leader.children, "it has a child", within=60)
    (child,) = leader.children()
    managed.stop()
    assert not child.is_running()


def test_what_outlived_its_leader_is_ended_too(managed):
    managed.start(Command(("bash", "-c", "setsid sleep 300 & wait")))
    leader = psutil.Process(managed.pid)
    eventually(leader.children, "it has a child", within=60)
    (child,) = leader.children()
    leader.kill()
    eventually(lambda: managed.pid is None, "it has ended", within=60)
    assert child.is_running()
    managed.stop()
    until_it_is_gone(child)


def test_a_record_whose_id_belongs_to_somebody_else_by_now_means_nothing(managed, stranger, tmp_path):
    """As after a reboot, or when ids have gone round."""
    record(managed, tmp_path, pid=stranger.pid, began="another-boot:1")
    assert managed.pid is None
    managed.stop()
    managed.kill()
    assert stranger.poll() is None


def test_a_stranger_with_the_id_is_spared_when_orphans_are_ended(managed, stranger, tmp_path):
    """Same boot: the id was given to somebody else, while something that the dead process started lives on."""
    managed.start(SLEEP)
    orphan = psutil.Process(managed.pid)
    boot = json.loads((tmp_path / "processes" / "sleeper.json").read_text())["began"].partition(":")[0]
    record(managed, tmp_path, pid=stranger.pid, began=f"{boot}:1")
    managed.stop()
    until_it_is_gone(orphan)
    assert stranger.poll() is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": 1}'])
def test_an_unreadable_record_is_no_process(managed, tmp_path, content):
    file = tmp_path / "processes" / "sleeper.json"
    file.parent.mkdir()
    file.write_text(content)
    assert managed.pid is None


def test_what_no_record_leads_to_is_ended_by_its_mark(managed, stranger, tmp_path):
    managed.start(SLEEP)
    process = psutil.Process(managed.pid)
    eventually(process.environ, "it has an environment: for a moment after exec it has none", within=60)
    (tmp_path / "processes" / "sleeper.json").unlink()
    end_marked(tmp_path)
    until_it_is_gone(process)
    assert stranger.poll() is None


def test_a_stack_whose_name_begins_alike_is_another_one(tmp_path):
    """`.dev` and `.dev-test` stand side by side."""
    with subprocess.Popen(["sleep", "300"], env={MARK: f"{tmp_path}-test:sleeper"}) as other:
        eventually(psutil.Process(other.pid).environ, "it has an environment", within=60)
        end_marked(tmp_path)
        assert other.poll() is None
        other.kill()


def test_what_it_prints_is_in_its_log(managed):
    managed.start(Command((sys.executable, "-c", "print('said')")))
    eventually(lambda: managed.pid is None, "it has ended", within=60)
    assert "said" in managed.log.read_text()


def test_a_callers_own_setup_does_not_reach_it(managed, monkeypatch):
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("KUBECONFIG", "somebody-elses")
    monkeypatch.setenv("AIRFLOW__CORE__PARALLELISM", "3")
    managed.start(SLEEP)
    process = psutil.Process(managed.pid)
    eventually(process.environ, "it has an environment: for a moment after exec it has none", within=60)
    environment = process.environ()
    assert environment["AIRFLOW__CORE__PARALLELISM"] == "3"
    assert {"PYTHONDONTWRITEBYTECODE", "KUBECONFIG"}.isdisjoint(environment)


def test_another_environment_is_another_fingerprint():
    assert Command(("x",), {"A": "1"}).fingerprint() != Command(("x",), {"A": "2"}).fingerprint()
    assert Command(("x",), {"A": "1", "B": "2"}).fingerprint() == Command(("x",), {"B": "2", "A": "1"}).fingerprint()
