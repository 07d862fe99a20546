"""Lets other asyncio tasks run during a loop over thousands of MLJobs. The renewal of the Lease,
for example, can't wait until such a loop ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import TypeVar

T = TypeVar("T")

AT_ONCE = 100
"""The number of items after which the other asyncio tasks run. A loop takes a third of a
millisecond for an MLJob that is kept in its compact form (:meth:`.WorkerState.rest`).
"""


async def in_turns(items: Iterable[T]) -> AsyncIterator[T]:
    """Yield the items, and let other asyncio tasks run after every ``AT_ONCE`` items."""
    for number, item in enumerate(items, 1):
        yield item
        if number % AT_ONCE == 0:
            await asyncio.sleep(0)
