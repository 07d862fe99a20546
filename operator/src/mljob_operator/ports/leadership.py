"""The protocol classes for leadership: the gate that lets only the leader change anything, and the
Leases by which processes agree on the leader.
"""

from __future__ import annotations

from typing import Protocol

from ..core.leadership.claims import Claims
from ..core.leadership.lease import Lease
from ..errors import NotLeading


class Gate(Protocol):
    """Lets a request pass while the process is the leader, and refuses the request otherwise.

    The adapters call :meth:`check` right before they send a request that changes something. Any
    thread may call this method.
    """

    def check(self) -> None:
        """Do nothing if the process is the leader. Otherwise raise an error.

        Raises:
            NotLeading: The process is not the leader, or its time as the leader may be over.
        """
        ...


class ReadOnly:
    """A :class:`Gate` that refuses every request that would change something. A process that only
    reads uses this gate.
    """

    def check(self) -> None:
        """Refuse the request.

        Raises:
            NotLeading: Always.
        """
        raise NotLeading("this process only reads, so it changes nothing")


class LeaseStore(Protocol):
    """Reads and writes the Leases of operators in the Kubernetes API.

    Every write names the version of the Lease that it is based on. The Kubernetes API refuses the
    write if another process has written the Lease since then. All methods raise ``StoreError`` if
    the Kubernetes API fails.
    """

    async def get(self) -> Lease | None:
        """Return the operator's Lease, or None if the Kubernetes API says that the Lease does not
        exist.
        """
        ...

    async def take(self, lease: Lease | None, holder: str, claims: Claims) -> Lease:
        """Make a process the holder of the Lease, and return the new version. The Lease also
        records that the holder does not do the leader's work yet.

        Args:
            lease: The newest version that the process knows, or None to create the Lease.
            holder: The identity of the process.
            claims: The MLJobs, the dag run ids and the consumer group that the operator claims for
                itself.

        Raises:
            Conflict: Another process has written or created the Lease.
            Gone: The Lease ``lease`` was deleted.
        """
        ...

    async def renew(self, lease: Lease, *, acting: bool) -> Lease:
        """Write a new time of renewal for the same holder, and return the new version. ``acting``
        is whether the holder has begun to do the leader's work.

        Raises:
            Conflict: Another process has written the Lease.
            Gone: The Lease does not exist any more.
        """
        ...

    async def release(self, lease: Lease) -> None:
        """Give up the Lease, so that another process can take the Lease at once.

        Raises:
            Conflict: Another process has written the Lease.
            Gone: The Lease does not exist any more.
        """
        ...

    async def others(self) -> list[Lease]:
        """Return the Leases of other operators in the operator's namespace."""
        ...
