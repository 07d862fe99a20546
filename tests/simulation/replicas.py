"""A simulated world in which the operator has replicas. The replicas compete for the operator's
Lease, and only the leader acts.
"""

from __future__ import annotations

import asyncio
import itertools

from mljob_operator.controllers.leadership import Term
from tests.fakes.leases import FakeLeases

from .candidates import Contender
from .world import Process, World


class Replica:
    """A replica of the operator: a process that competes for the operator's Lease, and runs the
    operator's components while the process is the leader.

    Attributes:
        contender: The part that competes for the Lease.
        process: The operator's components, or None while the replica stands by.
    """

    def __init__(self, world: ReplicatedWorld) -> None:
        self._world = world
        self.process: Process | None = None
        self.contender = Contender(
            f"replica-{next(world.numbers)}", world.leases, world.network, world.loop.time, act=self._act
        )

    def kill(self) -> None:
        """End the process at once, as SIGKILL does."""
        self.contender.kill()
        if self.process is not None:
            self.process.end()
        if self in self._world.replicas:
            self._world.replicas.remove(self)

    def terminate(self) -> None:
        """Let the process end gracefully, as SIGTERM does."""
        self.contender.terminate()
        if self in self._world.replicas:
            self._world.replicas.remove(self)

    def pause(self, *, paused: bool) -> None:
        """Pause or continue the process, similar to SIGSTOP and SIGCONT. While the process is
        paused, :meth:`.Wire.carry` sends no requests of the process and returns no responses. Code
        of the process that needs no response still runs.
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
    """A simulated world in which all operator processes are replicas of one operator. Only the
    leader acts. A term is a period in which one replica is the leader.

    Attributes:
        leases: The Leases of the operator's namespace.
        replicas: The replicas that run, oldest first.
        writers: The names of the terms in which something was changed, in order. The name of a term
            is the holder in the Lease, such as ``replica-1.2`` for the second term of a replica.
    """

    def __init__(self) -> None:
        self.leases = FakeLeases()
        self.replicas: list[Replica] = []
        self.writers: list[str] = []
        self.numbers = itertools.count(1)
        super().__init__()

    @property
    def leader(self) -> Replica:
        """The replica that is the leader. There must be exactly one leader."""
        (leader,) = [replica for replica in self.replicas if replica.contender.leads]
        return leader

    @property
    def standby(self) -> Replica:
        """The oldest replica that is not the leader. There must be such a replica."""
        return next(replica for replica in self.replicas if not replica.contender.leads)

    def start(self, *, beside: bool = False) -> None:
        """Start a replica if no replica runs. With ``beside``, also start a replica if exactly one
        replica runs.
        """
        if len(self.replicas) < 1 + beside:

            async def start() -> None:
                self.replicas.append(Replica(self))

            self.loop.run_until_complete(start())

    def kill(self, which: int = 0) -> None:
        """Kill the replica at the index ``which`` of ``replicas``, as SIGKILL does. Do nothing if
        no replica has this index.
        """
        if which < len(self.replicas):
            self.replicas[which].kill()
            self.run(0)

    def leave_one(self) -> None:
        """Kill the second replica if there is one, and start a replica if none runs. Connect the
        only replica to all servers, and let it continue if it is paused. Let 40 s pass, and assert
        that the replica is then the leader.
        """
        self.kill(1)
        self.start()
        replica = self.replicas[0]
        replica.contender.wire.cut.clear()
        replica.pause(paused=False)
        self.run(40)
        assert replica.process is not None, "the only replica has to lead"

    def close(self) -> None:
        """Kill all replicas, and close the event loop."""
        while self.replicas:
            self.kill()
        super().close()

    def changed_by(self, process: str) -> None:
        """Record that the leader of a term has changed something in Airflow or Kubernetes. If the
        leader of a later term has already changed something, record a violation, because a leader
        must not change anything after the end of its term.

        Args:
            process: The name of the term, as in ``writers``.
        """
        if self.writers[-1:] == [process]:
            return
        if process in self.writers:
            self._broken.append(f"{process} changes something after {self.writers[-1]} has taken over")
        self.writers.append(process)
