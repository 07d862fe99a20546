"""Writes of the status: few, never over another writer's change, and before an event is
acknowledged.
"""

from __future__ import annotations

import asyncio

import pytest

from mljob_operator.core.run.run_key import SETTINGS_AIRFLOW, RunKey
from mljob_operator.core.run.states import TaskState
from mljob_operator.core.status.news import REFINEMENT_WAITS
from mljob_operator.errors import StoreUnavailable
from tests.strategies import event

from .conftest import KEY, World


async def test_burst_of_events_causes_one_patch(world: World) -> None:
    await world.apply()
    await world.look()
    before = len(world.jobs.patches)
    await world.tell(*(event("fit", TaskState.RUNNING, map_index=i) for i in range(50)))
    assert len(world.jobs.patches) <= before + 2
    assert len(world.done) == 50


async def test_repeated_event_causes_no_patch(world: World) -> None:
    await world.apply()
    await world.look()
    run = world.airflow.only_run()
    world.airflow.begin(run)
    world.airflow.set_task(run, "extract", TaskState.RUNNING)
    await world.tell(event("extract", TaskState.RUNNING))
    await world.look()
    await world.later(REFINEMENT_WAITS.total_seconds())
    before = len(world.jobs.patches)
    await world.tell(event("extract", TaskState.RUNNING))
    world.clock.tick(5)
    await world.look()
    await world.see_all()
    assert len(world.jobs.patches) == before
    assert len(world.done) == 2


class TestWriting:
    """One writer with optimistic locking, which acknowledges nothing before it is stored."""

    async def test_conflicting_write_is_retried(self, world: World) -> None:
        await world.apply()
        await world.look()
        world.jobs.overtake = 2
        await world.tell(event("extract", TaskState.RUNNING))
        assert world.status.current_task == "extract"
        assert world.done == [1]

    async def test_event_is_not_acknowledged_before_its_status_is_stored(
        self, world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr("mljob_operator.controllers.mljob.steps.backoff", lambda *_: 0.01)
        await world.apply()
        await world.look()
        world.jobs.fail = StoreUnavailable("etcd is away")
        world.job_controller.observe_event(
            KEY,
            {RunKey(SETTINGS_AIRFLOW, "train", world.airflow.only_run().run_id)},
            event("extract", TaskState.RUNNING),
            lambda: world.done.append(1),
        )
        while sum("etcd is away" in record.message for record in caplog.records) < 2:
            assert world.job_controller.tasks
            await asyncio.sleep(0)
        assert world.done == []
        world.jobs.fail = None
        await world.settle()
        assert world.done == [1]
        assert world.status.current_task == "extract"
