"""A source for tests of the live view. A source is a background task that reports changes of a
cluster to open pages. The source of this module needs no cluster.
"""

from __future__ import annotations

import asyncio

from mljob.view.feeds import Source


class SlowSource(Source):
    """A source that waits until it is cancelled, and then takes a moment to end."""

    async def _run(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(3):
                await asyncio.sleep(0)
