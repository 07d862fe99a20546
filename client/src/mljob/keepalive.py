"""TCP keepalive, which notices that the peer of a silent connection is gone. A followed log may be
silent for an hour while its task logs nothing. A laptop that slept, or a NAT gateway that forgot the
connection, leaves a connection that is silent too, but dead.
"""

from __future__ import annotations

import contextlib
import socket
from typing import Final

IDLE_SECONDS: Final = 30
"""How long a connection is silent before the system sends the first probe, in seconds."""
INTERVAL_SECONDS: Final = 10
"""The time between two probes, in seconds."""
MAX_PROBES: Final = 5
"""After so many probes without an answer, the system closes the connection."""
_IDLE = "TCP_KEEPIDLE" if hasattr(socket, "TCP_KEEPIDLE") else "TCP_KEEPALIVE"
"""The name of the option on this system: macOS has another name."""
_OPTIONS: Final = ((_IDLE, IDLE_SECONDS), ("TCP_KEEPINTVL", INTERVAL_SECONDS), ("TCP_KEEPCNT", MAX_PROBES))


def detect_dead_peer(connection: socket.socket) -> None:
    """Turn TCP keepalive on. If the peer is gone, a read fails after 80 seconds of silence. On a
    system without an option of keepalive, the system's own value holds.
    """
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _OPTIONS:
            if hasattr(socket, name):
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
