"""Limits the connections whose clients have not shown the front proxy's certificate, so that nobody
can keep the Kubernetes API server from connecting.
"""

from __future__ import annotations

import asyncio
from collections import Counter

STRANGERS = 128
"""The maximum number of connections whose client has not shown the front proxy's certificate. A
connection takes up to half a MB of memory. The Kubernetes API server reaches the limit only if it
opens more connections than that before the first handshakes have ended.
"""


class Strangers:
    """The tasks that serve connections whose clients have not shown the front proxy's certificate.

    The TLS handshake of the front proxy takes milliseconds. So the limit delays no new connection:
    if too many are open, the oldest connection of the IP address with the most connections is
    closed. The clients of one IP address can't push out the connections of another IP address that
    has fewer of them.
    """

    def __init__(self) -> None:
        # A dict keeps the order in which the connections were accepted.
        self._sources: dict[asyncio.Task[None], str] = {}

    def add(self, task: asyncio.Task[None], source: str) -> None:
        """Add the task of a new connection, until the task ends. If more than ``STRANGERS``
        connections are open then, cancel the task of one of them, as the class says.

        Args:
            task: The task that serves the connection. The task closes the connection if it is
                cancelled.
            source: The IP address of the client.
        """
        self._sources[task] = source
        task.add_done_callback(self.remove)
        if len(self._sources) > STRANGERS:
            counts = Counter(self._sources.values())
            most = max(counts.values())
            oldest = next(each for each, of in self._sources.items() if counts[of] == most)
            oldest.cancel()
            self.remove(oldest)

    def remove(self, task: asyncio.Task[None]) -> None:
        """Remove the task of a connection whose client has shown the front proxy's certificate. The
        call has no effect if the task was removed already.
        """
        self._sources.pop(task, None)
