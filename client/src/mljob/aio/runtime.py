"""What the client needs of asyncio. ``mljob.sync.runtime`` is the same for threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, aclosing
from typing import TypeVar

Result = TypeVar("Result")

__all__ = ["aclosing", "in_thread", "lock", "sleep"]


async def sleep(seconds: float) -> None:
    """Wait."""
    await asyncio.sleep(seconds)


async def in_thread(function: Callable[[], Result]) -> Result:
    """Call a function that may block, without blocking others."""
    return await asyncio.to_thread(function)


def lock() -> AbstractAsyncContextManager[None]:
    """Return a lock."""
    return asyncio.Lock()
