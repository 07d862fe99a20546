"""Attempts may end before Airflow has their run, for example because the DAG is missing."""

from __future__ import annotations

import pytest

from mljob_contract.mljob import Phase
from mljob_operator.core.mljob.run_count import LONGEST_GAP
from mljob_operator.core.run.states import RunState

from .conftest import World
from .runs import begin, edit, end, newest, runs

MISSPELT = "training"
DEADLINE = 60


async def suspend(world: World) -> None:
    await edit(world, suspend=True)
    await pauses(world)
    assert world.status.phase is Phase.SUSPENDED


async def miss_the_deadline(world: World) -> None:
    await world.later(DEADLINE + 1)
    await pauses(world)
    assert (world.status.phase, world.status.reason) == (Phase.FAILED, "PreRunningDeadlineExceeded")


async def pauses(world: World) -> None:
    for _ in range(4):
        await world.later(5)


def numbers(world: World) -> list[str]:
    return [run_id.rsplit("-", 1)[1] for run_id in runs(world)]


@pytest.mark.parametrize("deadline", [False, True])
class TestOncePerSpec:
    async def begin(self, world: World, *, deadline: bool) -> dict[str, object]:
        """Apply an MLJob whose first attempt ends without a run, and whose second attempt succeeds."""
        limit = {"preRunningDeadlineSeconds": DEADLINE} if deadline else {}
        spec = {"runPolicy": "OncePerSpec", "dagId": "late", **limit}
        await world.apply(**spec)
        await world.later(3)
        assert world.status.reason == "DagNotFound"
        await (miss_the_deadline(world) if deadline else suspend(world))
        world.airflow.dags["late"] = ("extract", "fit")
        await (world.request_retry() if deadline else edit(world, suspend=False))
        await pauses(world)
        await end(world, RunState.SUCCESS)
        assert (world.status.phase, numbers(world)) == (Phase.SUCCEEDED, ["2"])
        return spec

    async def test_mljob_that_is_created_again_takes_over_its_run(self, world: World, *, deadline: bool) -> None:
        spec = await self.begin(world, deadline=deadline)
        await world.delete()
        await world.apply(**spec)
        await pauses(world)
        assert (world.status.phase, numbers(world)) == (Phase.SUCCEEDED, ["2"])

    async def test_requested_retry_starts_another_run(self, world: World, *, deadline: bool) -> None:
        await self.begin(world, deadline=deadline)
        await world.request_retry("again")
        await pauses(world)
        assert (world.status.phase, numbers(world)) == (Phase.QUEUED, ["2", "3"])
        await end(world, RunState.SUCCESS)
        assert (world.status.phase, world.status.attempts) == (Phase.SUCCEEDED, 3)


async def test_once_per_spec_finds_its_run_after_the_longest_gap(world: World) -> None:
    spec = {"runPolicy": "OncePerSpec", "dagId": "late"}
    await world.apply(**spec)
    await world.later(3)
    for _ in range(LONGEST_GAP):
        await suspend(world)
        await edit(world, suspend=False)
        await pauses(world)
    world.airflow.dags["late"] = ("extract", "fit")
    await pauses(world)
    await world.later(60)
    await end(world, RunState.SUCCESS)
    assert (world.status.phase, numbers(world)) == (Phase.SUCCEEDED, [str(LONGEST_GAP + 1)])
    await world.delete()
    await world.apply(**spec)
    await pauses(world)
    assert (world.status.phase, numbers(world)) == (Phase.SUCCEEDED, [str(LONGEST_GAP + 1)])


class TestOnce:
    async def test_suspended_mljob_that_had_no_run_takes_a_correction(self, world: World) -> None:
        await world.apply(dagId=MISSPELT)
        await suspend(world)
        await edit(world, dagId="train")
        assert world.condition("SpecApplied") is None
        await edit(world, suspend=False)
        await pauses(world)
        assert (world.status.phase, world.status.dag_id) == (Phase.QUEUED, "train")

    async def test_retry_without_a_run_takes_a_correction(self, world: World) -> None:
        await world.apply(dagId=MISSPELT, preRunningDeadlineSeconds=DEADLINE)
        await miss_the_deadline(world)
        await world.request_retry()
        await pauses(world)
        assert world.status.reason == "DagNotFound"
        await edit(world, dagId="train")
        await pauses(world)
        assert (world.status.phase, world.status.dag_id, world.condition("SpecApplied")) == (
            Phase.QUEUED,
            "train",
            None,
        )

    async def test_suspended_backfill_that_was_not_created_takes_a_correction(self, world: World) -> None:
        range_ = {"from": "2026-01-01T00:00:00Z", "to": "2026-01-03T00:00:00Z"}
        await world.apply(type="Backfill", dagId=MISSPELT, backfill=range_)
        await suspend(world)
        await edit(world, dagId="days", suspend=False)
        await pauses(world)
        assert (world.status.dag_id, world.condition("SpecApplied")) == ("days", None)
        assert world.status.backfill is not None

    async def test_refused_change_gets_the_conf_of_the_attempt_that_had_a_run(self, world: World) -> None:
        await world.apply(conf={"epochs": 1}, backoffLimit=3, retryStrategy="NewRun")
        await end(world, RunState.FAILED)
        tasks = world.airflow.dags.pop("train")
        await world.later(11)
        assert (world.status.attempts, world.status.reason) == (2, "DagNotFound")
        await suspend(world)
        world.airflow.dags["train"] = tasks
        await edit(world, conf={"epochs": 2}, suspend=False)
        await pauses(world)
        assert (world.status.phase, newest(world).conf) == (Phase.QUEUED, {"epochs": 1})
        assert world.condition("SpecApplied") == "False"

    async def test_correction_is_not_refused_because_an_earlier_spec_had_a_run(self, world: World) -> None:
        await world.apply(runPolicy="OnChange", conf={"epochs": 1}, cancellation={"strategy": "Api"})
        await begin(world)
        tasks = world.airflow.dags.pop("train")
        await edit(world, conf={"epochs": 2})
        await pauses(world)
        assert (world.status.attempts, world.status.reason) == (2, "DagNotFound")
        await suspend(world)
        world.airflow.dags["train"] = tasks
        await edit(world, runPolicy="Once", conf={"epochs": 3}, suspend=False)
        await pauses(world)
        assert (world.status.phase, newest(world).conf) == (Phase.QUEUED, {"epochs": 3})
        assert world.condition("SpecApplied") is None
