"""The functions for threads that the client uses. ``mljob.aio.runtime`` is the same for asyncio."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, TypeVar, cast

Result = TypeVar("Result")
Item = TypeVar("Item")

__all__ = ["closing", "in_thread", "lock", "sleep"]


def sleep(seconds: float) -> None:
    """Wait for a number of seconds."""
    time.sleep(seconds)


def in_thread(function: Callable[[], Result]) -> Result:
    """Call a function that may block, in the caller's thread, and return its result."""
    return function()


def lock() -> AbstractContextManager[bool]:
    """Return a lock for ``with``."""
    return threading.Lock()


def closing(items: Iterator[Item]) -> AbstractContextManager[Iterator[Item]]:
    """Return a context manager that closes a generator at the end of the block, and so ends the
    request that the generator reads from.
    """
    return contextlib.closing(cast("Any", items))
