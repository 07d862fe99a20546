"""A source for tests of the live view. A source has data for open pages. A background task of the
source keeps the data up to date, usually with requests to a cluster. The source of this module
needs no cluster.
"""

from __future__ import annotations

import asyncio

from mljob.view.feeds import Source


class SlowSource(Source):
    """A source whose background task runs until the task is cancelled. After the cancellation, the
    task needs three more iterations of the event loop to end.
    """

    async def _run(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(3):
                await asyncio.sleep(0)
