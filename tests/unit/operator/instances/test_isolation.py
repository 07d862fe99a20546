"""A failure of one Airflow does not affect MLJobs in other Airflows."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from mljob_contract.mljob import Phase
from mljob_operator.adapters.airflow.client import Airflow
from mljob_operator.controllers.mljob.steps import Steps
from mljob_operator.controllers.mljob.worker_state import WorkerState
from mljob_operator.core.airflow_instance.credentials import Login
from mljob_operator.core.airflow_instance.instance import Instance
from mljob_operator.core.run.run_key import Key
from mljob_operator.core.run.states import RunState, TaskState
from tests.fakes import logins
from tests.fakes.airflow import FakeAirflow
from tests.fakes.leases import OpenGate
from tests.fakes.meter import SilentMeter
from tests.live.eventually import until
from tests.scripted_airflow import Says, ScriptedAirflow
from tests.unit.operator.conftest import KEY

from .conftest import Platform, limited


class Stuck(FakeAirflow):
    """A fake Airflow that never answers."""

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if not asyncio.iscoroutinefunction(found) or name == "close":
            return found

        async def never(*_: Any, **__: Any) -> None:
            await asyncio.Event().wait()

        return never


class Duties:
    def __init__(self) -> None:
        self.tasks: list[asyncio.Task[None]] = []

    def begin(self, duty: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        self.tasks.append(asyncio.create_task(duty, name=name))
        return self.tasks[-1]

    async def end(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


async def test_unresponsive_airflow_does_not_slow_down_the_others() -> None:
    world = Platform()
    world.prod = await world.add_instance("prod")
    duties = Duties()
    readers = world.supervisor(duties.begin, interval=0.02)
    world.airflows["http://stuck:8080"] = Stuck(world.clock)
    world.instance_objects.secrets["stuck"] = {"user": "mljob", "password": "right"}
    credentials = {"passwordSecretRef": {"name": "stuck"}}
    world.instance_objects.create("stuck", {"url": "http://stuck:8080", "credentials": credentials, "access": [{}]})
    world.instances.observe(world.instance_objects.get("stuck"))
    readers.start()
    world.instances.start()
    for name in ("stuck", "prod"):
        world.jobs.create(f"in-{name}", {"dagId": "train", "airflowRef": {"name": name}})
    async for job in world.jobs.list():
        world.job_controller.observe(job)
    await until(lambda: bool(world.prod.runs))
    run = world.prod.only_run()
    for task_id, _ in list(run.tasks):
        world.prod.set_task(run, task_id, TaskState.SUCCESS)
    world.prod.end(run, RunState.SUCCESS)
    await until(lambda: world.status_of("in-prod").phase is Phase.SUCCEEDED)
    assert world.status_of("in-stuck").reason == "AirflowInstanceNotReady"
    await duties.end()
    await world.close()


class WithARealOne(Platform):
    """A :class:`.Platform` in which the AirflowInstance with the URL of ``server`` uses the real
    Airflow adapter. All other AirflowInstances use fake Airflows.
    """

    def __init__(self, server: ScriptedAirflow) -> None:
        super().__init__()
        self._server = server

    def _connect(self, instance: Instance, login: Login) -> Any:
        if instance.spec.url != self._server.url:
            return super()._connect(instance, login)
        return Airflow(
            instance.name,
            instance.spec.url,
            SilentMeter(),
            logins.login(token="a-token"),
            prefix="mljob",
            cancel_dag_id="c",
            gate=OpenGate(),
        )


class Broken(FakeAirflow):
    """A fake Airflow in which the request for changed runs raises a KeyError. A defect of the
    operator's Airflow adapter could raise such an error.
    """

    async def changed_runs(self, since: Any) -> Any:
        raise KeyError("version")


@pytest.mark.parametrize(
    ("answer", "reason", "says"),
    [
        (Says(200, "{}"), "NotAirflow", "version is missing"),
        (Says(200, "<html>Sign in</html>", "text/html"), "Unreachable", "and not with JSON"),
        (Says(302, "", "", {"Location": "https://login.example/"}), "Unreachable", "a redirect to login.example"),
        (Says(404, "404 page not found", "text/plain"), "Unreachable", "answered 404"),
    ],
)
async def test_server_that_is_not_an_airflow_is_not_ready_and_stops_nothing(
    answer: Says, reason: str, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    server = ScriptedAirflow()
    server.everything = answer
    world = WithARealOne(server)
    world.prod = await world.add_instance("prod")
    duties = Duties()
    readers = world.supervisor(duties.begin, interval=0.02)
    world.instance_objects.secrets["none"] = {"user": "mljob", "password": "right"}
    spec = {"url": server.url, "credentials": {"passwordSecretRef": {"name": "none"}}}
    world.instance_objects.create("none", spec)
    world.instances.observe(world.instance_objects.get("none"))
    world.instances.start()
    await until(lambda: "none" in world.registry.names())
    readers.start()
    await until(lambda: "the change feed can't be read" in caplog.text)
    await until(lambda: world.instance("none").conditions is not None)
    status, found, message = world.instance_says("none")
    assert (status, found) == ("False", reason)
    assert says in message
    assert len(duties.tasks) == 2
    assert not any(duty.done() for duty in duties.tasks)
    world.jobs.create("in-prod", {"dagId": "train", "airflowRef": {"name": "prod"}})
    async for job in world.jobs.list():
        world.job_controller.observe(job)
    await until(lambda: bool(world.prod.runs))
    await duties.end()
    await world.close()
    server.close()


async def test_defect_in_reading_a_change_feed_is_logged_once_and_retried(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = Platform()
    await world.add_instance("prod")
    world.airflows["http://prod:8080"].__class__ = Broken
    resync = world.resync_of("prod")
    delays = [(await resync.guarded_pass())[0] for _ in range(8)]
    assert delays[0] == 5
    assert 40 < delays[-1] <= 60
    assert [record.getMessage() for record in caplog.records if record.levelname in ("WARNING", "ERROR")] == [
        "AirflowInstance prod: unexpected error",
        "AirflowInstance prod: the change feed can't be read; until it can, statuses come only from events in Kafka, if there are any: unexpected error",
    ]
    world.airflows["http://prod:8080"].__class__ = FakeAirflow
    assert (await resync.guarded_pass())[0] == 5
    await world.job_controller.close()


async def test_change_of_one_airflow_wakes_no_mljob_of_another(
    world: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    await limited(world, 3, limit=1)
    world.staging.down = True
    await world.look_after("staging")
    await world.run_in("staging")
    world.jobs.create("runs", {"dagId": "train", "airflowRef": {"name": "prod"}})
    await world.see_all()
    woken = set()

    async def take(_steps: Steps, key: Key, _worker: WorkerState) -> None:
        woken.add(key[1])

    monkeypatch.setattr(Steps, "take", take)
    world.staging.down = False
    await world.instances.reconcile("staging")
    await world.settle()
    assert woken == {KEY[1]}
