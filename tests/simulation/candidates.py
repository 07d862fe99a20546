from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

from mljob_operator.controllers.candidate import Act, Candidate
from mljob_operator.controllers.leadership import Election, Term
from mljob_operator.core.leadership.claims import Claims
from mljob_operator.errors import CannotStart, NotLeading
from tests.fakes.leases import FakeLeases
from tests.fakes.meter import SilentMeter

from .network import Network, Wire, WiredJobs


def claims(prefix: str = "mljob", **claimed: Any) -> Claims:
    return Claims(run_id_prefix=prefix, group_id=prefix, **claimed)


class Contender:
    """A process that competes for the operator's Lease.

    Args:
        time: Returns the virtual time in seconds.
        claimed: The run id prefix, the consumer group and the MLJobs that the process claims in the
            Lease. By default the result of :func:`claims`.
        lease: The name of the operator's Lease.
        act: Called at the start of each term (period as leader). By default, the process waits for
            the end of the term.

    Attributes:
        refused: The message of the error that has ended the process, or None.
        terms: The terms of this process as leader, oldest first.
    """

    def __init__(
        self,
        name: str,
        leases: FakeLeases,
        network: Network,
        time: Callable[[], float],
        *,
        claimed: Claims | None = None,
        lease: str = "mljob-operator",
        act: Act | None = None,
    ) -> None:
        self.name = name
        self.wire = Wire(network, lambda: None, self.kill)
        self.meter = SilentMeter()
        self.refused: str | None = None
        self.terms: list[Term] = []
        numbers = itertools.count(1)
        self.election = Election(
            WiredJobs(leases.of(lease), self.wire),
            claimed or claims(),
            self.meter,
            name=lambda: f"{name}.{next(numbers)}",
            seconds=leases.seconds,
            clock=time,
        )
        self._given_act = act
        self._stop = asyncio.Event()
        self._running = asyncio.create_task(self._run(), name=name)

    @property
    def leads(self) -> bool:
        if not self.terms or self.wire.dead:
            return False
        try:
            self.terms[-1].check()
        except NotLeading:
            return False
        return True

    @property
    def runs(self) -> bool:
        return not (self._running.done() or self._stop.is_set() or self.wire.dead)

    def kill(self) -> None:
        self.wire.dead = True
        self._running.cancel()

    def terminate(self) -> None:
        self._stop.set()

    async def _run(self) -> None:
        try:
            await Candidate(self.election, self._stop, self._act).run()
        except CannotStart as error:
            self.refused = str(error)

    async def _act(self, term: Term, over: asyncio.Event) -> None:
        self.terms.append(term)
        if self._given_act is not None:
            await self._given_act(term, over)
        else:
            await over.wait()
