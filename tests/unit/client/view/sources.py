"""A fake source of changes for the live view. A source is a background task that reports changes of
the cluster to open pages; this one needs no cluster.
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
