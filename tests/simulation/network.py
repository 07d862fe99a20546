"""The way from one operator process to the world: requests take their time, are lost, arrive after all, and may be the process's last."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol

from mljob_contract.backfill_marker import Marker
from mljob_operator.core.run.backfill import BackfillRequest, BackfillRun
from mljob_operator.core.run.facts import RunFact, TaskFact
from mljob_operator.errors import AirflowUnavailable, StoreUnavailable
from mljob_operator.ports import MemberChange, RunChange, TaskChange

ONE_WAY = 0.005
"""Seconds from the operator to whom it asks, and back."""
STRAY_FOR = 75.0
"""Seconds for which a request that nobody waits for any more may still arrive; far more than ``reconciler.UNKNOWN_FOR``."""


class Fault(StrEnum):
    """What becomes of one request."""

    REFUSED = "refused"
    """It takes no effect, and is known not to."""
    LATE = "late"
    """The answer does not come; the request may arrive later."""
    ANSWER_LOST = "answer lost"
    """It takes effect, and the answer does not come."""


class When(StrEnum):
    """When a process dies."""

    BEFORE = "before"
    AMID = "amid"
    """The request is under way, and may arrive."""
    AFTER = "after"


@dataclass
class Stray:
    """A request under way that nobody waits for."""

    name: str
    effect: Callable[[], Awaitable[Any]]
    since: float
    until: float


@dataclass
class Network:
    """What is wrong with the network, for whatever process uses it.

    Attributes:
        down: Who gives no answer: airflow, kubernetes.
        faults: What becomes of the next requests, by whom they are for.
        strays: Requests that may still arrive.
    """

    down: set[str] = field(default_factory=set)
    faults: dict[str, list[Fault]] = field(default_factory=lambda: {"airflow": [], "kubernetes": []})
    strays: list[Stray] = field(default_factory=list)

    def stray(self, name: str, effect: Callable[[], Awaitable[Any]]) -> None:
        """Nobody waits for this request any more."""
        now = asyncio.get_running_loop().time()
        self.strays.append(Stray(name, effect, now, now + STRAY_FOR))


class Wire:
    """One process's requests.

    Args:
        die: Ends the process.

    Attributes:
        calls: How many requests it has made.
        dies_at: At which request it dies, and when.
        cut: Who does not hear this process, and others hear: airflow, kubernetes.
    """

    def __init__(self, network: Network, after_effect: Callable[[], None], die: Callable[[], None]) -> None:
        self._network = network
        self._after_effect = after_effect
        self._die = die
        self.dead = False
        self.calls = 0
        self.dies_at: tuple[int, When] | None = None
        self.cut: set[str] = set()

    def is_down(self, who: str) -> bool:
        """Whether this process gets no answer from them."""
        return who in self._network.down or who in self.cut

    async def carry(self, to: str, name: str, effect: Callable[[], Awaitable[Any]]) -> Any:
        """Make a request."""
        await self._if_alive()
        if self.last(When.BEFORE):
            await self._if_alive()
        network = self._network
        if self.dies_at == (self.calls, When.AMID):
            network.stray(name, effect)
            self._end()
            await self._if_alive()
        try:
            await asyncio.sleep(ONE_WAY)
        except asyncio.CancelledError:
            if self.dead:
                network.stray(name, effect)
            raise
        fault = network.faults[to].pop(0) if network.faults[to] else None
        if self.is_down(to) or fault is Fault.REFUSED:
            raise _unavailable(to, f"no answer to {name}", outcome_unknown=False)
        if fault is Fault.LATE:
            network.stray(name, effect)
            await asyncio.sleep(15)
            raise _unavailable(to, f"no answer to {name}", outcome_unknown=True)
        try:
            answer = await effect()
        finally:
            self._after_effect()
        if self.dies_at == (self.calls, When.AFTER):
            self._end()
            await self._if_alive()
        if fault is Fault.ANSWER_LOST:
            await asyncio.sleep(15)
            raise _unavailable(to, f"the answer to {name} was lost", outcome_unknown=True)
        await asyncio.sleep(ONE_WAY)
        return answer

    def at_once(self, effect: Callable[[], None]) -> None:
        """A request that is not waited for."""
        if self.dead or self.last(When.BEFORE):
            return
        effect()
        if self.dies_at == (self.calls, When.AFTER):
            self._end()

    def last(self, when: When) -> bool:
        """Count a request; whether the process dies of it now."""
        self.calls += 1
        if self.dies_at == (self.calls, when):
            self._end()
            return True
        return False

    def _end(self) -> None:
        """The process dies, once: another of its requests may have been under way at the same moment."""
        if not self.dead:
            self.dead = True
            self._die()

    async def _if_alive(self) -> None:
        if self.dead:
            await asyncio.get_running_loop().create_future()


def _unavailable(to: str, message: str, *, outcome_unknown: bool) -> Exception:
    if to == "airflow":
        return AirflowUnavailable(message, outcome_unknown=outcome_unknown)
    return StoreUnavailable(message)


class HasClockOffset(Protocol):
    """The clock of who is asked."""

    def __call__(self) -> datetime:
        """The time there."""
        ...


class WiredAirflow:
    """Airflow as one process sees it: REST's answers carry the time of the request, on the operator's clock."""

    def __init__(
        self, airflow: Any, wire: Wire, operators_clock: HasClockOffset, airflows_clock: HasClockOffset
    ) -> None:
        self._airflow = airflow
        self._wire = wire
        self._operators_clock = operators_clock
        self._airflows_clock = airflows_clock
        self.clock_offset = timedelta(0)

    @property
    def cancelling(self) -> WiredAirflow:
        """Requests of an MLJob that is being cancelled take the same way."""
        return self

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._airflow, name)
        if not callable(method):
            # A port of its own, of the same Airflow.
            return WiredBackfills(method, self._wire, self._operators_clock, self._airflows_clock)

        async def call(*args: Any, **kwargs: Any) -> Any:
            asked_at = self._operators_clock()
            answer = await self._wire.carry("airflow", name, lambda: method(*args, **kwargs))
            offset = self._airflows_clock().replace(microsecond=0) - self._operators_clock()
            self.clock_offset = offset if abs(offset) > timedelta(seconds=2) else timedelta(0)
            return _seen(answer, asked_at)

        return call


class WiredBackfills(WiredAirflow):
    """Its backfills: to make one is two requests, and the second may arrive when what the first one found is no longer so."""

    async def create(self, dag_id: str, marker: Marker, order: BackfillRequest) -> Any:
        """Look for it, then post it."""
        there = await self.find(dag_id, marker.run_id, marker.attempt)
        return there if there is not None else await self.post(dag_id, marker, order)


class WiredJobs:
    """The Kubernetes API as one process sees it."""

    def __init__(self, jobs: Any, wire: Wire) -> None:
        self._jobs = jobs
        self._wire = wire

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._jobs, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            return await self._wire.carry("kubernetes", name, lambda: method(*args, **kwargs))

        return call


def _seen(answer: Any, at: datetime) -> Any:
    """As the adapter has it: a fact from REST is as old as its request."""
    match answer:
        case RunFact() | TaskFact():
            return replace(answer, at=at, seen=at)
        case RunChange() | TaskChange():
            return replace(answer, fact=_seen(answer.fact, at))
        case BackfillRun():
            return replace(answer, run=_seen(answer.run, at))
        case MemberChange():
            return replace(answer, member=_seen(answer.member, at))
        case list() | tuple():
            return type(answer)(_seen(item, at) for item in answer)
        case _:
            return answer
