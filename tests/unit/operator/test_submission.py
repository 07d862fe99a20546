"""Submitting a run: what keeps it waiting, and that it is never done twice."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mljob_contract.mljob import Phase
from mljob_operator.core.run.halt import Halt
from mljob_operator.core.run.states import TaskState

from .conftest import KEY, World


async def test_creating_an_mljob_submits_a_run(world: World) -> None:
    await world.apply(conf={"epochs": 3})
    run = world.airflow.only_run()
    assert run.conf == {"epochs": 3}
    assert (world.status.phase, world.status.dag_run_id, world.status.attempts) == (Phase.QUEUED, run.run_id, 1)
    assert world.has_finalizer
    assert world.told == ["Submitted"]


async def test_the_finalizer_is_there_before_the_run(world: World) -> None:
    world.airflow.down = True
    await world.apply()
    assert world.has_finalizer
    assert not world.airflow.runs


class TestTroubles:
    """What keeps a run from being submitted."""

    async def test_an_unknown_dag_is_waited_for(self, world: World) -> None:
        await world.apply(dagId="not_yet")
        assert (world.status.phase, world.status.reason) == (Phase.PENDING, "DagNotFound")
        assert (world.condition("Reconciling"), world.condition("Stalled")) == ("True", "False")
        world.airflow.dags["not_yet"] = ("only",)
        await world.later(60)
        assert world.status.phase is Phase.QUEUED

    async def test_a_conf_that_airflow_refuses_stalls_until_the_spec_changes(self, world: World) -> None:
        """It is tried again at long intervals, for the DAG may be changed instead."""
        world.airflow.required["train"] = ("epochs",)
        await world.apply()
        assert world.status.reason == "ValidationFailed"
        assert (world.condition("Reconciling"), world.condition("Stalled")) == ("False", "True")
        asked = world.airflow.calls.count("submit")
        for _ in range(20):
            await world.later(60)
        assert asked + 5 <= world.airflow.calls.count("submit") <= asked + 12
        assert (world.status.reason, world.condition("Stalled")) == ("ValidationFailed", "True")
        assert world.told.count("ValidationFailed") == 1
        world.jobs.edit(KEY, {"conf": {"epochs": 1}})
        await world.see_all()
        assert (world.status.phase, world.status.observed_generation) == (Phase.QUEUED, 2)
        assert world.condition("Stalled") == "False"

    async def test_a_dag_that_was_changed_instead_is_run(self, world: World) -> None:
        world.airflow.required["train"] = ("epochs",)
        await world.apply()
        del world.airflow.required["train"]
        await world.later(180)
        assert world.status.phase is Phase.QUEUED
        assert world.condition("Stalled") == "False"

    async def test_a_date_that_another_run_has_is_waited_for(self, world: World) -> None:
        day = datetime(2026, 1, 1, tzinfo=UTC)
        other = world.airflow.queue("train", "manual__2026", {}, None, day)
        await world.apply(logicalDate="2026-01-01T00:00:00Z")
        assert (world.status.phase, world.status.reason) == (Phase.PENDING, "LogicalDateTaken")
        assert other.run_id in (world.status.message or "")
        assert world.condition("Stalled") == "False"
        del world.airflow.runs["train", other.run_id]
        await world.later(180)
        assert world.status.phase is Phase.QUEUED
        assert world.airflow.only_run().date == day

    async def test_an_airflow_that_is_down_is_tried_again_with_backoff(self, world: World) -> None:
        world.airflow.down = True
        await world.apply()
        assert world.status.reason == "AirflowUnavailable"
        await world.later(0.1)
        assert world.airflow.calls.count("params") == 1
        await world.later(2)
        assert world.airflow.calls.count("params") == 2
        world.airflow.down = False
        await world.later(60)
        assert world.status.phase is Phase.QUEUED
        assert world.told.count("AirflowUnavailable") == 1, "the same trouble is told once"

    async def test_a_paused_dag_is_said_and_taken_back(self, world: World) -> None:
        world.airflow.paused.add("train")
        await world.apply()
        await world.look()
        assert (world.status.phase, world.status.reason) == (Phase.QUEUED, "DagPaused")
        world.airflow.paused.clear()
        await world.later(5)
        await world.look()
        assert world.status.reason == "Queued"

    @pytest.mark.parametrize("halt", Halt)
    async def test_a_dag_that_schedules_nothing_in_mid_run_is_said_and_taken_back(
        self, world: World, halt: Halt
    ) -> None:
        await world.apply()
        run = world.airflow.only_run()
        world.airflow.begin(run)
        await world.look()
        dags = world.airflow.paused if halt is Halt.PAUSED else world.airflow.stale
        dags.add("train")
        await world.later(5)
        await world.look()
        assert (world.status.phase, world.status.reason) == (Phase.RUNNING, halt)
        assert "DAG train" in (world.status.message or "")
        assert world.told.count(halt) == 1
        dags.clear()
        await world.later(5)
        await world.look()
        assert (world.status.phase, world.status.reason) == (Phase.RUNNING, "Running")

    async def test_dags_are_asked_for_once_however_many_runs_they_have(self, world: World) -> None:
        for number in range(30):
            world.jobs.create(f"job-{number}", {"dagId": "train"})
        await world.see_all()
        world.airflow.calls.clear()
        await world.look()
        assert world.airflow.calls.count("halts") == 1
        assert "paused_dags" not in world.airflow.calls

    async def test_of_many_dags_those_whose_runs_stand_still_come_first(self, world: World) -> None:
        """The others take turns; a list tells of all that are paused."""
        world.airflow.dags |= {f"dag-{number:02}": ("fit",) for number in range(50)}
        for number in range(50):
            world.jobs.create(f"job-{number}", {"dagId": f"dag-{number:02}"})
        await world.see_all()
        for run in list(world.airflow.runs.values()):
            world.airflow.begin(run)
            world.airflow.set_task(run, "fit", TaskState.RUNNING)
        still = world.airflow.runs["dag-49", (await world.jobs.get(("team-a", "job-49"))).status.dag_run_id or ""]
        world.airflow.set_task(still, "fit", TaskState.SUCCESS)
        await world.look()
        world.airflow.stale |= {"dag-49"}
        world.airflow.paused |= {"dag-30", "dag-48"}
        await world.later(5)
        await world.look()
        reasons = {number: (await world.jobs.get(("team-a", f"job-{number}"))).status.reason for number in (30, 48, 49)}
        assert reasons == {30: "DagPaused", 48: "DagPaused", 49: "DagStale"}
        world.airflow.stale |= {f"dag-{number:02}" for number in range(48)}
        for _ in range(4):
            await world.later(5)
            await world.look()
        assert {(await world.jobs.get(("team-a", f"job-{number}"))).status.reason for number in range(48)} == {
            "DagStale"
        }


class TestOnce:
    """No run is ever started twice."""

    async def test_an_answer_that_is_lost_is_not_a_second_run(self, world: World) -> None:
        world.airflow.lose_answers = 1
        await world.apply()
        assert world.status.reason == "AirflowUnavailable"
        await world.later(60)
        assert len(world.airflow.runs) == 1
        assert world.status.phase is Phase.QUEUED

    async def test_a_restart_after_the_submission_adopts_the_run(self, world: World) -> None:
        world.jobs.fail = None
        await world.apply()
        run = world.airflow.only_run()
        world.jobs.objects[KEY]["status"] = {}  # the process died before it wrote
        await world.restart()
        assert world.airflow.only_run() is run
        assert world.status.dag_run_id == run.run_id

    async def test_a_run_is_found_when_the_spec_names_another_dag_since(self, world: World) -> None:
        world.airflow.dags["other"] = ("only",)
        world.airflow.lose_answers = 1
        await world.apply()
        world.jobs.edit(KEY, {"dagId": "other"})
        await world.see_all()
        await world.later(60)
        assert [run.dag_id for run in world.airflow.runs.values()] == ["train"]
        assert (world.status.dag_id, world.status.phase) == ("train", Phase.QUEUED)
