"""A source for tests of the live view. A source is data for open pages that a background task keeps
up to date, usually from a cluster. The source of this module needs no cluster.
"""

from __future__ import annotations

import asyncio

from mljob.view.feeds import Source


class SlowSource(Source):
    """A source whose background task runs until it is cancelled. The task then needs three more
    rounds of the event loop to end.
    """

    async def _run(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(3):
                await asyncio.sleep(0)
