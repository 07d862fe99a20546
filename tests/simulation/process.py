"""An operator process of the simulation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from mljob_contract.airflow_instance import AccessRule
from mljob_operator.controllers.airflow_instance.registry import OwnAirflow
from mljob_operator.core.airflow_instance.credentials import Login
from mljob_operator.core.airflow_instance.instance import Instance
from mljob_operator.core.mljob.resource.job import Job
from mljob_operator.errors import StoreError
from mljob_operator.ports import Gate
from mljob_operator.wiring import Ports, wire
from tests.fakes.crash import crash
from tests.fakes.meter import SilentMeter
from tests.fakes.settings import FixedSettings
from tests.fakes.source_changes import FakeSourceChanges

from .network import Wire, WiredAirflow, WiredJobs
from .topic import Reader

if TYPE_CHECKING:
    from .world import World


class Process:
    """One operator process: the operator's real components, connected to fakes.

    Args:
        name: The name of the process. In a :class:`.ReplicatedWorld`, a process is one period of
            leadership of a replica, and has a name such as ``replica-1.2``.
        gate: Refuses changes while the process is not the leader. None allows all changes.

    Attributes:
        killed: A function that :meth:`end` calls last.
    """

    def __init__(self, world: World, name: str, gate: Gate | None = None) -> None:
        self.world = world
        self.wire = Wire(world.network, world.look, self.end, gate=gate, changed=lambda: world.changed_by(name))
        self.airflow = WiredAirflow(world.airflow, self.wire, world.clock, world.airflow_clock)
        self.jobs = WiredJobs(world.cluster, self.wire)
        self.watching = True
        self.killed: Callable[[], None] = lambda: None
        self.reader = Reader(world.topic, self.wire)
        self._instance_objects: Any = WiredJobs(world.instance_objects, self.wire)
        ports = Ports(
            jobs=self.jobs,
            instances=self._instance_objects,
            operator=world.operator,
            changes=FakeSourceChanges(world.cluster),
            # Every namespace may use this Airflow, even while an AirflowInstance exists.
            own=OwnAirflow(self.airflow, "http://airflow", access=[AccessRule()]),
            connect=self._connect,
            subscribe=lambda _topic, _linked: self.reader,
            clock=world.clock,
            meter=SilentMeter(),
        )
        settings = FixedSettings(
            events_topic=world.topic.name, kafka_bootstrap_servers="kafka:9092", orphaned_runs="Cancel"
        )
        self.parts = wire(settings, ports, run_in_background=self.do, process=name)
        self.instances, self.job_controller = self.parts.instances, self.parts.job_controller
        self._seen = world.cluster.watchable
        self._news = asyncio.Event()
        self._duties: list[asyncio.Task[None]] = []
        self.do(self._start(), "start")

    def do(self, duty: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run a coroutine until the process ends, as a task of this name."""
        task = asyncio.create_task(duty, name=name)
        self._duties.append(task)
        return task

    def _connect(self, instance: Instance, _: Login) -> Any:
        return WiredAirflow(self.world.airflows[instance.name], self.wire, self.world.clock, self.world.airflow_clock)

    async def _start(self) -> None:
        while True:
            try:
                instances = await self._instance_objects.list()
                jobs = await self.jobs.everything()
                break
            except StoreError:
                await asyncio.sleep(1)
        for instance in instances:
            self.instances.observe(instance)
        for job in jobs:
            self.job_controller.observe(job)
        self.parts.start()
        self.do(self._watch(), "watch")
        self.do(self._watch_instances(), "watch AirflowInstances")

    async def _watch(self) -> None:
        changes = self.world.cluster.changes
        while True:
            await self._news.wait()
            self._news.clear()
            await asyncio.sleep(self.world.watch_takes)
            connected = self.watching and not self.wire.is_down("kubernetes")
            while connected and self._seen < self.world.cluster.watchable:
                kind, body = changes[self._seen]
                self._seen += 1
                job = Job.from_object(deepcopy(body))
                if kind == "DELETED":
                    self.job_controller.observe_deletion(job.key, job.uid, job.resource_version)
                elif not self.job_controller.observe_known(job.key, job.uid, job.resource_version):
                    self.job_controller.observe(job)

    async def _watch_instances(self) -> None:
        there: dict[str, Instance] = {}
        while True:
            await asyncio.sleep(0.5)
            if self.wire.is_down("kubernetes"):
                continue
            objects = self.world.instance_objects
            now = {name: objects.get(name, there.get(name)) for name in objects.objects}
            for name, instance in there.items():
                if name not in now or now[name].uid != instance.uid:
                    self.instances.observe_deletion(name, instance.uid)
            for instance in now.values():
                self.instances.observe(instance)
            there = now

    def look(self) -> None:
        self._news.set()
        self.reader.news.set()

    def list_again(self) -> None:
        """Start the watch of MLJobs again with a list. The list doesn't report deleted MLJobs."""
        self._seen = self.world.cluster.watchable
        self.watching = True
        for body in self.world.cluster.readable.values():
            self.job_controller.observe(Job.from_object(deepcopy(body)))

    async def leave(self) -> None:
        """End the process gracefully, as SIGTERM does."""
        self.parts.job_controller.workers.stop()
        for task in self._duties:
            task.cancel()
        await self.parts.settle()
        self.reader.leave()
        self.world.processes.remove(self)

    def end(self) -> None:
        """End the process at once, as SIGKILL does."""
        if self.wire.dead and self not in self.world.processes:
            return
        self.wire.dead = True
        for task in self._duties:
            task.cancel()
        crash(self.parts)
        self.reader.leave()
        self.world.processes.remove(self)
        self.killed()
