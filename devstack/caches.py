"""Where things live that are made once and used by every work tree: binaries, jars, wheels, toolchains.

Outside of the work tree, so that a fresh clone starts warm. What is being made gets a temporary name and is renamed
when whole, under a file lock: an interrupted build leaves no half binary, and two callers don't build twice.
Standard library only: `bootstrap` needs it too.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from devstack.progress import say


def cache_directory() -> Path:
    """`MLJOB_CACHE_DIR`, or `mljob-operator` in the user's cache directory."""
    chosen = os.environ.get("MLJOB_CACHE_DIR")
    if chosen:
        return Path(chosen).expanduser().resolve()
    base = os.environ.get("XDG_CACHE_HOME")
    if not base:
        base = str(Path.home() / ".cache")
    return Path(base).resolve() / "mljob-operator"


@contextmanager
def locked(path: Path, waiting_for: str) -> Iterator[None]:
    """Hold an exclusive lock on a file; says so when somebody else holds it, since the wait can be long."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"  waiting for another process that is {waiting_for}")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextmanager
def used(path: Path) -> Iterator[None]:
    """Hold a lock that others may hold too, and that keeps `unused` from anybody."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_SH)
        yield


@contextmanager
def unused(path: Path) -> Iterator[bool]:
    """Whether nobody holds the lock; while this is held, nobody gets it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def once(target: Path, waiting_for: str, make: Callable[[Path], None]) -> Path:
    """The file or directory `target`, made by `make(temporary path)` if it isn't there yet."""
    if target.exists():
        return target
    with locked(target.parent / f".{target.name}.lock", waiting_for):
        if target.exists():
            return target
        with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as scratch:
            made = Path(scratch) / target.name
            make(made)
            made.rename(target)
    return target


def remove_tree(path: Path) -> None:
    """Delete a directory even where its makers took away the right to write, as Go does with modules."""
    for folder, _, _ in os.walk(path):
        Path(folder).chmod(0o700)
    shutil.rmtree(path, ignore_errors=True)
