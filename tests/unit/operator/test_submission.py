"""Submitting a run: what keeps it waiting, and that it is never done twice."""

from __future__ import annotations

from mljob_contract.mljob import Phase

from .conftest import KEY, World


async def test_creating_an_mljob_submits_a_run(world: World) -> None:
    await world.apply(conf={"epochs": 3})
    run = world.airflow.only_run()
    assert run.conf == {"epochs": 3}
    assert (world.status.phase, world.status.dag_run_id, world.status.attempts) == (Phase.QUEUED, run.run_id, 1)
    assert world.held
    assert world.told == ["Submitted"]


async def test_the_finalizer_is_there_before_the_run(world: World) -> None:
    world.airflow.down = True
    await world.apply()
    assert world.held
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
        world.airflow.required["train"] = ("epochs",)
        await world.apply()
        assert world.status.reason == "ValidationFailed"
        assert (world.condition("Reconciling"), world.condition("Stalled")) == ("False", "True")
        asked = len(world.airflow.calls)
        await world.later(3600)
        assert len(world.airflow.calls) == asked, "waiting can't help"
        world.jobs.edit(KEY, {"conf": {"epochs": 1}})
        await world.see_all()
        assert (world.status.phase, world.status.observed_generation) == (Phase.QUEUED, 2)
        assert world.condition("Stalled") == "False"

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
        await world.look()
        assert world.status.reason == "Queued"


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
