"""Lets this process take part in the leader election."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from .leadership import Election, Term

T = TypeVar("T")

Act = Callable[[Term, asyncio.Event], Awaitable[None]]
"""A function that acts in a term until the event is set. The event means that the term is over, or
that the process has to end. The function then stops acting, calls :meth:`.Election.release`, and
cleans up.
"""


class Candidate:
    """Lets this process take part in the leader election.

    Args:
        election: The election.
        stop: Set when the process has to end.
        act: Does the leader's work during one term. A term is a period in which this process is the
            leader.
    """

    def __init__(self, election: Election, stop: asyncio.Event, act: Act) -> None:
        self._election = election
        self._stop = stop
        self._act = act

    async def run(self) -> None:
        """Compete for leadership until the stop event is set. In each term, wait for
        :meth:`.Election.begin`, and then call ``act``. If the term ends during this wait, ``act``
        is not called.

        Raises:
            CannotStart: This operator and another running operator claim the same MLJobs, dag run
                ids or Kafka consumer group (:class:`.Claims`), and the other operator has
                precedence (:meth:`.Election.begin`).
        """
        stopping = asyncio.create_task(self._stop.wait(), name="told to end")
        try:
            await _before(self._election.refuse_rivals(), stopping)
            while not self._stop.is_set():
                term = await _before(self._election.lead(), stopping)
                if term is not None:
                    await self._serve(term, stopping)
        finally:
            stopping.cancel()

    async def _serve(self, term: Term, stopping: asyncio.Task[Any]) -> None:
        holding = asyncio.create_task(self._election.hold(term), name="lease")
        over = asyncio.Event()
        for end in (holding, stopping):
            end.add_done_callback(lambda _: over.set())
        try:
            await _before(self._election.begin(term), stopping, holding)
            if term.acts and not over.is_set():
                await self._act(term, over)
        finally:
            await self._election.release(term)
            holding.cancel()
            await asyncio.gather(holding, return_exceptions=True)


async def _before(work: Coroutine[Any, Any, T], *ends: asyncio.Task[Any]) -> T | None:
    """Return the result of ``work``. If a task in ``ends`` is done first, cancel ``work`` and
    return None.
    """
    working = asyncio.create_task(work)
    try:
        await asyncio.wait({working, *ends}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        working.cancel()
        await asyncio.wait({working})
    return None if working.cancelled() else working.result()
