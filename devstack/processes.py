"""Processes that outlive the command that started them, and that a later command ends without ever ending a stranger.

A record on disk holds the process id together with when that process began, as the kernel counts it: after a reboot or
a long time the same id belongs to somebody else, and then the record means nothing. Each process leads a session of its
own, and whatever it started is in that session: ending it means ending all of them. What lost its leader is known by a
variable in its environment.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pwd
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psutil

from devstack.errors import StackError

MARK = "MLJOB_DEVSTACK_COMPONENT"
"""Names the stack's directory and the component, in the environment of every process of a stack."""

_children: dict[int, subprocess.Popen[bytes]] = {}
"""What this very process started: the kernel keeps a dead child as a zombie until its parent asks for it."""


@dataclass(frozen=True)
class Command:
    """How to start a component."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    """Beside what is inherited from the caller."""
    user: int | None = None
    directory: Path | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    """What asks it to end without waiting for its clients."""

    def fingerprint(self) -> str:
        """Changes when the component would be started differently."""
        said = json.dumps([self.arguments, sorted(self.environment.items()), self.user])
        return hashlib.sha256(said.encode()).hexdigest()[:16]


Launch = Callable[[Command, Mapping[str, str], Path], int]
"""Makes a process that leads a session of its own, with this environment and this log; its id."""


@dataclass(frozen=True)
class Record:
    """What is remembered of a process."""

    pid: int
    began: str
    fingerprint: str
    stop_signal: int = signal.SIGTERM


class ManagedProcess:
    """One component's process in the stack in `directory`; may or may not run."""

    def __init__(self, directory: Path, name: str) -> None:
        self.name = name
        self.log = directory / "logs" / f"{name}.log"
        self._file = directory / "processes" / f"{name}.json"
        self._mark = f"{directory.resolve()}:{name}"

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        record = self._record()
        return record.pid if record and _began(record.pid) == record.began else None

    def exists(self) -> bool:
        """Whether it was started and not yet stopped; it may have died since, and left others behind."""
        return self._file.exists()

    @property
    def started_at(self) -> datetime | None:
        """When it was last started."""
        with contextlib.suppress(OSError):
            return datetime.fromtimestamp(self._file.stat().st_mtime, UTC)
        return None

    @property
    def fingerprint(self) -> str | None:
        """What it was started with, while it runs."""
        record = self._record()
        return record.fingerprint if record and self.pid else None

    def start(self, command: Command, launch: Launch | None = None) -> None:
        """Start it; what it prints goes to the end of its log.

        Args:
            command: How to start it.
            launch: Makes the process another way than by executing the command's program.
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
        """Ask it and all that it started to end; make them, when they don't."""
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
        """End it and all that it started at once, as a crash would: nothing gets to clean up."""
        members = self._members()
        _signal(members, signal.SIGKILL)
        psutil.wait_procs(members, timeout=5)
        self._forget()

    def _forget(self) -> None:
        record = self._record()
        if record and record.pid in _children:
            with contextlib.suppress(subprocess.TimeoutExpired):
                _children.pop(record.pid).wait(timeout=5)
        # Also those whose record is lost; they were ended by their mark.
        for pid in [pid for pid, child in _children.items() if child.poll() is not None]:
            del _children[pid]
        self._file.unlink(missing_ok=True)

    def _members(self) -> list[psutil.Process]:
        """All that belongs to its process: what is in its session, what descends from it, what carries its mark."""
        record = self._record()
        if record is None or record.began.partition(":")[0] != (_began(os.getpid()) or "").partition(":")[0]:
            return []
        leads = self.pid is not None
        # A stranger who came to have the id leads a session that isn't ours.
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


def end_marked(directory: Path) -> None:
    """End what carries the mark of the stack in `directory` and that no record leads to: somebody deleted the record."""
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
        # Without byte code each of Airflow's processes takes twice as long to start, at every start.
        "PYTHONDONTWRITEBYTECODE",
    }
)
"""Of the caller's own setup; a component with one of these would be another component."""


def _no_proxy() -> str:
    mine = os.environ.get("NO_PROXY") or os.environ.get("no_proxy") or ""
    return ",".join([*filter(None, mine.split(",")), "127.0.0.1", "localhost"])


def _began(pid: int) -> str | None:
    """Tells a process from any other that ever had or will have its id; nothing if it doesn't run."""
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
