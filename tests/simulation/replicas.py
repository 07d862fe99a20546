from __future__ import annotations

import asyncio
import itertools

from mljob_operator.controllers.leadership import Term
from tests.fakes.leases import FakeLeases

from .candidates import Contender
from .process import Process
from .world import World


class Replica:
    """A replica of the operator, which competes for the operator's Lease.

    Attributes:
        contender: The :class:`.Contender`, which competes for the Lease.
        process: The :class:`.Process` with the operator's components while the replica is the
            leader, otherwise None.
    """

    def __init__(self, world: ReplicatedWorld) -> None:
        self._world = world
        self.process: Process | None = None
        self.contender = Contender(
            f"replica-{next(world.numbers)}", world.leases, world.network, world.loop.time, act=self._act
        )

    def kill(self) -> None:
        self.contender.kill()
        if self.process is not None:
            self.process.end()
        if self in self._world.replicas:
            self._world.replicas.remove(self)

    def terminate(self) -> None:
        self.contender.terminate()
        if self in self._world.replicas:
            self._world.replicas.remove(self)

    def pause(self, *, paused: bool) -> None:
        """Pause this replica (``paused=True``), or let the replica continue (``paused=False``).
        Unlike after SIGSTOP, a paused replica still runs code, but neither sends requests nor
        receives responses.
        """
        for wire in [self.contender.wire, *([self.process.wire] if self.process is not None else [])]:
            (wire.running.clear if paused else wire.running.set)()

    async def _act(self, term: Term, over: asyncio.Event) -> None:
        assert term.lease.holder is not None
        process = self.process = Process(self._world, term.lease.holder, gate=term)
        process.wire.cut = self.contender.wire.cut
        process.killed = self.kill
        self._world.processes.append(process)
        try:
            await over.wait()
            if not process.wire.dead:
                await process.leave()
                await self.contender.election.release(term)
        finally:
            self.process = None


class ReplicatedWorld(World):
    """A simulated world with replicas of one operator. Only the leader may change Airflow or
    Kubernetes.

    Attributes:
        replicas: The running replicas, oldest first.
        writers: The periods of leadership in which a replica changed Airflow or Kubernetes, oldest
            first. For example, ``replica-1.2`` is the second period of the first replica.
    """

    def __init__(self) -> None:
        self.leases = FakeLeases()
        self.replicas: list[Replica] = []
        self.writers: list[str] = []
        self.numbers = itertools.count(1)
        super().__init__()

    @property
    def leader(self) -> Replica:
        (leader,) = [replica for replica in self.replicas if replica.contender.leads]
        return leader

    @property
    def standby(self) -> Replica:
        return next(replica for replica in self.replicas if not replica.contender.leads)

    def start(self, *, beside: bool = False) -> None:
        if len(self.replicas) < 1 + beside:

            async def start() -> None:
                self.replicas.append(Replica(self))

            self.loop.run_until_complete(start())

    def kill(self, which: int = 0) -> None:
        if which < len(self.replicas):
            self.replicas[which].kill()
            self.run(0)

    def leave_one(self) -> None:
        """Kill the second replica if there are two replicas. Start a replica if there is none. Then
        connect the only replica to all servers, let this replica continue if it is paused, and
        assert that this replica is the leader 40 seconds later.
        """
        self.kill(1)
        self.start()
        replica = self.replicas[0]
        replica.contender.wire.cut.clear()
        replica.pause(paused=False)
        self.run(40)
        assert replica.process is not None, "the only replica has to lead"

    def close(self) -> None:
        while self.replicas:
            self.kill()
        super().close()

    def changed_by(self, process: str) -> None:
        """Record a change in Airflow or Kubernetes. Add an error to :attr:`broken` if ``process``
        made a change before, and another period of leadership has made a change in between.

        Args:
            process: The period of leadership in which the change was made. For example,
                ``replica-1.2`` is the second period of the first replica.
        """
        if self.writers[-1:] == [process]:
            return
        if process in self.writers:
            self._broken.append(f"{process} changes something after {self.writers[-1]} has taken over")
        self.writers.append(process)
