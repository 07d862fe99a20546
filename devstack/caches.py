"""The cache that all work trees share: binaries, jars, wheels and toolchains.

The cache is outside of the work tree, so that a fresh clone starts quickly. An entry is made under
a temporary name and renamed when it is complete, under a file lock: an interrupted build leaves no
incomplete entry, and two processes don't build the same. Standard library only, because `bootstrap`
uses this module.
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
    """Hold an exclusive lock on a file.

    When another process holds the lock, print what that process does: the wait can be long.
    """
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
    """Hold a shared lock on a file: `unused` answers False meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_SH)
        yield


@contextmanager
def unused(path: Path) -> Iterator[bool]:
    """Whether no process holds the lock. If so, `used` waits until the block ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def once(target: Path, waiting_for: str, make: Callable[[Path], None]) -> Path:
    """The file or directory `target`, made by `make(temporary path)` if it does not exist.

    Args:
        target: The path in the cache.
        waiting_for: The work, as in "building kubectl". Other processes print it while they wait.
        make: Makes the file or directory under the path that it gets.
    """
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
    """Delete a directory with its content, including folders without write permission, which Go makes."""
    for folder, _, _ in os.walk(path):
        Path(folder).chmod(0o700)
    shutil.rmtree(path, ignore_errors=True)
