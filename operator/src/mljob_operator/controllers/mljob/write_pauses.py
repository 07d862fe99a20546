"""The pauses that the Kubernetes API server asks for with the header ``Retry-After``.

The answer 429 (too many requests) may come from an admission webhook that sees the MLJobs of one
namespace, or of a few. So a pause holds for the namespace of the refused write. Only if several
namespaces are told to pause, and no write succeeds in between, the API server itself may be busy.
Until a write succeeds, each other namespace sends one write at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

SEVERAL = 3
"""The API server counts as busy while at least this many namespaces pause, and were told to pause
after the last successful write.
"""


class WritePauses:
    """The namespaces whose writes pause. All methods run in the event loop's thread.

    Args:
        resume: Is called at the end of each pause.
    """

    def __init__(self, resume: Callable[[], None]) -> None:
        self._resume = resume
        self._ends: dict[str, asyncio.TimerHandle] = {}
        self._since_success: set[str] = set()

    @property
    def server_is_busy(self) -> bool:
        """Whether a namespace may send only one write at a time."""
        return len(self._since_success) >= SEVERAL

    def hold(self, namespace: str) -> bool:
        """Return whether a namespace may not send a write now."""
        return namespace in self._ends

    def succeeded(self) -> None:
        """Call this method after each successful write of any namespace."""
        self._since_success.clear()

    def pause(self, namespace: str, seconds: float) -> None:
        """Pause the writes of a namespace. A longer pause of the namespace goes on."""
        self._since_success.add(namespace)
        loop = asyncio.get_running_loop()
        end_at = loop.time() + seconds
        if (earlier := self._ends.get(namespace)) is not None:
            if earlier.when() >= end_at:
                return
            earlier.cancel()
        self._ends[namespace] = loop.call_at(end_at, self._end, namespace)

    def _end(self, namespace: str) -> None:
        del self._ends[namespace]
        self._since_success.discard(namespace)
        self._resume()
