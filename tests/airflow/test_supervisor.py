"""A process that a task forks sends no request on the socket to Airflow's supervisor."""

from __future__ import annotations

import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import CommsDecoder, SetXCom

from mljob_airflow import publish_outputs, report, supervisor
from mljob_airflow.events import producer
from mljob_airflow.tasks import omissions, outputs

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")


class TaskInstance(SimpleNamespace):
    """A fake task instance that pushes an XCom as Airflow does: by a request to the supervisor."""

    def xcom_push(self, key: str, value: Any) -> None:
        about = {"dag_id": self.dag_id, "run_id": self.run_id, "task_id": self.task_id}
        task_runner.SUPERVISOR_COMMS.send(SetXCom(key=key, value=value, **about))


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """Make this process a task's process. Return the supervisor's socket, which receives the
    requests, and answers none.
    """
    ours, of_supervisor = socket.socketpair()
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", CommsDecoder(socket=ours), raising=False)
    identity = {"dag_id": "train", "run_id": "run", "task_id": "fit", "map_index": -1, "try_number": 1, "id": "1"}
    ti = TaskInstance(**identity, start_date=datetime.now(UTC), end_date=None)
    monkeypatch.setattr("airflow.sdk.get_current_context", lambda: {"ti": ti}, raising=False)
    monkeypatch.setattr(producer, "_state", None)
    monkeypatch.setattr(outputs, "_published", {})
    monkeypatch.setattr(omissions, "_warned", set())
    with ours, of_supervisor:
        of_supervisor.setblocking(False)
        yield of_supervisor


def forked(code: Callable[[], object]) -> int:
    """Run ``code`` in a fork of this process. Return the exit code, or the negative signal that
    ended the fork: SIGALRM if ``code`` hangs.
    """
    child = os.fork()
    if child == 0:
        signal.alarm(120)
        try:
            code()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def warnings_of(code: Callable[[], object], caplog: pytest.LogCaptureFixture) -> str:
    """Run ``code`` in a fork of this process, and return what it logs."""
    read, write = os.pipe()

    def told() -> None:
        with caplog.at_level(logging.WARNING):
            code()
        os.write(write, caplog.text.encode())

    assert forked(told) == 0
    os.close(write)
    with open(read) as text:
        return text.read()


def test_report_of_a_forked_process_asks_for_no_connection(
    requests: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    assert "this process was forked before the task had sent an event" in warnings_of(lambda: report(0.5), caplog)
    with pytest.raises(BlockingIOError):
        requests.recv(1)


def test_outputs_of_a_forked_process_are_an_error(requests: socket.socket) -> None:
    def code() -> None:
        with pytest.raises(RuntimeError, match="was called in a process that the task has forked"):
            publish_outputs(accuracy=0.9)

    assert forked(code) == 0
    with pytest.raises(BlockingIOError):
        requests.recv(1)


def test_only_a_fork_of_the_tasks_process_has_an_inherited_supervisor(
    requests: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_inherited() -> None:
        assert supervisor.is_inherited()

    def is_inherited_by_a_fork_of_the_fork() -> None:
        assert forked(is_inherited) == 0

    def is_not_inherited() -> None:
        assert not supervisor.is_inherited()

    def is_not_inherited_with_an_own_supervisor() -> None:
        task_runner.SUPERVISOR_COMMS = CommsDecoder(socket=requests)
        assert not supervisor.is_inherited()

    is_not_inherited()
    assert forked(is_inherited) == 0
    assert forked(is_inherited_by_a_fork_of_the_fork) == 0
    assert forked(is_not_inherited_with_an_own_supervisor) == 0
    monkeypatch.delattr(task_runner, "SUPERVISOR_COMMS")
    assert forked(is_not_inherited) == 0
