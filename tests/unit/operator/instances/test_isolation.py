"""No Airflow is in the way of another."""

from __future__ import annotations

import asyncio
from typing import Any

from mljob_contract.mljob import Phase
from mljob_operator.core.phases import RunState, TaskState
from mljob_operator.readers import Readers
from tests.fakes.airflow import FakeAirflow
from tests.fakes.meter import SilentMeter
from tests.unit.operator.conftest import KEY

from .conftest import Platform, limited, until


class Stuck(FakeAirflow):
    """An Airflow that takes every request and answers none."""

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if not asyncio.iscoroutinefunction(found) or name == "close":
            return found

        async def never(*_: Any, **__: Any) -> None:
            await asyncio.Event().wait()

        return never


async def test_one_that_answers_nothing_slows_nobody_else() -> None:
    world = Platform()
    world.prod = await world.add_instance("prod")
    duties: list[asyncio.Task[None]] = []

    def do(duty: Any, name: str) -> asyncio.Task[None]:
        duties.append(asyncio.create_task(duty, name=name))
        return duties[-1]

    readers = Readers(
        world.instances, world.queue, world.clock, SilentMeter(), subscribe=None, do=do, prefix="mljob", interval=0.02
    )
    world.airflows["http://stuck:8080"] = Stuck(world.clock)
    world.instance_objects.secrets["stuck"] = {"user": "mljob", "password": "right"}
    credentials = {"passwordSecretRef": {"name": "stuck"}}
    world.instance_objects.create("stuck", {"url": "http://stuck:8080", "credentials": credentials})
    world.instances.observe(world.instance_objects.get("stuck"))
    readers.follow()
    world.instances.start()
    for name in ("stuck", "prod"):
        world.jobs.create(f"in-{name}", {"dagId": "train", "airflowRef": {"name": name}})
    async for job in world.jobs.list():
        world.queue.observe(job)
    await until(lambda: bool(world.prod.runs))
    run = world.prod.only_run()
    for task_id, _ in list(run.tasks):
        world.prod.set_task(run, task_id, TaskState.SUCCESS)
    world.prod.end(run, RunState.SUCCESS)
    await until(lambda: world.status_of("in-prod").phase is Phase.SUCCEEDED)
    assert world.status_of("in-stuck").reason == "AirflowInstanceNotReady"
    for task in duties:
        task.cancel()
    await asyncio.gather(*duties, return_exceptions=True)
    await world.instances.close()
    await world.queue.close()


async def test_what_concerns_one_airflow_wakes_nobody_in_another(world: Platform) -> None:
    """Nor does it wake runs in progress: an Airflow that comes and goes may have thousands of them."""
    await limited(world, 3, limit=1)
    world.staging.down = True
    await world.look_after("staging")
    await world.run_in("staging")
    world.jobs.create("runs", {"dagId": "train", "airflowRef": {"name": "prod"}})
    await world.see_all()
    woken = []
    world.queue._wake = lambda key: woken.append(key[1])  # type: ignore[method-assign]
    world.staging.down = False
    await world.instances.look("staging")
    assert woken == [KEY[1]]
