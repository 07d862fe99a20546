"""Takes, renews and releases the operator's Lease. Only the holder of the Lease is the leader.

A leader stops its work when 70 percent of the Lease's duration (``STOPS_AFTER``) has passed since
its last successful renewal. Unless the leader releases the Lease, a standby takes the Lease only
after it has observed no renewal for the whole duration. Each process measures the time with its own
clock. So unless somebody deletes the Lease, two leaders never work at the same time, even if their
clocks show different times.

With the leader election of the Kubernetes client for Python, two leaders could work at the same
time (docs/adr/0035-standby.md).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from ..core.leadership.claims import Claims
from ..core.leadership.lease import Lease, Observation
from ..errors import Conflict, Gone, NotLeading, StoreError, StoreUnavailable
from ..ports import LeaseStore, Meter
from .rivals import Rivals

log = logging.getLogger(__name__)

T = TypeVar("T")

STOPS_AFTER = 0.7
"""The part of the Lease's duration after which a leader that has not renewed the Lease stops."""
RENEWS_EVERY = 0.2
"""The part of the Lease's duration between two renewals."""
REQUEST_TIMEOUT = 0.3
"""The part of the Lease's duration after which a request about the Lease is given up."""
LOOKS_EVERY = 0.5
"""Seconds between two requests of a standby for the Lease. After a release, a standby tries to take
the Lease within this time.
"""


def uptime() -> float:
    """Return the seconds since the machine's start, including the time in suspension.

    With ``time.monotonic``, which stops during suspension, a leader could work after its Lease has
    run out. On systems without ``CLOCK_BOOTTIME``, this function returns ``time.monotonic()``.
    """
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.clock_gettime(clock) if clock is not None else time.monotonic()


class Term:
    """A period in which this process is the leader. A term that is over never begins again.

    Args:
        lease: The Lease, as this process has written it.
        until: When the term ends if the Lease is not renewed, in seconds of ``clock``.
        clock: A monotonic clock in seconds, which any thread may call.
    """

    def __init__(self, lease: Lease, until: float, clock: Callable[[], float]) -> None:
        self.lease = lease
        self._until = until
        self._clock = clock
        self.ended = False
        """Whether :meth:`end` was called. A term is also over when its time has run out."""
        self._acts = False
        self.released = False
        """Whether the process has tried to release the Lease."""

    @property
    def over(self) -> bool:
        """Whether the term was ended (:meth:`end`), or was not renewed in time."""
        return self.ended or self._clock() >= self._until

    @property
    def left(self) -> float:
        """The seconds until the term ends if the Lease is not renewed. 0 if the term is over."""
        return 0.0 if self.over else max(0.0, self._until - self._clock())

    @property
    def acts(self) -> bool:
        """Whether the process has begun its work as the leader."""
        return self._acts

    def check(self) -> None:
        """Check that this process may send requests that change something. Implements
        :class:`.Gate`.

        Raises:
            NotLeading: The term is over, or the process has not begun its work as the leader.
        """
        if self.over:
            raise NotLeading(f"this process does not hold the Lease {self.lease.name} any more, so it changes nothing")
        if not self._acts:
            raise NotLeading("this process has not begun its work as the leader yet, so it changes nothing")

    def renew(self, lease: Lease, until: float) -> None:
        """Extend the term to ``until``, unless the term is over."""
        if not self.over:
            self.lease, self._until = lease, max(self._until, until)

    def begin(self) -> None:
        """Record that the process begins its work as the leader. From now on, :meth:`check` raises
        an error only if the term is over.
        """
        self._acts = True

    def end(self) -> None:
        """End the term now."""
        self.ended = True


class Election:
    """Takes the operator's Lease for this process, and renews the Lease.

    Args:
        leases: The Leases in the Kubernetes API.
        claims: The MLJobs, dag run ids and events that this operator claims.
        meter: Records metrics.
        name: Returns a new identity for the holder of the Lease. Each term has its own identity.
        seconds: The duration of the Lease, in seconds.
        clock: A monotonic clock, in seconds.
    """

    def __init__(
        self,
        leases: LeaseStore,
        claims: Claims,
        meter: Meter,
        *,
        name: Callable[[], str],
        seconds: float,
        clock: Callable[[], float] = uptime,
    ) -> None:
        self._leases = leases
        self._claims = claims
        self._meter = meter
        self._name = name
        self._seconds = seconds
        self._clock = clock
        self._observation = Observation()
        self._rivals = Rivals(leases, claims, clock, LOOKS_EVERY)
        self._earlier: str | None = None
        self._told = ""
        self.stands_by = False
        """Whether this process has seen that another process holds the Lease, and waits for the
        Lease.
        """
        meter.leader(False)

    async def refuse_rivals(self) -> None:
        """Wait until no rival of this operator runs. A rival is another operator that claims the
        same MLJob, dag run id or event. Await this method before :meth:`lead`.

        Raises:
            CannotStart: A rival already works as the leader. This method does not wait for the end
                of this rival.
        """
        await self._rivals.refuse_acting()

    async def lead(self) -> Term:
        """Wait until this process holds the Lease, and return a new :class:`Term`.

        Until :meth:`begin` has returned, the process must change nothing except the Lease.
        """
        identity = self._name()
        while True:
            try:
                lease = await self._answer(self._leases.get())
                self._observation.update(lease, self._clock())
                # A late renewal of an earlier term may have arrived. That term is over for good.
                mine = lease is not None and lease.holder in (identity, self._earlier)
                if mine or self._observation.is_free(self._clock()):
                    sent_at = self._clock()
                    taken = await self._take(lease, identity)
                    self._observation.update(taken, self._clock())
                    self.stands_by = False
                    # This process holds the Lease now, and does not act before it has begun.
                    self._meter.leader(False)
                    return Term(taken, sent_at + STOPS_AFTER * self._seconds, self._clock)
                self.stands_by = True
                self._log_once(logging.INFO, f"standing by: {lease.holder if lease else 'nobody'} holds the Lease")
            except (Conflict, Gone):
                # Another process was faster, or the Lease was deleted. The next request shows which
                # of the two is the case.
                pass
            except StoreError as error:
                self._log_once(logging.WARNING, f"the Lease can't be taken: {error}; the operator tries again")
            self._meter.leader(False, other=self._observation.has_leader(self._clock()))
            await asyncio.sleep(LOOKS_EVERY)

    async def begin(self, term: Term) -> None:
        """Wait until no rival of this operator runs (:meth:`refuse_rivals`). Then let this process
        begin its work as the leader.

        :meth:`hold` must run at the same time.

        Raises:
            CannotStart: A rival runs and has precedence: the rival has begun its work as the
                leader, or the name of the rival's Lease sorts before the name of this operator's
                Lease. This method does not wait for the end of such a rival.
        """
        await self._rivals.yield_to_others(term.lease.name)
        term.begin()
        self._meter.leader(not term.over)
        self._log_once(logging.INFO, f"leading: {term.lease.holder} holds the Lease {term.lease.name}")

    async def hold(self, term: Term) -> None:
        """Renew the Lease until the term is over. If this method is cancelled, the term ends."""
        try:
            pause = RENEWS_EVERY * self._seconds
            while not term.over:
                await asyncio.sleep(min(term.left, pause))
                renewed = await self._renew(term)
                pause = RENEWS_EVERY * self._seconds if renewed else min(LOOKS_EVERY, RENEWS_EVERY * self._seconds)
            if not term.ended:
                log.warning(
                    "the Lease %s was not renewed in time: this process changes nothing any more", term.lease.name
                )
        finally:
            term.end()
            self._meter.leader(False)

    async def release(self, term: Term) -> None:
        """End the term, and release the Lease for other processes. Errors are logged.

        Without a successful release, other processes wait for the Lease's duration.
        """
        term.end()
        self._meter.leader(False)
        if term.released:
            return
        term.released, self._earlier = True, term.lease.holder
        try:
            await self._answer(self._leases.release(term.lease))
        except (Conflict, Gone):
            # Another process has the Lease already.
            pass
        except StoreError as error:
            log.warning("the Lease %s was not released: %s", term.lease.name, error)
        else:
            log.info("released the Lease %s", term.lease.name)

    async def _take(self, lease: Lease | None, identity: str) -> Lease:
        """Take the Lease, and return the new version.

        If the caller is cancelled during the request, release the Lease. Otherwise, other processes
        would have to wait until the Lease has expired.
        """
        taking = asyncio.ensure_future(self._answer(self._leases.take(lease, identity, self._claims)))
        try:
            return await asyncio.shield(taking)
        except asyncio.CancelledError:
            with suppress(StoreError):
                await self._answer(self._leases.release(await taking))
            raise

    async def _renew(self, term: Term) -> bool:
        """Renew the Lease once. If the Kubernetes API confirms the renewal, extend the term and
        return True. Otherwise return False.
        """
        if term.over:
            return False
        sent_at = self._clock()
        try:
            renewed = await self._answer(self._leases.renew(term.lease, acting=term.acts))
        except (Conflict, Gone):
            await self._read_again(term)
        except StoreError as error:
            self._log_once(
                logging.WARNING, f"the Lease {term.lease.name} was not renewed: {error}; the operator tries again"
            )
        else:
            self._observation.update(renewed, self._clock())
            self._told = ""
            term.renew(renewed, sent_at + STOPS_AFTER * self._seconds)
            return True
        return False

    async def _read_again(self, term: Term) -> None:
        """Read the Lease after a renewal has failed with Conflict or Gone. End the term if the
        Lease was deleted, or if this process is not the holder of the Lease any more.

        If this process is still the holder, the term continues. The renewal may have failed because
        of changed annotations of the Lease, or because an earlier renewal took effect without an
        answer.
        """
        try:
            lease = await self._answer(self._leases.get())
        except StoreError:
            return
        self._observation.update(lease, self._clock())
        if lease is None or lease.holder != term.lease.holder:
            log.warning(
                "the Lease %s was %s: this process changes nothing any more",
                term.lease.name,
                "deleted" if lease is None else f"taken by {lease.holder}",
            )
            term.end()
            return
        term.lease = lease

    async def _answer(self, request: Awaitable[T]) -> T:
        """Return the answer to a request about the Lease.

        Raises:
            StoreUnavailable: There is no answer in time (``REQUEST_TIMEOUT``).
            StoreError: The request failed.
        """
        timeout = REQUEST_TIMEOUT * self._seconds
        try:
            async with asyncio.timeout(timeout):
                return await request
        except TimeoutError:
            raise StoreUnavailable(f"the Kubernetes API did not answer within {timeout:g} s") from None

    def _log_once(self, level: int, message: str) -> None:
        if message != self._told:
            self._told = message
            log.log(level, "%s", message)
