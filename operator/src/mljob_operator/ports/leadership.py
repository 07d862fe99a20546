"""The protocol classes for the election of the leader. Only the leader changes MLJobs and the
runs in Airflow.
"""

from __future__ import annotations

from typing import Protocol

from ..core.leadership.claims import Claims
from ..core.leadership.lease import Lease
from ..errors import NotLeading


class Gate(Protocol):
    """While the process is not the leader, blocks the requests that would change something."""

    def check(self) -> None:
        """Raise an error unless the process is the leader. Adapters call this method right before
        they send a request that changes something. Any thread may call this method.

        Raises:
            NotLeading: The process is not the leader, or its time as the leader may be over.
        """
        ...


class ReadOnly:
    """The :class:`Gate` of a process that only reads. Blocks every request that would change
    something.
    """

    def check(self) -> None:
        """Raise an error.

        Raises:
            NotLeading: Always.
        """
        raise NotLeading("this process only reads, so it changes nothing")


class LeaseStore(Protocol):
    """Reads and writes this operator's Lease, and reads the Leases of other operators. All methods
    raise ``StoreError`` if the Kubernetes API fails.
    """

    async def get(self) -> Lease | None:
        """Return the operator's Lease, or None if the Lease does not exist."""
        ...

    async def take(self, lease: Lease | None, holder: str, claims: Claims) -> Lease:
        """Make a process the holder of the Lease, and return the new version. The new version says
        that the holder has not yet begun to do the leader's work.

        Args:
            lease: The current version, or None to create the Lease.
            holder: The identity of the process.
            claims: The MLJobs, the dag run ids and the consumer group that only this operator may
                use.

        Raises:
            Conflict: Another process has written or created the Lease.
            Gone: The Lease ``lease`` was deleted.
        """
        ...

    async def renew(self, lease: Lease, *, acting: bool) -> Lease:
        """Write a new time of renewal for the same holder, and return the new version. ``acting``
        says whether the holder has begun to do the leader's work.

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
