"""The functions of ``mljob.aio.runtime`` for synchronous code. Most other modules of this package
are generated, but this module is not.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, TypeVar, cast

Result = TypeVar("Result")
Item = TypeVar("Item")

__all__ = ["closing", "in_thread", "lock", "semaphore", "sleep"]


def sleep(seconds: float) -> None:
    """Wait for a number of seconds."""
    time.sleep(seconds)


def in_thread(function: Callable[[], Result]) -> Result:
    """Call a function in the caller's own thread, and return the result. The function of the same
    name in ``mljob.aio.runtime`` uses another thread.
    """
    return function()


def lock() -> AbstractContextManager[bool]:
    """Return a lock that can be acquired by a ``with`` statement."""
    return threading.Lock()


def semaphore(number: int) -> AbstractContextManager[bool]:
    """Return a context manager that at most ``number`` threads can enter at a time. Others wait."""
    return threading.Semaphore(number)


def closing(items: Iterator[Item]) -> AbstractContextManager[Iterator[Item]]:
    """Return a context manager that closes a generator at the end of the block. Closing also ends
    the HTTP request that the generator reads from.
    """
    return contextlib.closing(cast("Any", items))
