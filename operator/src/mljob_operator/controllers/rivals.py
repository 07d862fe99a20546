"""Finds rivals: other operators that claim the same MLJobs, run ids or events. Of several operators
with the same claim, only one may act. Each operator writes its claims into an annotation of its
Lease.

An operator takes its own Lease before it lists the other Leases. So if two operators start at the
same time, at least one of them sees both Leases. If both operators see both Leases, the operator
whose Lease has the name that sorts last ends with an error. The other operator waits for this end,
and then begins its work.
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
    """Finds the rivals of this operator: other operators in this operator's namespace that claim
    the same MLJobs, run ids or events.

    A rival may have crashed, although its Lease has not expired yet. A rival that renews its Lease
    counts as running. A rival whose Lease expires counts as ended.

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
        """Wait until every rival has ended. If a rival is running and acts as the leader, raise an
        error at once.

        Raises:
            CannotStart: A rival is running, and has begun its work as the leader.
        """
        await self._settle(lambda rival: rival.acting)

    async def yield_to_others(self, own_lease: str) -> None:
        """Wait until every rival has ended. If a rival is running and has precedence over this
        operator, raise an error at once.

        Args:
            own_lease: The name of this operator's Lease.

        Raises:
            CannotStart: A rival is running and has precedence, because the rival has begun its work
                as the leader, or because the name of its Lease sorts before ``own_lease``.
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
        """Return whether a rival may still be running. ``rivals`` has the Lease of each rival, and
        a text that describes the conflict with the rival.

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
        """Return the Leases of the rivals, each with a text that describes the conflict. Claims
        that can't be read count as a conflict.
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
