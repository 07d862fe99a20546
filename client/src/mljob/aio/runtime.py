"""The parts of asyncio that the client uses. ``mljob.sync.runtime`` has the same functions without
asyncio.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar, cast

Result = TypeVar("Result")
Item = TypeVar("Item")

__all__ = ["aclosing", "in_thread", "lock", "semaphore", "sleep"]


async def sleep(seconds: float) -> None:
    """Wait for a number of seconds, without blocking other tasks."""
    await asyncio.sleep(seconds)


async def in_thread(function: Callable[[], Result]) -> Result:
    """Call a blocking function in a worker thread, and return its result."""
    return await asyncio.to_thread(function)


def lock() -> AbstractAsyncContextManager[None]:
    """Return a lock for ``async with``."""
    return asyncio.Lock()


def semaphore(number: int) -> AbstractAsyncContextManager[None]:
    """Return a context manager that at most ``number`` tasks can enter at a time. Others wait."""
    return asyncio.Semaphore(number)


def aclosing(items: AsyncIterator[Item]) -> AbstractAsyncContextManager[AsyncIterator[Item]]:
    """Return a context manager that closes the generator ``items`` at the end of the block. Closing
    also ends the HTTP request of the generator.
    """
    return contextlib.aclosing(cast("Any", items))
