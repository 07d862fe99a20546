from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from tests.fakes.leases import FakeLeases
from tests.simulation.candidates import Contender
from tests.simulation.network import Network, Stray
from tests.simulation.virtual_time import VirtualLoop


class Election:
    """Processes that compete for Leases, in virtual time.

    Attributes:
        split: A text for each check that found more than one leader. :meth:`run` checks every 0.1
            seconds.
    """

    def __init__(self) -> None:
        self.loop = VirtualLoop()
        self.leases = FakeLeases()
        self.network = Network()
        self.contenders: list[Contender] = []
        self.split: list[str] = []

    @property
    def now(self) -> float:
        return self.loop.time()

    def start(self, lease: str = "mljob-operator", **given: Any) -> Contender:
        async def start() -> Contender:
            name = f"pod-{len(self.contenders) + 1}"
            return Contender(name, self.leases, self.network, self.loop.time, lease=lease, **given)

        contender = self.loop.run_until_complete(start())
        self.contenders.append(contender)
        return contender

    @property
    def leaders(self) -> list[Contender]:
        return [contender for contender in self.contenders if contender.leads]

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds * 10)):
            self.loop.run_until_complete(asyncio.sleep(0.1))
            if len(self.leaders) > 1:
                self.split.append(f"{self.now:.1f} s: {', '.join(leader.name for leader in self.leaders)}")

    def seconds_until_leads(self, *contenders: Contender) -> float:
        began = self.now
        while not any(contender.leads for contender in contenders):
            assert self.now < began + 60, "no process leads"
            self.run(0.1)
        return self.now - began

    def land(self, stray: Stray) -> None:
        """Let a delayed request reach the Kubernetes API. The sender does not get the answer."""

        async def land() -> None:
            try:
                await stray.effect()
            except Exception:
                return

        self.loop.run_until_complete(land())

    def close(self) -> None:
        for contender in self.contenders:
            contender.kill()
        while tasks := asyncio.all_tasks(self.loop):
            for task in tasks:
                task.cancel()
            self.loop.run_until_complete(asyncio.wait(tasks, timeout=1))
        self.loop.close()


@pytest.fixture
def election() -> Iterator[Election]:
    election = Election()
    yield election
    assert election.split == []
    election.close()
