"""An MLJob doesn't match the schema."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from mljob_contract.mljob import Phase
from mljob_operator.controllers.mljob.classifier import Classifier
from mljob_operator.core.run.run_key import SETTINGS_AIRFLOW, RunKey
from mljob_operator.core.run.states import RunState, TaskState
from tests.deep import nested
from tests.strategies import event

from .conftest import KEY, World
from .runs import active, begin, edit, end, newest, runs

DEEP = {"dagId": "train", "conf": nested(300)}
MISFITS: dict[str, tuple[dict[str, Any], str]] = {
    "a conf of 300 levels": (DEEP, "spec.conf is nested 300 levels deep, over the limit of 32"),
    "a conf of 1 MiB": ({"dagId": "train", "conf": {"a": "x" * 2**20}}, "spec.conf takes 1048584 bytes as JSON"),
    "the year 0": (
        {
            "dagId": "days",
            "type": "Backfill",
            "backfill": {"from": "0000-01-01T00:00:00Z", "to": "2026-01-01T00:00:00Z"},
        },
        "spec.backfill.from: Input should be a valid datetime, year 0 is out of range, not '0000-01-01T00:00:00Z'",
    ),
    "no DAG": ({}, "spec.dagId is missing"),
    "a backfill of nothing": ({"dagId": "days", "type": "Backfill"}, "spec.backfill is required for type Backfill"),
    "a reference to nothing": (
        {"dagId": "train", "confFrom": [{}]},
        "set exactly one of configMapRef, secretRef and outputsRef",
    ),
    "a field of a later version": ({"dagId": "train", "runPolicy": "Sometimes"}, "spec.runPolicy: Input should be"),
}


@pytest.fixture(autouse=True)
def nothing_unexpected(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert [record.message for record in caplog.records if record.levelno >= logging.ERROR] == []


@pytest.mark.parametrize("what", MISFITS)
class TestCreated:
    async def test_status_says_once_which_field_is_invalid(self, world: World, what: str) -> None:
        spec, says = MISFITS[what]
        world.jobs.create("churn", spec)
        await world.see_all()
        assert (world.status.phase, world.status.reason) == (Phase.PENDING, "ValidationFailed")
        assert says in world.message
        assert "Correct the spec to run the MLJob." in world.message
        assert (world.condition("Stalled"), world.condition("Reconciling")) == ("True", "False")
        assert world.status.observed_generation == 1
        assert world.event_reasons == ["ValidationFailed"]
        written = len(world.jobs.patches)
        for _ in range(3):
            await world.later(600)
            await world.see_all()
        assert len(world.jobs.patches) == written
        assert not world.has_finalizer
        assert not world.airflow.runs

    async def test_other_mljobs_are_reconciled_also_after_a_restart(self, world: World, what: str) -> None:
        spec, _ = MISFITS[what]
        world.jobs.create("misfit", spec)
        world.jobs.create("a-misfit", spec)
        await world.apply()
        await begin(world)
        await world.restart()
        await world.look()
        await end(world, RunState.SUCCESS)
        assert world.status.phase is Phase.SUCCEEDED
        assert world.jobs.objects["team-a", "misfit"]["status"]["reason"] == "ValidationFailed"

    async def test_corrected_spec_is_run(self, world: World, what: str) -> None:
        spec, _ = MISFITS[what]
        world.jobs.create("churn", spec)
        await world.see_all()
        body = world.jobs.objects[KEY]
        body["spec"] = {"dagId": "train"}
        await edit(world)
        assert world.status.phase is Phase.QUEUED
        assert len(runs(world)) == 1

    async def test_invalid_mljob_can_be_deleted(self, world: World, what: str) -> None:
        spec, _ = MISFITS[what]
        world.jobs.create("churn", spec)
        await world.see_all()
        await world.delete()
        assert not world.exists


class TestInProgress:
    @pytest.mark.parametrize("policy", ["Once", "OnChange", "OncePerSpec"])
    async def test_active_run_continues_and_the_status_says_that_the_edit_is_ignored(
        self, world: World, policy: str
    ) -> None:
        await world.apply(runPolicy=policy)
        # With OncePerSpec, the operator asks Airflow twice for the runs of the spec.
        await world.later(3)
        await begin(world)
        await edit(world, conf=nested(300))
        assert (world.status.phase, active(world)) == (Phase.RUNNING, 1)
        assert world.condition("SpecApplied") == "False"
        assert "SpecChangeRefused" in world.event_reasons
        await end(world, RunState.SUCCESS)
        assert world.status.phase is Phase.SUCCEEDED
        assert world.condition("Stalled") == "True", "it has not done what its spec says"
        assert world.status.observed_generation == 2
        assert not world.job_controller.workers.tracked

    async def test_deletion_cancels_the_run_also_after_a_restart(self, world: World) -> None:
        await world.apply()
        await begin(world)
        await edit(world, conf=nested(300), cancellation={"strategy": "Api"})
        await world.restart()
        await world.delete()
        for _ in range(3):
            await world.later(10)
        assert not world.exists
        assert newest(world).state is RunState.FAILED

    async def test_corrected_edit_runs_again(self, world: World) -> None:
        await world.apply(runPolicy="OnChange")
        await begin(world)
        await edit(world, conf=nested(300))
        await edit(world, conf={"epochs": 3})
        for _ in range(3):
            await world.later(10)
        assert newest(world).conf == {"epochs": 3}
        assert len(runs(world)) == 2


class TestStatus:
    @pytest.mark.parametrize(
        "status",
        [
            {"outputs": nested(300)},
            {"activeSince": "9999-12-31T23:59:59Z"},
            {"attempts": -5, "dagRunId": "x", "dagId": "y"},
            {"tasks": [{"taskId": "a", "state": "exploded"}], "progress": "1/1"},
            {
                "history": [
                    {
                        "attempt": 0,
                        "dagRunId": "",
                        "phase": "Failed",
                        "reason": "",
                        "completionTime": "0000-01-01T00:00:00Z",
                    }
                ]
            },
            {"conditions": "none"},
        ],
        ids=["outputs of 300 levels", "the year 9999", "a negative attempt", "an unknown state", "history", "no list"],
    )
    async def test_invalid_part_of_a_status_is_replaced(self, world: World, status: dict[str, Any]) -> None:
        world.jobs.create("churn", {"dagId": "train", "activeDeadlineSeconds": 2**31 - 1, "backoffLimit": 1})
        world.jobs.objects[KEY]["status"] = status
        await world.restart()
        run = newest(world)
        world.airflow.begin(run)
        await world.look()
        world.airflow.set_task(run, "extract", TaskState.RUNNING)
        await world.look()
        assert (world.status.phase, world.status.attempts) == (Phase.RUNNING, 1)
        written = len(world.jobs.patches)
        await world.later(1)
        assert len(world.jobs.patches) == written
        await end(world, RunState.SUCCESS)
        assert world.status.phase is Phase.SUCCEEDED


async def test_invalid_instance_says_so_and_takes_no_runs(world: World) -> None:
    world.instance_objects.create("prod", {"url": "nowhere", "credentials": {"tokenSecretRef": {"name": "prod"}}})
    await world.see_all()
    await world.look_after("prod")
    ready = world.instance_objects.get("prod").status.conditions or []
    assert [(c.type, str(c.status), c.reason) for c in ready] == [("Ready", "False", "ValidationFailed")]
    assert "spec.url: String should match pattern" in ready[0].message
    await world.apply(airflowRef={"name": "prod"})
    assert world.status.reason == "AirflowInstanceNotReady"


async def test_defect_in_one_mljob_does_not_affect_queries_over_all_mljobs(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await world.apply()
    await begin(world)
    state = Classifier.state

    def broken(self: Classifier, known: Any) -> Any:
        if known.job.name == "broken":
            raise RecursionError
        return state(self, known)

    monkeypatch.setattr(Classifier, "state", broken)
    world.jobs.create("broken", {"dagId": "train"}, at="2025-01-01T00:00:00Z")
    async for job in world.jobs.list():
        world.job_controller.observe(job)
    while not any("broken: unexpected error" in record.message for record in caplog.records):
        assert "mljob team-a/broken" in [task.get_name() for task in world.job_controller.tasks]
        await asyncio.sleep(0)
    assert [live.job.name for live in world.job_controller.lister.unfinished(SETTINGS_AIRFLOW)] == ["churn"]
    assert world.job_controller.lister.users(SETTINGS_AIRFLOW) == [KEY]
    world.job_controller.wake_waiting()
    await world.resync.pass_once()
    stored = asyncio.Event()
    world.job_controller.observe_event(
        KEY,
        {RunKey(SETTINGS_AIRFLOW, "train", newest(world).run_id)},
        event("fit", TaskState.SUCCESS, seconds=5),
        stored.set,
    )
    await asyncio.wait_for(stored.wait(), 180)
    assert world.status.progress == "1/2"
    caplog.clear()
