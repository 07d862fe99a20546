"""What the client needs of asyncio. ``mljob.sync.runtime`` is the same for threads."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar, cast

Result = TypeVar("Result")
Item = TypeVar("Item")

__all__ = ["aclosing", "in_thread", "lock", "sleep"]


async def sleep(seconds: float) -> None:
    """Wait for so many seconds."""
    await asyncio.sleep(seconds)


async def in_thread(function: Callable[[], Result]) -> Result:
    """Call a function that may block, without blocking others."""
    return await asyncio.to_thread(function)


def lock() -> AbstractAsyncContextManager[None]:
    """Return a lock."""
    return asyncio.Lock()


def aclosing(items: AsyncIterator[Item]) -> AbstractAsyncContextManager[AsyncIterator[Item]]:
    """Close a generator at the end of a block, and with it the request that it reads from."""
    return contextlib.aclosing(cast("Any", items))
