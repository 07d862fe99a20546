"""Lets a loop over thousands of MLJobs leave the event loop to others. The renewal of the Lease is
one of them: it must not wait for seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import TypeVar

T = TypeVar("T")

AT_ONCE = 100
"""The number of items after which others have their turn. A look at an MLJob at rest takes a third
of a millisecond.
"""


async def in_turns(items: Iterable[T]) -> AsyncIterator[T]:
    """Yield the items, and let the other tasks run after each ``AT_ONCE`` of them."""
    for number, item in enumerate(items, 1):
        yield item
        if number % AT_ONCE == 0:
            await asyncio.sleep(0)
