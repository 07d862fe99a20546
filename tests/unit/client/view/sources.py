"""A source of the view's pages without a cluster. A source is a background task that reports
changes to open pages.
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
