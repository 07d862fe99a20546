"""A version of a Lease, and how long the holder of the Lease may act as the leader.

The times in a Lease come from the clocks of other machines, so the operator does not use them. A
process measures on its own monotonic clock how long the version of a Lease stays the same. If the
version stays the same for :attr:`Lease.seconds`, the holder may no longer act as the leader.

Sources: the Kubernetes API reference, ``coordination.k8s.io/v1`` Lease; client-go's package
``leaderelection``.
"""

from __future__ import annotations

from ..frozen import frozen
from .claims import Claims

MIN_SECONDS, MAX_SECONDS = 2, 300
"""The minimum and the maximum of :attr:`Lease.seconds`. Another program may write any duration into
a Lease.
"""


@frozen
class Lease:
    """One version of a Lease, read from the Kubernetes API.

    Attributes:
        name: The name of the Lease, which all processes of one operator share.
        version: The resourceVersion.
        holder: The identity of the process that holds the Lease. None if no process holds it.
        seconds: How many seconds the holder may act as the leader after the holder has written this
            version.
        transitions: How many times another process has become the holder.
        claims: The MLJobs, the prefix of dag run ids and the Kafka consumer group that the operator
            claims for itself. None if the Lease has no valid claims.
        acting: Whether the holder acts as the leader. Before the holder acts, it checks the claims
            of the other operators.
    """

    name: str
    uid: str
    version: str
    holder: str | None
    seconds: float
    transitions: int = 0
    claims: Claims | None = None
    acting: bool = False


class Observation:
    """The newest version of a Lease that this process knows, and the time at which this process
    first read this version.
    """

    def __init__(self) -> None:
        self._lease: Lease | None = None
        self._since = 0.0
        self.renewed = False
        """Whether the newest version has the same holder as the version before it, so that the
        holder has renewed the Lease.
        """

    def update(self, lease: Lease | None, now: float) -> None:
        """Record the version of the Lease that a request has returned.

        Args:
            lease: The version. None if the Lease does not exist: then nothing is recorded.
            now: The time of the answer, in seconds of a monotonic clock.
        """
        if lease is None:
            # The last known holder may not know yet that the Lease was deleted, so its time counts.
            return
        if self._lease is not None and (self._lease.uid, self._lease.version) == (lease.uid, lease.version):
            return
        self.renewed = self._lease is not None and lease.holder is not None and self._lease.holder == lease.holder
        self._lease, self._since = lease, now

    def is_free(self, now: float) -> bool:
        """Return whether no process may act as the leader at the time ``now``: the Lease has no
        holder, or the holder has not renewed the Lease in time. The result is also True if no
        version was recorded yet.

        Args:
            now: The time, in seconds of the monotonic clock of :meth:`update`.
        """
        return self._lease is None or self._lease.holder is None or now >= self._since + self._lease.seconds

    def has_leader(self, now: float) -> bool:
        """Return whether a process acts as the leader at the time ``now``, as far as the newest
        version shows: the holder has begun to act, and has renewed the Lease in time.

        Args:
            now: The time, in seconds of the monotonic clock of :meth:`update`.
        """
        return self._lease is not None and self._lease.acting and not self.is_free(now)
