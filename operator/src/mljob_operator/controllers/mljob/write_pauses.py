"""The pauses that the Kubernetes API server asks for with the header ``Retry-After``.

The answer 429 (too many requests) may come from an admission webhook that sees the MLJobs of one
namespace only. So a pause holds for the namespace of the refused write. Only if several namespaces
are told to pause, the API server itself is busy, and all writes pause.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

SEVERAL = 3
"""All writes pause while at least this many namespaces pause."""


class WritePauses:
    """The namespaces whose writes pause. All methods run in the event loop's thread.

    Args:
        resume: Is called at the end of each pause.
    """

    def __init__(self, resume: Callable[[], None]) -> None:
        self._resume = resume
        self._ends: dict[str, asyncio.TimerHandle] = {}

    @property
    def hold_all(self) -> bool:
        """Whether no namespace may send a write now."""
        return len(self._ends) >= SEVERAL

    def hold(self, namespace: str) -> bool:
        """Return whether a namespace may not send a write now."""
        return namespace in self._ends or self.hold_all

    def pause(self, namespace: str, seconds: float) -> None:
        """Pause the writes of a namespace. A longer pause of the namespace goes on."""
        loop = asyncio.get_running_loop()
        end_at = loop.time() + seconds
        if (earlier := self._ends.get(namespace)) is not None:
            if earlier.when() >= end_at:
                return
            earlier.cancel()
        self._ends[namespace] = loop.call_at(end_at, self._end, namespace)

    def _end(self, namespace: str) -> None:
        del self._ends[namespace]
        self._resume()
