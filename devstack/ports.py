"""The loopback ports of one stack.

Each port has a name. When the port of a name is first requested, a free port is chosen and stored
in a file. So a restarted component keeps its port.

The ports are below the kernel's ephemeral range, because an outgoing connection could take a port
of that range while the port's component is down.
"""

from __future__ import annotations

import fcntl
import json
import random
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HOST = "127.0.0.1"
_RANGE = range(20000, 32000)


class Ports:
    """The loopback ports of one stack, by name, such as `airflow`. The ports are stored in a file
    in `directory`. Several threads and processes can call the methods at the same time.
    """

    def __init__(self, directory: Path) -> None:
        self._file = directory / "ports.json"
        self._lock = threading.Lock()

    def __getitem__(self, name: str) -> int:
        """Return the port called `name`. If the stack has no port of this name yet, choose a free
        port, and keep it.

        Raises:
            OSError: No free port was found.
        """
        with self._locked():
            chosen = self._read()
            if name not in chosen:
                chosen[name] = _free(set(chosen.values()))
                self._write(chosen)
            return chosen[name]

    def forget_taken(self, names: list[str]) -> None:
        """Forget each port in `names` that another program uses, so that a free port is chosen at
        the next start. Call this method only while the stack's own components don't use the ports.
        """
        with self._locked():
            chosen = self._read()
            kept = {name: port for name, port in chosen.items() if name not in names or _is_free(port)}
            if kept != chosen:
                self._write(kept)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._lock, self._file.with_suffix(".lock").open("a") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def _read(self) -> dict[str, int]:
        if not self._file.exists():
            return {}
        chosen: dict[str, int] = json.loads(self._file.read_text())
        return chosen

    def _write(self, chosen: dict[str, int]) -> None:
        partial = self._file.with_suffix(".part")
        partial.write_text(json.dumps(chosen, indent=2, sort_keys=True))
        partial.rename(self._file)


def _free(taken: set[int]) -> int:
    for port in random.SystemRandom().sample(_RANGE, 200):
        if port not in taken and _is_free(port):
            return port
    raise OSError(f"no free loopback port found from {_RANGE.start} to {_RANGE.stop - 1}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def accepts(port: int) -> bool:
    """Return whether a process listens on this loopback port."""
    try:
        with socket.create_connection((HOST, port), timeout=1):
            return True
    except OSError:
        return False
