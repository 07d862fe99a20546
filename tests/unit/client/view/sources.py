from __future__ import annotations

import asyncio

from mljob.view.feeds import Source


class SlowSource(Source):
    async def _run(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(3):
                await asyncio.sleep(0)
