from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from mljob_contract.backfill_marker import Marker
from mljob_operator.core.run.backfill import BackfillRequest, BackfillRun
from mljob_operator.core.run.facts import RunFact, TaskFact
from mljob_operator.errors import AirflowUnavailable, StoreUnavailable
from mljob_operator.ports import BackfillRunChange, Clock, Gate, RunChange, TaskChange

ONE_WAY = 0.005
"""Seconds that a request takes from the operator to a server. A response takes as many seconds
back.
"""
STRAY_FOR = 75.0
"""Seconds during which a request may still arrive after its operator has stopped waiting for it.
This is more than twice ``actions.UNKNOWN_FOR``.
"""


READS = frozenset(
    {
        *("list", "everything", "get", "source", "namespaces", "secret"),
        *("params", "conf", "tasks", "questions", "outputs", "children", "is_cancelling", "probe"),
        *("changed_runs", "changed_tasks", "active_runs", "halts", "paused_dags"),
        *("find", "list_runs", "not_created", "changed"),
    }
)
"""The names of the requests that change nothing."""


class Fault(StrEnum):
    REFUSED = "refused"
    """The request has no effect, and the operator knows that."""
    LATE = "late"
    """No response arrives; the request may arrive later."""
    ANSWER_LOST = "answer lost"
    """The request takes effect, and no response arrives."""


class When(StrEnum):
    BEFORE = "before"
    AMID = "amid"
    """The request is in flight and may arrive."""
    AFTER = "after"


@dataclass
class Stray:
    """A delayed request. A test may still deliver the request to the server. The process that sent
    the request gets no response.

    Attributes:
        effect: Executes the request on the server.
        since: The virtual time in seconds at which the delay began.
        until: The virtual time in seconds from which a test may drop the request.
    """

    name: str
    effect: Callable[[], Awaitable[Any]]
    since: float
    until: float


@dataclass
class Network:
    """The network between all operator processes and the servers ``airflow`` and ``kubernetes``.

    Attributes:
        down: The servers that don't answer.
        faults: For each server, the faults of the next requests in order. An entry None means a
            request without a fault.
        strays: The delayed requests that a test may still deliver.
    """

    down: set[str] = field(default_factory=set)
    faults: dict[str, list[Fault | None]] = field(default_factory=lambda: {"airflow": [], "kubernetes": []})
    strays: list[Stray] = field(default_factory=list)

    def stray(self, name: str, effect: Callable[[], Awaitable[Any]]) -> None:
        now = asyncio.get_running_loop().time()
        self.strays.append(Stray(name, effect, now, now + STRAY_FOR))


class Wire:
    """The connection of one process to the network. The connection delays requests, lets requests
    fail, and ends the process at a chosen request.

    Args:
        after_effect: Called after a server has executed or refused a request of :meth:`carry`.
        die: Ends the process.
        gate: Refuses changes while the process is not the leader. None allows all requests.
        changed: Called before ``after_effect``, if the request can change something.

    Attributes:
        calls: The number of requests so far.
        dies_at: The number of the request at which the process dies, and whether the process dies
            before, during or after this request. None if the process doesn't die.
        cut: The servers that this process can't reach, although other processes can.
        running: An event that is not set while the process is paused.
    """

    def __init__(
        self,
        network: Network,
        after_effect: Callable[[], None],
        die: Callable[[], None],
        *,
        gate: Gate | None = None,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._network = network
        self._after_effect = after_effect
        self._die = die
        self._gate = gate
        self._changed = changed
        self.running = asyncio.Event()
        self.running.set()
        self.dead = False
        self.calls = 0
        self.dies_at: tuple[int, When] | None = None
        self.cut: set[str] = set()

    def is_down(self, who: str) -> bool:
        return who in self._network.down or who in self.cut

    async def carry(self, to: str, name: str, effect: Callable[[], Awaitable[Any]]) -> Any:
        """Send the request ``name`` to the server ``to``, and return the response. ``effect``
        executes the request on the server. In a dead process, this method never returns.

        Raises:
            NotLeading: The request would change something, and the process is not the leader.
            AirflowUnavailable: No response from Airflow arrived.
            StoreUnavailable: No response from the API server arrived.
        """
        await self._if_alive()
        await self.running.wait()
        if self._gate is not None and name not in READS:
            self._gate.check()
        if self._counted_and_dies(When.BEFORE):
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
            if name not in READS:
                self._changed()
            self._after_effect()
        if self.dies_at == (self.calls, When.AFTER):
            self._end()
            await self._if_alive()
        if fault is Fault.ANSWER_LOST:
            await asyncio.sleep(15)
            raise _unavailable(to, f"the answer to {name} was lost", outcome_unknown=True)
        await asyncio.sleep(ONE_WAY)
        await self.running.wait()
        return answer

    def at_once(self, effect: Callable[[], None]) -> None:
        """Send a request without waiting for its response. A dead process sends nothing."""
        if self.dead or self._counted_and_dies(When.BEFORE):
            return
        effect()
        if self.dies_at == (self.calls, When.AFTER):
            self._end()

    def _counted_and_dies(self, when: When) -> bool:
        """Count a request. If ``dies_at`` has the number of this request and the moment ``when``,
        end the process and return True. Otherwise return False.
        """
        self.calls += 1
        if self.dies_at == (self.calls, when):
            self._end()
            return True
        return False

    def _end(self) -> None:
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


class WiredAirflow:
    """A connection to a fake Airflow through a :class:`Wire`. As in the real adapter,
    ``observed_at`` in a response is the time just before the request, on the operator's clock.
    """

    def __init__(self, airflow: Any, wire: Wire, operators_clock: Clock, airflows_clock: Clock) -> None:
        self._airflow = airflow
        self._wire = wire
        self._operators_clock = operators_clock
        self._airflows_clock = airflows_clock
        self.clock_offset = timedelta(0)

    @property
    def cancelling(self) -> WiredAirflow:
        return self

    @property
    def rows_read(self) -> int:
        return int(self._airflow.rows_read)

    def resume(self) -> None:
        """Do nothing, because this connection has no circuit breaker."""

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._airflow, name)
        if not callable(method):
            # Backfills are a separate port of the same Airflow.
            return WiredBackfills(method, self._wire, self._operators_clock, self._airflows_clock)

        async def call(*args: Any, **kwargs: Any) -> Any:
            asked_at = self._operators_clock()
            answer = await self._wire.carry("airflow", name, lambda: method(*args, **kwargs))
            offset = self._airflows_clock().replace(microsecond=0) - self._operators_clock()
            self.clock_offset = offset if abs(offset) > timedelta(seconds=2) else timedelta(0)
            return _dated(answer, asked_at)

        return call


class WiredBackfills(WiredAirflow):
    """A connection to the backfills of a fake Airflow through a :class:`Wire`. As in the real
    adapter, ``create`` first looks for the backfill, and sends another request to create a missing
    backfill. Another process may create the same backfill in between.
    """

    async def create(self, dag_id: str, marker: Marker, order: BackfillRequest) -> Any:
        there = await self.find(dag_id, marker.run_id, marker.attempt)
        return there if there is not None else await self.post(dag_id, marker, order)


class WiredJobs:
    """A connection to a fake store of Kubernetes objects through a :class:`Wire`."""

    def __init__(self, jobs: Any, wire: Wire) -> None:
        self._jobs = jobs
        self._wire = wire

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._jobs, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            return await self._wire.carry("kubernetes", name, lambda: method(*args, **kwargs))

        return call


def _dated(answer: Any, at: datetime) -> Any:
    match answer:
        case RunFact() | TaskFact():
            return replace(answer, occurred_at=at, observed_at=at)
        case RunChange() | TaskChange():
            return replace(answer, fact=_dated(answer.fact, at))
        case BackfillRun():
            return replace(answer, run=_dated(answer.run, at))
        case BackfillRunChange():
            return replace(answer, member=_dated(answer.member, at))
        case list() | tuple():
            return type(answer)(_dated(item, at) for item in answer)
        case _:
            return answer
