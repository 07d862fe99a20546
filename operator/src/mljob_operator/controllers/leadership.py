"""Takes, renews and releases the operator's Lease. The process that holds the Lease is the leader,
and only the leader does the operator's work.

The leader measures the duration of the Lease from the moment before the leader sends a renewal. The
leader stops its work when 70 percent of the duration is over (``STOPS_AFTER``). A standby (a
process that waits for the Lease) measures the duration from the moment when the standby sees the
renewal, and waits until the whole duration is over. So a leader that can't renew the Lease has
stopped before a standby starts, even if the clocks of the two machines differ. Each period of
leadership is a :class:`Term`. A term that is over never comes back.

The election of the Kubernetes client (``kubernetes.aio.leaderelection``) gives none of these
guarantees (see docs/adr/0035-standby.md).
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
    """Return the seconds since the machine was started, including the time in which the machine was
    suspended. On systems without ``CLOCK_BOOTTIME`` (Linux has this clock), return
    ``time.monotonic()`` instead.

    On Linux, ``time.monotonic`` stands still while the machine is suspended. If the Lease of a
    leader ran out during the suspension, a leader that uses ``time.monotonic`` would act for some
    seconds after the machine wakes up.
    """
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.clock_gettime(clock) if clock is not None else time.monotonic()


class Term:
    """A period for which this process is the leader. A term that has ended never begins again.

    Args:
        lease: The version of the Lease that this process has written.
        until: When the term ends unless the Lease is renewed, in seconds of ``clock``.
        clock: A monotonic clock, in seconds. Any thread may call the clock.
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
        """The seconds until the term ends unless the Lease is renewed; 0 if the term is over."""
        return 0.0 if self.over else max(0.0, self._until - self._clock())

    @property
    def acts(self) -> bool:
        """Whether the process has begun its work as the leader."""
        return self._acts

    def check(self) -> None:
        """Check that this process may change something now. The method implements :class:`.Gate`.

        Raises:
            NotLeading: The term is over, or the process has not begun its work as the leader.
        """
        if self.over or not self._acts:
            raise NotLeading(f"this process does not hold the Lease {self.lease.name} any more, so it changes nothing")

    def renew(self, lease: Lease, until: float) -> None:
        """Extend the term to ``until`` after a renewal of the Lease. A term that is over is not
        extended.
        """
        if not self.over:
            self.lease, self._until = lease, max(self._until, until)

    def begin(self) -> None:
        """Let the process do the work of the leader from now on."""
        self._acts = True

    def end(self) -> None:
        """End the term now."""
        self.ended = True


class Election:
    """Takes the Lease when no other process holds it, so that this process becomes the leader, and
    renews the Lease.

    Args:
        leases: The Leases in the Kubernetes API.
        claims: The MLJobs, dag run ids and events of this operator, which no other operator may
            use.
        name: Returns a new identity for the holder of the Lease. Each term has its own identity, so
            that requests of an earlier term have no effect on a later term.
        seconds: The duration of the Lease.
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
        """Wait until no conflicting operator is running, or raise an error if a conflicting
        operator has already begun its work. The caller awaits this method before the process tries
        to take the Lease. Two operators conflict if both claim the same MLJob, dag run id or event.

        Raises:
            CannotStart: A conflicting operator has already begun its work as the leader.
        """
        await self._rivals.refuse_acting()

    async def lead(self) -> Term:
        """Wait until this process holds the Lease, and return its term. The process may not change
        anything until :meth:`begin` has returned.
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
                    return Term(taken, sent_at + STOPS_AFTER * self._seconds, self._clock)
                self.stands_by = True
                self._tell(logging.INFO, f"standing by: {lease.holder if lease else 'nobody'} holds the Lease")
            except (Conflict, Gone):
                # Another process was faster, or the Lease was deleted. The next request shows which
                # of the two is the case.
                pass
            except StoreError as error:
                self._tell(logging.WARNING, f"the Lease can't be taken: {error}; the operator tries again")
            await asyncio.sleep(LOOKS_EVERY)

    async def begin(self, term: Term) -> None:
        """Wait until no conflicting operator is running (:meth:`refuse_rivals`), and then let this
        process begin its work as the leader.

        The caller runs :meth:`hold` at the same time. If the term ends during the wait, the process
        changes nothing.

        Raises:
            CannotStart: A conflicting operator is running, and either has already begun its work as
                the leader, or has a Lease whose name sorts before the name of this Lease.
        """
        await self._rivals.yield_to_others(term.lease.name)
        term.begin()
        self._meter.leader(not term.over)
        self._tell(logging.INFO, f"leading: {term.lease.holder} holds the Lease {term.lease.name}")

    async def hold(self, term: Term) -> None:
        """Renew the Lease until the term is over. If the caller is cancelled, end the term."""
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
        """End the term and let another process take the Lease at once. Further calls have no
        effect.

        If the Lease can't be released, the failure is logged, and other processes wait for the
        Lease's duration.
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

        If the caller is cancelled before the Kubernetes API has answered, the method waits for the
        answer and then releases the Lease. Without the release, the next leader would have to wait
        until the Lease runs out.
        """
        taking = asyncio.ensure_future(self._answer(self._leases.take(lease, identity, self._claims)))
        try:
            return await asyncio.shield(taking)
        except asyncio.CancelledError:
            with suppress(StoreError):
                await self._answer(self._leases.release(await taking))
            raise

    async def _renew(self, term: Term) -> bool:
        """Renew the Lease once. Return whether the Kubernetes API has confirmed the renewal."""
        if term.over:
            return False
        sent_at = self._clock()
        try:
            renewed = await self._answer(self._leases.renew(term.lease, acting=term.acts))
        except (Conflict, Gone):
            await self._read_again(term)
        except StoreError as error:
            self._tell(
                logging.WARNING, f"the Lease {term.lease.name} was not renewed: {error}; the operator tries again"
            )
        else:
            self._observation.update(renewed, self._clock())
            self._told = ""
            term.renew(renewed, sent_at + STOPS_AFTER * self._seconds)
            return True
        return False

    async def _read_again(self, term: Term) -> None:
        """Read the Lease after a renewal has failed with Conflict or Gone, and end the term if this
        process does not hold the Lease any more.

        In spite of a Conflict, this process may still hold the Lease: another client may have
        changed only the annotations, or the answer to an earlier renewal may have been lost.
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
            StoreUnavailable: There is no answer within 30 percent of the Lease's duration
                (``REQUEST_TIMEOUT``).
            StoreError: The request failed.
        """
        timeout = REQUEST_TIMEOUT * self._seconds
        try:
            async with asyncio.timeout(timeout):
                return await request
        except TimeoutError:
            raise StoreUnavailable(f"the Kubernetes API did not answer within {timeout:g} s") from None

    def _tell(self, level: int, message: str) -> None:
        """Log a message. If the last call had the same message, log the message only if a renewal
        has succeeded since that call.
        """
        if message != self._told:
            self._told = message
            log.log(level, "%s", message)
