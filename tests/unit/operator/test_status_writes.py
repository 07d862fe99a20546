from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from mljob_operator.core.mljob.resource.job import Job
from mljob_operator.core.run.run_key import SETTINGS_AIRFLOW, RunKey
from mljob_operator.core.run.states import RunState, TaskState
from mljob_operator.core.status.significance import REFINEMENT_WAITS
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

    async def test_end_that_another_process_has_written_stays_when_a_patch_gets_no_answer(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("mljob_operator.controllers.mljob.steps.backoff", lambda *_: 0.01)
        await world.apply()
        await world.look()
        ended = {"phase": "Failed", "reason": "TaskFailed", "message": "Task extract failed."}
        tasks = [{"taskId": "extract", "state": "failed", "tryNumber": 1}]
        run = world.airflow.only_run()
        world.airflow.set_task(run, "extract", TaskState.FAILED)
        world.airflow.end(run, RunState.FAILED)

        def another_process_is_faster(_: Mapping[str, Any]) -> bool:
            world.jobs.refuse = None
            world.jobs.patch_status(KEY, ended | {"tasks": tasks})
            world.job_controller.observe(Job.from_object(world.jobs.body(KEY)))
            raise StoreUnavailable("the connection is lost")

        world.jobs.refuse = another_process_is_faster
        await world.tell(event("extract", TaskState.RUNNING))
        status = world.jobs.body(KEY)["status"]
        assert {name: status[name] for name in ended} == ended
        later = [patch["tasks"] for patch in world.jobs.patches if patch.get("tasks")]
        states = [task["state"] for listed in later for task in listed if task["taskId"] == "extract"]
        assert set(states[states.index("failed") :]) == {"failed"}
