from __future__ import annotations

import itertools
from dataclasses import replace

from mljob_operator.core.leadership.claims import Claims
from mljob_operator.core.leadership.lease import Lease
from mljob_operator.errors import Conflict, Gone


class OpenGate:
    """A :class:`mljob_operator.ports.Gate` that lets every request pass, as if the process were
    always the leader.
    """

    def check(self) -> None: ...


class FakeLeases:
    """The Leases of one namespace, in memory. A write fails if the Lease has changed since the
    writer read it.
    """

    def __init__(self, seconds: float = 10) -> None:
        self.objects: dict[str, Lease] = {}
        self.seconds = seconds
        self._numbers = itertools.count(1)

    def of(self, name: str) -> LeasesOfOperator:
        return LeasesOfOperator(self, name)

    def write(self, lease: Lease, before: Lease | None) -> Lease:
        stored = self.objects.get(lease.name)
        if before is not None and (stored is None or stored.uid != before.uid):
            raise Gone(f"Lease {lease.name} is not there")
        if (stored.version if stored else None) != (before.version if before else None):
            raise Conflict(f"Lease {lease.name} has changed")
        number = str(next(self._numbers))
        self.objects[lease.name] = replace(lease, version=number, uid=stored.uid if stored else f"uid-{number}")
        return self.objects[lease.name]

    def touch(self, name: str) -> None:
        self.write(self.objects[name], self.objects[name])


class LeasesOfOperator:
    """The fake :class:`mljob_operator.ports.LeaseStore` of one operator."""

    def __init__(self, leases: FakeLeases, name: str) -> None:
        self._leases = leases
        self._name = name

    async def get(self) -> Lease | None:
        return self._leases.objects.get(self._name)

    async def take(self, lease: Lease | None, holder: str, claims: Claims) -> Lease:
        transitions = lease.transitions + 1 if lease is not None else 0
        taken = Lease(self._name, "", "", holder, self._leases.seconds, transitions, claims)
        return self._leases.write(taken, lease)

    async def renew(self, lease: Lease, *, acting: bool) -> Lease:
        return self._leases.write(replace(lease, acting=acting), lease)

    async def release(self, lease: Lease) -> None:
        self._leases.write(replace(lease, holder=None, acting=False), lease)

    async def others(self) -> list[Lease]:
        return [lease for name, lease in self._leases.objects.items() if name != self._name]
