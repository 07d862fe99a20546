"""What the client needs of threads. ``mljob.aio.runtime`` is the same for asyncio."""

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
    """Wait."""
    time.sleep(seconds)


def in_thread(function: Callable[[], Result]) -> Result:
    """Call a function that may block."""
    return function()


def lock() -> AbstractContextManager[bool]:
    """Return a lock."""
    return threading.Lock()


def closing(items: Iterator[Item]) -> AbstractContextManager[Iterator[Item]]:
    """Close a generator at the end of a block, and with it the request that it reads from."""
    return contextlib.closing(cast("Any", items))
