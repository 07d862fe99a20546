"""Finds operators that claim the same MLJobs, run ids or events. The purpose is that only one of
these operators acts on the MLJobs, runs and events. The claims of an operator are in an annotation
of its Lease.

An operator takes its own Lease before it lists the Leases of other operators. So of two operators
that start at the same time, at least one sees the Lease of the other. If each of them sees the
Lease of the other, the operator whose Lease has the smaller name continues, and the other operator
ends with an error.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable

from ..core.leadership.claims import Claims
from ..core.leadership.lease import Lease, Observation
from ..errors import CannotStart, StoreError, backoff
from ..ports import LeaseStore

log = logging.getLogger(__name__)


class Rivals:
    """Finds the rivals of this operator: the other operators of the namespace that claim the same
    MLJobs, run ids or events.

    A Lease alone does not show whether its operator still runs. A rival is known to run when it
    renews its Lease, and is ignored when its Lease has run out.

    Args:
        leases: The Leases in the Kubernetes API.
        claims: The claims of this operator.
        clock: A monotonic clock, in seconds.
        interval: Seconds between two requests for the Leases.
    """

    def __init__(self, leases: LeaseStore, claims: Claims, clock: Callable[[], float], interval: float) -> None:
        self._leases = leases
        self._claims = claims
        self._clock = clock
        self._interval = interval

    async def refuse_acting(self) -> None:
        """Wait until no rival is running. If a running rival already acts on MLJobs, runs or
        events, raise an error instead.

        An operator begins to act once the operator's own check has found no running rival. Until
        then, the operator only holds its Lease.

        Raises:
            CannotStart: A running rival acts.
        """
        await self._settle(lambda rival: rival.acting)

    async def yield_to_others(self, own_lease: str) -> None:
        """Wait until no rival is running. If a rival has precedence over this operator, raise an
        error instead.

        Args:
            own_lease: The name of the Lease that this process holds.

        Raises:
            CannotStart: A running rival acts, or the name of its Lease is smaller than
                ``own_lease``.
        """
        await self._settle(lambda rival: rival.acting or rival.name < own_lease)

    async def _settle(self, has_precedence: Callable[[Lease], bool]) -> None:
        observations: defaultdict[str, Observation] = defaultdict(Observation)
        failures, logged = 0, ""
        while True:
            delay = self._interval
            try:
                rivals = await self._rivals()
                failures = 0
            except StoreError as error:
                failures += 1
                if str(error) != logged:
                    logged = str(error)
                    log.warning("the Leases of other operators can't be listed: %s; the operator tries again", error)
                delay = backoff(error, failures)
            else:
                if not self._are_left(rivals, observations, has_precedence):
                    return
            await asyncio.sleep(delay)

    def _are_left(
        self,
        rivals: list[tuple[Lease, str]],
        observations: defaultdict[str, Observation],
        has_precedence: Callable[[Lease], bool],
    ) -> bool:
        """Return whether a rival may still be running.

        Args:
            rivals: The Leases of the rivals, each with a text that describes the conflict.
            observations: For each Lease, by its name, the newest version that this process knows.
            has_precedence: Returns whether this operator must end if the rival with this Lease is
                running.

        Raises:
            CannotStart: A rival that has precedence is running.
        """
        now, left = self._clock(), False
        for rival, why in rivals:
            observation = observations[rival.name]
            observation.update(rival, now)
            if observation.is_free(now):
                continue
            left = True
            if observation.renewed and has_precedence(rival):
                raise CannotStart(f"another operator runs under the Lease {rival.name} of this namespace, {why}.")
        return left

    async def _rivals(self) -> list[tuple[Lease, str]]:
        """Return the Leases of other operators that have a holder and conflicting claims. Each
        Lease comes with a text that describes the conflict. Claims that can't be read count as a
        conflict.
        """
        found = []
        for lease in await self._leases.others():
            if lease.holder is None:
                continue
            why = (
                self._claims.conflict(lease.claims)
                if lease.claims is not None
                else "and what it manages can't be read from the annotations of its Lease. Upgrade the older of the two"
            )
            if why is not None:
                found.append((lease, why))
        return found
