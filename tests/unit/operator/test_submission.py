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
    assert world.event_reasons == ["Submitted"]


async def test_finalizer_is_added_before_the_run_is_submitted(world: World) -> None:
    world.airflow.down = True
    await world.apply()
    assert world.has_finalizer
    assert not world.airflow.runs


class TestObstacles:
    async def test_unknown_dag_is_waited_for(self, world: World) -> None:
        await world.apply(dagId="not_yet")
        assert (world.status.phase, world.status.reason) == (Phase.PENDING, "DagNotFound")
        assert (world.condition("Reconciling"), world.condition("Stalled")) == ("True", "False")
        world.airflow.dags["not_yet"] = ("only",)
        await world.later(60)
        assert world.status.phase is Phase.QUEUED

    async def test_conf_that_airflow_refuses_stalls_until_the_spec_changes(self, world: World) -> None:
        world.airflow.required["train"] = ("epochs",)
        await world.apply()
        assert world.status.reason == "ValidationFailed"
        assert (world.condition("Reconciling"), world.condition("Stalled")) == ("False", "True")
        asked = world.airflow.calls.count("submit")
        for _ in range(20):
            await world.later(60)
        assert asked + 5 <= world.airflow.calls.count("submit") <= asked + 12
        assert (world.status.reason, world.condition("Stalled")) == ("ValidationFailed", "True")
        assert world.event_reasons.count("ValidationFailed") == 1
        world.jobs.edit(KEY, {"conf": {"epochs": 1}})
        await world.see_all()
        assert (world.status.phase, world.status.observed_generation) == (Phase.QUEUED, 2)
        assert world.condition("Stalled") == "False"

    async def test_refused_conf_is_run_after_the_dag_has_changed(self, world: World) -> None:
        world.airflow.required["train"] = ("epochs",)
        await world.apply()
        del world.airflow.required["train"]
        await world.later(180)
        assert world.status.phase is Phase.QUEUED
        assert world.condition("Stalled") == "False"

    async def test_logical_date_of_another_run_is_waited_for(self, world: World) -> None:
        day = datetime(2026, 1, 1, tzinfo=UTC)
        other = world.airflow.queue("train", "manual__2026", {}, None, day)
        await world.apply(logicalDate="2026-01-01T00:00:00Z")
        assert (world.status.phase, world.status.reason) == (Phase.PENDING, "LogicalDateTaken")
        assert other.run_id in world.message
        assert world.condition("Stalled") == "False"
        del world.airflow.runs["train", other.run_id]
        await world.later(180)
        assert world.status.phase is Phase.QUEUED
        assert world.airflow.only_run().date == day

    async def test_unreachable_airflow_is_retried_with_backoff(self, world: World) -> None:
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
        assert world.event_reasons.count("AirflowUnavailable") == 1, "the same trouble is told once"

    async def test_params_that_could_not_be_read_are_no_submission(self, world: World) -> None:
        world.airflow.time_out["params"] = 1
        await world.apply(conf={"epochs": 1})
        assert (world.status.reason, world.airflow.runs) == ("AirflowUnavailable", {})
        await world.edit(conf={"epochs": 2})
        assert world.airflow.only_run().conf == {"epochs": 2}

    async def test_paused_dag_is_reported_until_it_is_unpaused(self, world: World) -> None:
        world.airflow.paused.add("train")
        await world.apply()
        await world.look()
        assert (world.status.phase, world.status.reason) == (Phase.QUEUED, "DagPaused")
        world.airflow.paused.clear()
        await world.later(5)
        await world.look()
        assert world.status.reason == "Queued"

    @pytest.mark.parametrize("halt", Halt)
    async def test_paused_or_stale_dag_is_reported_during_a_run_until_it_recovers(
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
        assert "DAG train" in world.message
        assert world.event_reasons.count(halt) == 1
        dags.clear()
        await world.later(5)
        await world.look()
        assert (world.status.phase, world.status.reason) == (Phase.RUNNING, "Running")

    async def test_dag_is_requested_once_however_many_runs_it_has(self, world: World) -> None:
        for number in range(30):
            world.jobs.create(f"job-{number}", {"dagId": "train"})
        await world.see_all()
        world.airflow.calls.clear()
        await world.look()
        assert world.airflow.calls.count("halts") == 1
        assert "paused_dags" not in world.airflow.calls

    async def test_dags_of_stalled_runs_are_requested_first(self, world: World) -> None:
        world.airflow.dags |= {f"dag-{number:02}": ("fit",) for number in range(50)}
        for number in range(50):
            world.jobs.create(f"job-{number}", {"dagId": f"dag-{number:02}"})
        await world.see_all()
        for run in list(world.airflow.runs.values()):
            world.airflow.begin(run)
            world.airflow.set_task(run, "fit", TaskState.RUNNING)
        still = world.airflow.runs["dag-49", world.jobs.objects["team-a", "job-49"]["status"]["dagRunId"]]
        world.airflow.set_task(still, "fit", TaskState.SUCCESS)
        await world.look()
        world.airflow.stale |= {"dag-49"}
        world.airflow.paused |= {"dag-30", "dag-48"}
        await world.later(5)
        await world.look()
        reasons = {number: world.jobs.objects["team-a", f"job-{number}"]["status"]["reason"] for number in (30, 48, 49)}
        assert reasons == {30: "DagPaused", 48: "DagPaused", 49: "DagStale"}
        world.airflow.stale |= {f"dag-{number:02}" for number in range(48)}
        for _ in range(4):
            await world.later(5)
            await world.look()
        assert {world.jobs.objects["team-a", f"job-{number}"]["status"]["reason"] for number in range(48)} == {
            "DagStale"
        }


class TestOnce:
    async def test_lost_response_does_not_submit_a_second_run(self, world: World) -> None:
        world.airflow.lose_answers = 1
        await world.apply()
        assert world.status.reason == "AirflowUnavailable"
        await world.later(60)
        assert len(world.airflow.runs) == 1
        assert world.status.phase is Phase.QUEUED

    async def test_restart_after_the_submission_does_not_submit_a_second_run(self, world: World) -> None:
        world.jobs.fail = None
        await world.apply()
        run = world.airflow.only_run()
        world.jobs.objects[KEY]["status"] = {}  # the process died before it wrote the status
        await world.restart()
        assert world.airflow.only_run() is run
        assert world.status.dag_run_id == run.run_id

    async def test_run_is_found_after_the_spec_has_changed_to_another_dag(self, world: World) -> None:
        world.airflow.dags["other"] = ("only",)
        world.airflow.lose_answers = 1
        await world.apply()
        world.jobs.edit(KEY, {"dagId": "other"})
        await world.see_all()
        await world.later(60)
        assert [run.dag_id for run in world.airflow.runs.values()] == ["train"]
        assert (world.status.dag_id, world.status.phase) == ("train", Phase.QUEUED)
