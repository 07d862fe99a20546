"""Fakes for tests of leadership. :class:`FakeLeases` stores Leases in memory. :class:`OpenGate`
lets every request pass, as if the process were always the leader.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

from mljob_operator.core.leadership.claims import Claims
from mljob_operator.core.leadership.lease import Lease
from mljob_operator.errors import Conflict, Gone


class OpenGate:
    """A gate that lets every request pass. The real gate stops requests that would change something
    in Airflow or Kubernetes while the process is not the leader.
    """

    def check(self) -> None:
        """Let the request pass."""


class FakeLeases:
    """A fake store of the Leases of one namespace. Each write names the version of the Lease that
    the write replaces. If another version is stored, the write is refused.

    Attributes:
        objects: The Leases by name.
        seconds: The duration of a Lease in seconds, which :meth:`LeasesOfOperator.take` stores in
            the Lease.
    """

    def __init__(self, seconds: float = 10) -> None:
        self.objects: dict[str, Lease] = {}
        self.seconds = seconds
        self._numbers = itertools.count(1)

    def of(self, name: str) -> LeasesOfOperator:
        """Return the interface to this store for the operator whose Lease is called ``name``."""
        return LeasesOfOperator(self, name)

    def write(self, lease: Lease, before: Lease | None) -> Lease:
        """Replace the version ``before`` of a Lease with ``lease``. Return the stored Lease, which
        has a new version. If ``before`` is None, create the Lease.

        Raises:
            Gone: The Lease was deleted since the version ``before``, even if a Lease with the same
                name was created later.
            Conflict: Another version than ``before`` is stored, or ``before`` is None and the Lease
                exists.
        """
        stored = self.objects.get(lease.name)
        if before is not None and (stored is None or stored.uid != before.uid):
            raise Gone(f"Lease {lease.name} is not there")
        if (stored.version if stored else None) != (before.version if before else None):
            raise Conflict(f"Lease {lease.name} has changed")
        number = str(next(self._numbers))
        self.objects[lease.name] = replace(lease, version=number, uid=stored.uid if stored else f"uid-{number}")
        return self.objects[lease.name]

    def touch(self, name: str) -> None:
        """Store a new version of a Lease with the same content, as when a person changes an
        annotation.
        """
        self.write(self.objects[name], self.objects[name])


class LeasesOfOperator:
    """The interface through which one operator uses the fake store
    (:class:`mljob_operator.ports.LeaseStore`). The operator reads and writes its own Lease, and
    reads the Leases of other operators.
    """

    def __init__(self, leases: FakeLeases, name: str) -> None:
        self._leases = leases
        self._name = name

    async def get(self) -> Lease | None:
        """Return the operator's Lease, or None if it does not exist."""
        return self._leases.objects.get(self._name)

    async def take(self, lease: Lease | None, holder: str, claims: Claims) -> Lease:
        """Store the operator's Lease with the process ``holder`` as its holder, in place of the
        version ``lease``. Create the Lease if ``lease`` is None. ``claims`` (the MLJobs, the dag
        run ids and the consumer group that the operator uses) is stored in the Lease.
        """
        transitions = lease.transitions + 1 if lease is not None else 0
        taken = Lease(self._name, "", "", holder, self._leases.seconds, transitions, claims)
        return self._leases.write(taken, lease)

    async def renew(self, lease: Lease, *, acting: bool) -> Lease:
        """Store a new version of the Lease with the same holder. ``acting``, which says whether the
        holder already acts as the leader, is stored in the Lease.
        """
        return self._leases.write(replace(lease, acting=acting), lease)

    async def release(self, lease: Lease) -> None:
        """Store the Lease without a holder, so that another process can take it at once."""
        self._leases.write(replace(lease, holder=None, acting=False), lease)

    async def others(self) -> list[Lease]:
        """Return the Leases of other operators."""
        return [lease for name, lease in self._leases.objects.items() if name != self._name]
