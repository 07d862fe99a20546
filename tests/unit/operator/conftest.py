from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Coroutine, Sequence
from datetime import datetime
from typing import Any

import pytest

from mljob_contract.airflow_instance import AccessRule
from mljob_contract.mljob import MLJobStatus
from mljob_operator.controllers.airflow_instance.registry import OwnAirflow
from mljob_operator.core.airflow_instance.credentials import Login
from mljob_operator.core.airflow_instance.instance import Instance
from mljob_operator.core.run.facts import RunFact, TaskFact
from mljob_operator.core.run.run_key import SETTINGS_AIRFLOW, Key, RunKey
from mljob_operator.ports import Tracer
from mljob_operator.sources.change_feed import ChangeFeedReader
from mljob_operator.wiring import Ports, wire
from tests.fakes.airflow import FakeAirflow, FakeUser
from tests.fakes.clock import FakeClock
from tests.fakes.crash import crash
from tests.fakes.instances import FakeInstances
from tests.fakes.meter import SilentMeter
from tests.fakes.operator import FakeOperator
from tests.fakes.settings import FixedSettings
from tests.fakes.source_changes import FakeSourceChanges
from tests.simulation.promises import GuardedJobs

KEY: Key = ("team-a", "churn")


class World:
    """An operator with fakes of Kubernetes and Airflow.

    Args:
        jobs: The store of the MLJobs. The default is a :class:`.GuardedJobs`, which checks each
            status that the operator writes.
    """

    has_own_airflow = True
    """Whether the operator's settings name an Airflow."""
    own_access: Sequence[AccessRule] | None = None
    """The access rules of the Airflow of the settings."""
    watches_namespaces = True
    """Whether the operator watches namespaces."""
    accepts_vanished_before: datetime | None = None
    """Runs that were submitted before this time count as lost if they are missing in the Airflow of
    the settings. None means that the settings contain no such time.
    """
    cancels_orphans = False
    """Whether the operator cancels orphaned runs."""
    namespaces: Sequence[str] = ()
    """The watched namespaces; empty for all."""
    brokers: str | None = "kafka:9092"
    """The brokers of Kafka, or None without Kafka. Tests deliver the events in both cases."""
    reserved: Sequence[str] = ()
    """Glob patterns of additional DAGs that no MLJob may run."""
    status_interval = 0.0
    """The shortest time in seconds between two patches of one status."""

    def __init__(self, jobs: Any = None) -> None:
        self.clock = FakeClock()
        self.airflow = FakeAirflow(self.clock)
        self.jobs = GuardedJobs() if jobs is None else jobs
        self.instance_objects = FakeInstances()
        self.instance_objects.labels["team-a"] = {"kubernetes.io/metadata.name": "team-a"}
        self.airflows: dict[str, FakeAirflow] = {}
        self.users: dict[str, FakeUser] = {}
        self.done: list[int] = []
        self.meter = SilentMeter()
        self.tracer: Tracer | None = None
        self.operator = FakeOperator()
        self.start()

    def start(self) -> None:
        own = (
            OwnAirflow(self.airflow, "http://airflow", self.own_access, self._log_in) if self.has_own_airflow else None
        )
        self.changes = FakeSourceChanges(self.jobs)
        ports = Ports(
            jobs=self.jobs,
            instances=self.instance_objects,
            operator=self.operator,
            changes=self.changes,
            own=own,
            connect=self._connect,
            subscribe=self._subscribe,
            clock=self.clock,
            meter=self.meter,
            tracer=self.tracer,
        )
        settings = FixedSettings(
            airflow_url="http://airflow" if self.has_own_airflow else None,
            airflow_token="token",
            airflow_instances=self.watches_namespaces,
            airflow_accept_vanished_runs_before=self.accepts_vanished_before,
            kafka_bootstrap_servers=self.brokers,
            namespaces=tuple(self.namespaces),
            orphaned_runs="Cancel" if self.cancels_orphans else "Report",
            reserved_dags=tuple(self.reserved),
            status_interval_seconds=self.status_interval,
        )
        self.duties: list[asyncio.Task[None]] = []
        self.parts = wire(settings, ports, run_in_background=self._do, process=secrets.token_hex(4))
        self.registry, self.instances, self.job_controller = (
            self.parts.airflows,
            self.parts.instances,
            self.parts.job_controller,
        )
        self.links, self.orphans = self.parts.links, self.parts.orphans
        self.resync = self.resync_of(SETTINGS_AIRFLOW)

    def resync_of(self, airflow: str) -> ChangeFeedReader:
        return ChangeFeedReader(
            airflow,
            self.registry,
            self.job_controller,
            self.clock,
            SilentMeter(),
            self.orphans,
            prefix="mljob",
            interval=5,
        )

    def _do(self, duty: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        self.duties.append(asyncio.create_task(duty, name=name))
        return self.duties[-1]

    def _subscribe(self, topic: str, link_changed: Any) -> Any:
        raise AssertionError("tests deliver the events")

    async def close(self) -> None:
        for duty in self.duties:
            duty.cancel()
        await asyncio.gather(*self.duties, return_exceptions=True)
        await self.parts.settle()
        await self.parts.close()

    def _connect(self, instance: Instance, login: Login) -> Any:
        airflow = self.airflows[instance.spec.url]
        if login.source != instance.spec.credentials.source:
            return self._log_in(login, airflow)
        assert login.password is not None
        airflow.locked = login.password.get_secret_value() != "right"
        return airflow

    def _log_in(self, login: Login, airflow: FakeAirflow | None = None) -> Any:
        """Return a :class:`.FakeUser`: a connection to the fake Airflow for the user of ``login``.
        Unless the password is ``right``, Airflow refuses all requests of this connection.
        """
        assert login.user is not None
        assert login.password is not None
        locked = login.password.get_secret_value() != "right"
        self.users[login.user] = FakeUser(airflow or self.airflow, locked=locked)
        return self.users[login.user]

    async def add_instance(
        self, name: str, *, default: bool = False, at: str = "2026-01-01T00:00:00Z", **spec: Any
    ) -> FakeAirflow:
        """Add an AirflowInstance, and return its fake Airflow. By default, every namespace has
        access.
        """
        spec = {"access": [{}], **spec}
        url = f"http://{name}:8080"
        self.airflows[url] = airflow = FakeAirflow(self.clock)
        self.instance_objects.secrets.setdefault(name, {"user": "mljob", "password": "right"})
        credentials = {"passwordSecretRef": {"name": name}}
        self.instance_objects.create(name, {"url": url, "credentials": credentials, **spec}, default=default, at=at)
        await self.see_all()
        await self.look_after(name)
        return airflow

    async def look_after(self, *names: str) -> None:
        """Reconcile the AirflowInstances ``names`` once."""
        for name in names:
            await self.instances.reconcile(name)
        await self.see_all()

    async def look_at_own_logins(self) -> None:
        if self.parts.own_logins is not None:
            await self.parts.own_logins.refresh()
        await self.settle()

    async def edit(self, key: tuple[str, str] = KEY, **spec: Any) -> None:
        self.jobs.edit(key, spec)
        await self.see_all()

    async def restart(self) -> None:
        crash(self.parts)
        self.start()
        for instance in await self.instance_objects.list():
            self.instances.observe(instance)
        await self.see_all()
        await self.look_after(*self.instance_objects.objects)
        await self.look_at_own_logins()
        await self.settle()

    async def see_all(self) -> None:
        """Show all AirflowInstances, namespaces and MLJobs to the operator, as the watches do."""
        for instance in await self.instance_objects.list():
            self.instances.observe(instance)
        for name, labels in self.instance_objects.labels.items():
            self.instances.observe_namespace(name, labels)
        async for job in self.jobs.list():
            if not self.job_controller.observe_known(job.key, job.uid, job.resource_version):
                self.job_controller.observe(job)
        await self.settle()

    def observe_deletion(self, key: Key, uid: str) -> None:
        """Report the deletion of an MLJob to the operator, as the watch does."""
        self.job_controller.observe_deletion(key, uid, resource_version="999999")

    async def apply(self, **spec: Any) -> None:
        self.jobs.create(KEY[1], {"dagId": "train", **spec}, at=self.clock().isoformat())
        await self.see_all()

    async def request_retry(self, value: str = "now") -> None:
        self.jobs.request_retry(KEY, value)
        await self.see_all()

    async def delete(self) -> None:
        self.jobs.user_deletes(KEY, self.clock())
        await self.see_all()

    async def tell(self, *facts: TaskFact | RunFact, run_id: str | None = None, dag_id: str = "train") -> None:
        """Deliver events about the run ``run_id`` of the DAG ``dag_id``. By default, the events are
        about the only run of the DAG.
        """
        run = RunKey(SETTINGS_AIRFLOW, dag_id, run_id or self.airflow.only_run(dag_id).run_id)
        for fact in facts:
            self.job_controller.observe_event(KEY, {run}, fact, lambda: self.done.append(1))
        await self.settle()

    async def look(self) -> None:
        """Let the operator request recent changes once, from the Airflow in the operator's
        settings.
        """
        await self.resync.pass_once()
        await self.settle()

    async def later(self, seconds: float) -> None:
        self.clock.tick(seconds)
        self.wake_all()
        await self.settle()

    def wake_all(self) -> None:
        """Let the operator reconcile all MLJobs that are unfinished, have new input, or wait for
        the end of their ttlSecondsAfterFinished.
        """
        workers = self.job_controller.workers
        for key in [*workers.tracked, *workers.expiring]:
            workers.wake(key)

    async def settle(self) -> None:
        """Wait until the operator has reconciled all MLJobs and recorded their Events."""
        await self.job_controller.idle()

    @property
    def status(self) -> MLJobStatus:
        return MLJobStatus.model_validate(self.jobs.objects[KEY].get("status", {}))

    @property
    def message(self) -> str:
        return self.status.message or ""

    @property
    def exists(self) -> bool:
        return KEY in self.jobs.objects

    @property
    def has_finalizer(self) -> bool:
        return bool(self.jobs.objects[KEY]["metadata"].get("finalizers"))

    def condition(self, kind: str) -> str | None:
        return next((str(c.status) for c in self.status.conditions or () if c.type == kind), None)

    @property
    def event_reasons(self) -> list[str]:
        return [notice.reason for _, notice in self.jobs.kube_events]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    yield world
    await world.job_controller.close()
    assert not world.jobs.broken
