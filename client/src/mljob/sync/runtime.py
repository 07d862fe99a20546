"""What the client needs of threads. ``mljob.aio.runtime`` is the same for asyncio."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from typing import TypeVar

Result = TypeVar("Result")

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
