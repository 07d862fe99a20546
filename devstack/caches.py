"""The cache that all work trees share: binaries, jars, wheels and toolchains.

The cache is outside of the work tree, so that a fresh clone starts quickly. An entry is made under
a temporary name, and is renamed when the entry is complete. So an interrupted build leaves no
incomplete entry. A file lock keeps two processes from making the same entry at the same time. This
module uses only the standard library, because `bootstrap` imports this module before any package is
installed.
"""

from __future__ import annotations

import fcntl
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from devstack.progress import say

_MAX_COMMAND = 200
"""The maximum length of the command in a lock file, in characters."""


def cache_directory() -> Path:
    """Return the path of the cache: the value of the environment variable `MLJOB_CACHE_DIR`, or by
    default `mljob-operator` in the user's cache directory.
    """
    chosen = os.environ.get("MLJOB_CACHE_DIR")
    if chosen:
        return Path(chosen).expanduser().resolve()
    base = os.environ.get("XDG_CACHE_HOME")
    if not base:
        base = str(Path.home() / ".cache")
    return Path(base).resolve() / "mljob-operator"


@contextmanager
def locked(path: Path, waiting_for: str) -> Iterator[None]:
    """Hold an exclusive lock on a file during the `with` block.

    If another process holds the lock, print that this process waits for the lock, and wait.
    `waiting_for` says what the other process does, for example "building kubectl". The printed text
    contains `waiting_for`, and the id and the command of the other process, which the file has
    while the lock is held.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", errors="backslashreplace") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.seek(0)
            holder = handle.read() or "another process"
            say(f"  waiting for {holder} that is {waiting_for}; Ctrl-C there ends it")
            fcntl.flock(handle, fcntl.LOCK_EX)
        handle.truncate(0)
        handle.write(f"process {os.getpid()} ({shlex.join(sys.orig_argv)[:_MAX_COMMAND]})")
        handle.flush()
        try:
            yield
        finally:
            handle.truncate(0)


@contextmanager
def used(path: Path) -> Iterator[None]:
    """Hold a shared lock on a file during the `with` block. Meanwhile, `unused` yields False for
    this file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_SH)
        yield


@contextmanager
def unused(path: Path) -> Iterator[bool]:
    """Try once to get an exclusive lock on a file for the `with` block, without waiting.

    Yield True if this call has got the lock. Callers of `used` for this file then wait until the
    block ends. Yield False if a block of `used`, or another block of `unused`, holds a lock on the
    file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def once(target: Path, waiting_for: str, make: Callable[[Path], None]) -> Path:
    """Make the file or directory `target` in the cache if `target` does not exist yet. Return
    `target`.

    Args:
        target: The path in the cache.
        waiting_for: What `make` does, for example "building kubectl". A process that needs the same
            `target` at the same time prints this text, and waits until `target` is made.
        make: Makes the file or directory. The argument of `make` is a temporary path, which is
            renamed to `target` afterwards.
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
    """Delete a directory with its content, including folders without write permission. Go's module
    cache has such folders. If a file can't be deleted, the file stays, and no error is raised.
    """
    for folder, _, _ in os.walk(path):
        Path(folder).chmod(0o700)
    shutil.rmtree(path, ignore_errors=True)
