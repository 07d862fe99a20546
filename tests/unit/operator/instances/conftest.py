from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

from mljob_contract.airflow_instance import AirflowInstanceStatus
from mljob_contract.mljob import MLJobStatus, Phase
from mljob_operator.core.run.states import RunState, TaskState
from mljob_operator.sources.supervisor import SourceSupervisor
from tests.fakes.airflow import FakeAirflow
from tests.fakes.meter import SilentMeter
from tests.unit.operator.conftest import World


class Platform(World):
    """An operator with the AirflowInstances prod and staging. The operator's settings name no
    Airflow.
    """

    has_own_airflow = False

    async def set_up(self) -> None:
        self.prod = await self.add_instance("prod")
        self.staging = await self.add_instance("staging")

    async def run_in(self, name: str, **spec: Any) -> None:
        await self.apply(airflowRef={"name": name}, **spec)

    async def many(self, count: int, **spec: Any) -> None:
        for number in range(count):
            self.jobs.create(f"job-{number}", {"dagId": "train", **spec}, at=f"2026-01-01T00:00:{number:02}Z")
        await self.see_all()

    def status_of(self, name: str) -> MLJobStatus:
        return MLJobStatus.model_validate(self.jobs.objects["team-a", name].get("status", {}))

    def instance(self, name: str) -> AirflowInstanceStatus:
        return self.instance_objects.get(name).status

    def instance_says(self, name: str, kind: str = "Ready") -> tuple[str, str, str]:
        found = next(found for found in self.instance(name).conditions or () if found.type == kind)
        return str(found.status), found.reason, found.message

    @property
    def says(self) -> tuple[Phase | None, str | None]:
        return self.status.phase, self.status.reason

    async def end(self, airflow: FakeAirflow, state: RunState = RunState.SUCCESS) -> None:
        """End the only active run in ``airflow``, and read the changes of all Airflows."""
        (run,) = [run for run in airflow.runs.values() if run.state in (RunState.QUEUED, RunState.RUNNING)]
        for task_id, _ in list(run.tasks):
            airflow.set_task(run, task_id, TaskState.SUCCESS if state is RunState.SUCCESS else TaskState.FAILED)
        airflow.end(run, state)
        await self.look_everywhere()

    def supervisor(
        self,
        run_in_background: Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]],
        subscribe: Callable[[str], Any] | None = None,
        **settings: Any,
    ) -> SourceSupervisor:
        """Return a new :class:`SourceSupervisor`, which reads the changes of runs in all Airflows
        and the Kafka topics of all Airflows. Without ``subscribe``, the supervisor reads no topics.
        """
        return SourceSupervisor(
            self.registry,
            self.job_controller,
            self.clock,
            SilentMeter(),
            self.orphans,
            subscribe=subscribe,
            run_in_background=run_in_background,
            prefix="mljob",
            **{"interval": 1, **settings},
        )

    async def look_everywhere(self) -> None:
        for name in self.registry.names():
            await self.resync_of(name).pass_once()
            await self.settle()


@pytest.fixture
async def world() -> AsyncIterator[Platform]:
    world = Platform()
    await world.set_up()
    yield world
    await world.job_controller.close()


async def limited(world: Platform, count: int, limit: int = 2, **spec: Any) -> None:
    world.instance_objects.edit("prod", {"maxActiveRuns": limit})
    await world.see_all()
    await world.many(count, airflowRef={"name": "prod"}, cancellation={"strategy": "Api"}, **spec)
