"""Starts and stops the processes of a stack. The processes keep running after the devstack command
that started them has ended. A later devstack command can find and stop the processes, and does not
stop processes that don't belong to the stack.

The record of a process is a file with the process id and the start time that the kernel reports.
The start time is needed, because later another process may get the same id. The main process of
each component is the leader of a session. To stop a component, devstack stops all processes in this
session. Devstack also stops processes of the component that have left the session. The environment
variable `MLJOB_DEVSTACK_COMPONENT` shows which component a process belongs to.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import json
import os
import pwd
import signal
import subprocess
import textwrap
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from devstack.errors import StackError


def run(arguments: Sequence[str], **options: Any) -> str:
    """Run a program until it ends, and return its standard output.

    Args:
        arguments: The program and its arguments.
        options: Other arguments of `subprocess.run`.

    Raises:
        StackError: The program has exited with another code than 0. The message has the end of the
            program's output.
        OSError: The program can't be executed.
    """
    done: subprocess.CompletedProcess[str] = subprocess.run(
        arguments, capture_output=True, text=True, check=False, **options
    )
    if done.returncode != 0:
        command = " ".join([Path(arguments[0]).name, *arguments[1:]])
        said = textwrap.indent((done.stdout + done.stderr).strip()[-3000:], "    ")
        raise StackError(f"{command} failed:\n{said}")
    return done.stdout


MARK = "MLJOB_DEVSTACK_COMPONENT"
"""The name of an environment variable that every process of a stack has. The value is the stack's
directory and the component's name, with a colon between them.
"""

_children: dict[int, subprocess.Popen[bytes]] = {}
"""The children of this process by process id. They are kept, because a child that has ended is a
zombie until this process waits for it.
"""


@dataclass(frozen=True)
class Command:
    """The command that starts a component.

    Attributes:
        environment: Environment variables in addition to the variables that the process inherits
            from the caller.
        user: The id of the user that the process runs as. With None, the process runs as the
            caller's user.
        stop_signal: The signal that stops the component. PostgreSQL needs another signal than
            SIGTERM: after SIGTERM, it would wait until its clients disconnect.
    """

    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    user: int | None = None
    directory: Path | None = None
    stop_signal: signal.Signals = signal.SIGTERM

    def fingerprint(self) -> str:
        """Return a hash of the arguments, the environment and the user. If a command's hash has
        changed, `up` restarts the component.
        """
        said = json.dumps([self.arguments, sorted(self.environment.items()), self.user])
        return hashlib.sha256(said.encode()).hexdigest()[:16]


Launch = Callable[[Command, Mapping[str, str], Path], int]
"""A function that starts a process for a command, with these environment variables and this log
file. The process leads a new session. The function returns the process id.
"""


@dataclass(frozen=True)
class Record:
    """The content of the file about a started process: how to recognise and stop the process, and
    which command started it.

    Attributes:
        began: The start time of the process as a text, from `_began`.
        fingerprint: The fingerprint of the command that started the process.
    """

    pid: int
    began: str
    fingerprint: str
    stop_signal: int = signal.SIGTERM


class ManagedProcess:
    """The process of a stack's component. `directory` is the folder of the stack, and `name` is the
    name of the component. The process does not have to be running.
    """

    def __init__(self, directory: Path, name: str) -> None:
        self.name = name
        self.log = directory / "logs" / f"{name}.log"
        self._file = directory / "processes" / f"{name}.json"
        self._mark = f"{directory.resolve()}:{name}"

    @property
    def pid(self) -> int | None:
        """The process id, or None while the process does not run."""
        record = self._record()
        return record.pid if record and _began(record.pid) == record.began else None

    def exists(self) -> bool:
        """Return whether the component was started, and devstack has not stopped or killed the
        component since. If the process has died on its own, return True, because its child
        processes may still be running.
        """
        return self._file.exists()

    @property
    def started_at(self) -> datetime | None:
        """The time of the last start. None if the process was never started, or if devstack has
        stopped or killed it after the last start.
        """
        with contextlib.suppress(OSError):
            return datetime.fromtimestamp(self._file.stat().st_mtime, UTC)
        return None

    @property
    def fingerprint(self) -> str | None:
        """The fingerprint of the command that started the process, or None while the process does
        not run.
        """
        record = self._record()
        return record.fingerprint if record and self.pid else None

    def start(self, command: Command, launch: Launch | None = None) -> None:
        """Start the process. Its output is appended to the log file.

        Args:
            command: The command to run.
            launch: A function that starts the process, and returns the process id. With None, the
                command is executed directly.

        Raises:
            StackError: The program can't be executed.
        """
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._file.parent.mkdir(parents=True, exist_ok=True)
        inherited = {name: value for name, value in os.environ.items() if name not in _NOT_INHERITED}
        environment = inherited | {"PYTHONUNBUFFERED": "1", "NO_PROXY": _no_proxy(), "no_proxy": _no_proxy()}
        environment |= dict(command.environment) | {MARK: self._mark}
        with self.log.open("ab") as log:
            log.write(f"--- {time.strftime('%Y-%m-%d %H:%M:%S')} starting {self.name}\n".encode())
        try:
            pid = (launch or _execute)(command, environment, self.log)
        except OSError as problem:
            raise StackError(f"{self.name} could not be started: {problem}") from problem
        record = {
            "pid": pid,
            "began": _began(pid) or "",
            "fingerprint": command.fingerprint(),
            "stop_signal": int(command.stop_signal),
        }
        partial = self._file.with_suffix(".part")
        partial.write_text(json.dumps(record))
        partial.rename(self._file)

    def stop(self, patience: float = 15.0) -> None:
        """Stop all processes of the component. The component's main process first gets its stop
        signal, and has `patience` seconds to end. Then all processes that are left get SIGTERM, and
        after three seconds SIGKILL.
        """
        record, members = self._record(), self._members()
        if record is not None and self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(record.pid, record.stop_signal)
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline and self.pid is not None:
            time.sleep(0.05)
        members = list({member.pid: member for member in [*members, *self._members()]}.values())
        _signal(members, signal.SIGTERM)
        _, stubborn = psutil.wait_procs(members, timeout=3)
        _signal(stubborn, signal.SIGKILL)
        psutil.wait_procs(stubborn, timeout=5)
        self._forget()

    def kill(self) -> None:
        """Kill all processes of the component with SIGKILL."""
        members = self._members()
        _signal(members, signal.SIGKILL)
        psutil.wait_procs(members, timeout=5)
        self._forget()

    def _forget(self) -> None:
        record = self._record()
        if record and (child := _children.pop(record.pid, None)) is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(timeout=5)
        # Also forget children that have no record. They were stopped because of their mark.
        # Other threads start and stop components at the same time.
        for pid, ended in list(_children.items()):
            if ended.poll() is not None:
                _children.pop(pid, None)
        self._file.unlink(missing_ok=True)

    def _members(self) -> list[psutil.Process]:
        """Return the running processes that belong to the component: the processes in the session
        of its main process, the descendants of the main process, and the processes whose
        environment variable `MLJOB_DEVSTACK_COMPONENT` names the component. Return an empty list if
        the component has no record, or if the machine has been rebooted since the component was
        started.
        """
        record = self._record()
        if record is None or record.began.partition(":")[0] != (_began(os.getpid()) or "").partition(":")[0]:
            return []
        leads = self.pid is not None
        # If another process has the same id by now, the session with this id does not belong to the
        # component.
        session_is_ours = leads or not psutil.pid_exists(record.pid)
        descendants = {child.pid for child in _descendants(record.pid)} if leads else set()
        members: list[psutil.Process] = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if process.status() == psutil.STATUS_ZOMBIE:
                    continue
                mark = process.environ().get(MARK)
                in_session = session_is_ours and os.getsid(process.pid) == record.pid and mark in (None, self._mark)
                if mark == self._mark or in_session or process.pid in descendants:
                    members.append(process)
        return members

    def _record(self) -> Record | None:
        try:
            return Record(**json.loads(self._file.read_text()))
        except (OSError, ValueError, TypeError):
            return None


def _execute(command: Command, environment: Mapping[str, str], log: Path) -> int:
    with log.open("ab") as out:
        process = subprocess.Popen(
            command.arguments,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=command.directory,
            user=command.user,
            group=pwd.getpwuid(command.user).pw_gid if command.user is not None else None,
            extra_groups=[] if command.user is not None else None,
            start_new_session=True,
        )
    _children[process.pid] = process
    return process.pid


@atexit.register
def _leave_children() -> None:
    """Keep Python from warning of each component that goes on after the end of this process."""
    for process in _children.values():
        process.returncode = process.returncode or 0


def end_marked(directory: Path) -> None:
    """Stop all processes whose environment variable `MLJOB_DEVSTACK_COMPONENT` names the stack in
    `directory`, including processes whose record is lost.
    """
    left = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(MARK, "").startswith(f"{directory.resolve()}:"):
                left.append(process)
    _signal(left, signal.SIGTERM)
    _, stubborn = psutil.wait_procs(left, timeout=5)
    _signal(stubborn, signal.SIGKILL)
    psutil.wait_procs(stubborn, timeout=5)


_NOT_INHERITED = frozenset(
    {
        "AIRFLOW_HOME",
        "KUBECONFIG",
        "PYTHONPATH",
        "PYTHONHOME",
        "VIRTUAL_ENV",
        "PYTHONWARNINGS",
        # With this variable Python would write no byte code, and each of Airflow's processes would
        # take twice as long to start.
        "PYTHONDONTWRITEBYTECODE",
    }
)
"""Environment variables of the caller that the processes don't inherit, because the variables would
change their behaviour.
"""


def _no_proxy() -> str:
    mine = os.environ.get("NO_PROXY") or os.environ.get("no_proxy") or ""
    return ",".join([*filter(None, mine.split(",")), "127.0.0.1", "localhost"])


def _began(pid: int) -> str | None:
    """Return the start time of a process as a text, or None if no process with this id runs. If the
    kernel reuses the id for another process, the text is different.
    """
    child = _children.get(pid)
    if child is not None and child.poll() is not None:
        return None
    stat = Path(f"/proc/{pid}/stat")
    if stat.parent.parent.joinpath("self").exists():
        try:
            fields = stat.read_text().rpartition(")")[2].split()
            boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        except OSError:
            return None
        return None if fields[0] == "Z" else f"{boot}:{fields[19]}"
    try:
        return f"{psutil.Process(pid).create_time():.2f}"
    except psutil.Error:
        return None


def _descendants(pid: int) -> list[psutil.Process]:
    try:
        return list(psutil.Process(pid).children(recursive=True))
    except psutil.Error:
        return []


def _signal(processes: list[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.send_signal(number)
