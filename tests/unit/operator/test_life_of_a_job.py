"""An MLJob from creation to its end, with the world in memory."""

from __future__ import annotations

import asyncio

import pytest

from mljob_contract.mljob import Phase, StatusSource
from mljob_operator.core.facts import Report, RunFact
from mljob_operator.core.instance import OWN
from mljob_operator.core.news import REFINEMENT_WAITS
from mljob_operator.core.phases import RunState, TaskState
from mljob_operator.errors import StoreUnavailable
from tests.fakes.airflow import CANCEL_DAG
from tests.strategies import event

from .conftest import KEY, World


async def finish(world: World, state: RunState = RunState.SUCCESS) -> None:
    run = world.airflow.only_run()
    for task_id, _ in list(run.tasks):
        world.airflow.set_task(run, task_id, TaskState.SUCCESS if state is RunState.SUCCESS else TaskState.FAILED)
    world.airflow.end(run, state)
    await world.tell(RunFact(state, StatusSource.KAFKA, world.clock(), world.clock()))


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


async def test_events_appear_in_the_status(world: World) -> None:
    await world.apply()
    await world.look()
    await world.tell(event("extract", TaskState.RUNNING))
    assert (world.status.phase, world.status.current_task, world.status.progress) == (Phase.RUNNING, "extract", "0/2")
    assert world.status.status_source is StatusSource.KAFKA
    await world.tell(event("extract", TaskState.SUCCESS, seconds=1))
    assert world.status.progress == "1/2"
    assert len(world.done) == 2


async def test_a_burst_of_events_is_one_patch(world: World) -> None:
    await world.apply()
    await world.look()
    before = len(world.jobs.patches)
    await world.tell(*(event("fit", TaskState.RUNNING, map_index=i) for i in range(50)))
    assert len(world.jobs.patches) <= before + 2
    assert len(world.done) == 50


async def test_what_is_said_again_writes_nothing(world: World) -> None:
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


async def test_a_run_that_succeeds_completes_the_mljob(world: World) -> None:
    await world.apply()
    world.airflow.only_run().outputs = {"score": 0.9}
    await finish(world)
    assert world.status.phase is Phase.SUCCEEDED
    assert (world.condition("Complete"), world.condition("Reconciling"), world.condition("Stalled")) == (
        "True",
        "False",
        "False",
    )
    assert world.status.progress == "2/2"
    assert world.status.outputs == {"score": 0.9}
    assert not world.held, "a finished MLJob can be deleted while the operator is down"
    assert world.told == ["Submitted", "Succeeded"]


async def test_complete_is_not_true_before_the_outputs_are_there(world: World) -> None:
    await world.apply()
    run = world.airflow.only_run()
    run.outputs = {"score": 0.9}
    world.airflow.down_for = {"outputs": 2}
    await finish(world)
    assert (world.status.phase, world.status.reason) == (Phase.RUNNING, "CollectingOutputs")
    assert (world.status.dag_run_state, world.condition("Complete")) == ("success", None)
    assert "down for outputs" in (world.status.message or "")
    await world.later(1)
    assert world.status.phase is Phase.RUNNING
    await world.later(2)
    assert (world.status.phase, world.condition("Complete"), world.status.outputs) == (
        Phase.SUCCEEDED,
        "True",
        {"score": 0.9},
    )
    told = [patch.get("outputs") for patch in world.jobs.patches if patch.get("phase") == "Succeeded"]
    assert told == [{"score": 0.9}], "in one patch"


async def test_an_airflow_that_stays_away_does_not_hold_up_the_verdict_for_good(world: World) -> None:
    await world.apply()
    run = world.airflow.only_run()
    run.outputs = {"score": 0.9}
    for task_id, _ in list(run.tasks):
        world.airflow.set_task(run, task_id, TaskState.SUCCESS)
    world.airflow.end(run, RunState.SUCCESS)
    world.airflow.down = True
    await world.tell(RunFact(RunState.SUCCESS, StatusSource.KAFKA, world.clock(), world.clock()))
    assert world.status.phase is Phase.RUNNING
    await world.later(29)
    assert world.status.phase is Phase.RUNNING
    await world.later(1)
    assert (world.status.phase, world.condition("Complete")) == (Phase.SUCCEEDED, "True")
    assert "could not be read" in (world.status.message or "")
    since = next(c.last_transition_time for c in world.status.conditions or () if c.type == "Complete")
    world.airflow.down = False
    await world.later(60)
    assert world.status.outputs == {"score": 0.9}
    assert "could not be read" not in (world.status.message or "")
    assert next(c.last_transition_time for c in world.status.conditions or () if c.type == "Complete") == since
    assert not world.held


async def test_outputs_that_are_too_large_are_named(world: World) -> None:
    await world.apply()
    world.airflow.only_run().outputs = {"weights": "w" * 20_000, "score": 0.9}
    await finish(world)
    assert (world.status.outputs, world.status.outputs_omitted) == ({"score": 0.9}, ["weights"])


async def test_a_run_that_fails_says_which_task(world: World) -> None:
    await world.apply()
    await finish(world, RunState.FAILED)
    assert (world.status.phase, world.status.reason) == (Phase.FAILED, "TaskFailed")
    assert "extract" in (world.status.message or "")
    assert (world.condition("Failed"), world.condition("Stalled")) == ("True", "True")


async def test_without_kafka_the_change_feed_tells_everything(world: World) -> None:
    await world.apply()
    run = world.airflow.only_run()
    world.airflow.begin(run)
    world.airflow.set_task(run, "extract", TaskState.RUNNING)
    await world.look()
    assert (world.status.phase, world.status.status_source) == (Phase.RUNNING, StatusSource.REST)
    for task_id in ("extract", "fit"):
        world.airflow.set_task(run, task_id, TaskState.SUCCESS)
    world.airflow.end(run, RunState.SUCCESS)
    world.clock.tick(1)
    await world.look()
    assert world.status.phase is Phase.SUCCEEDED


async def test_a_terminal_phase_is_absorbing(world: World) -> None:
    await world.apply()
    await finish(world)
    await world.tell(
        RunFact(RunState.FAILED, StatusSource.KAFKA, world.clock(), world.clock()),
        event("fit", TaskState.RUNNING, try_number=2),
    )
    assert world.status.phase is Phase.SUCCEEDED
    assert len(world.done) == 3


async def test_an_event_of_another_run_changes_nothing(world: World) -> None:
    await world.apply()
    before = world.status
    await world.tell(event("fit", TaskState.RUNNING), run_id="mljob.team-a.churn.aaaaaaaaaa-1")
    assert world.status == before
    assert world.done, "and is not waited for"


async def test_an_event_of_an_mljob_that_is_gone_is_done_with(world: World) -> None:
    world.queue.tell(
        {OWN},
        ("team-a", "stranger"),
        "mljob.team-a.stranger.aaaaaaaaaa-1",
        event("fit", TaskState.RUNNING),
        lambda: world.done.append(1),
    )
    await world.settle()
    assert world.done == [1]
    assert not world.queue._slots


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

    async def test_a_run_that_is_deleted_in_airflow_fails_the_mljob(self, world: World) -> None:
        await world.apply()
        await world.look()
        world.airflow.runs.clear()
        world.clock.tick(61)
        await world.look()
        assert (world.status.phase, world.status.reason) == (Phase.FAILED, "DagRunDeleted")

    async def test_a_changed_spec_of_a_run_in_progress_is_refused(self, world: World) -> None:
        await world.apply()
        world.jobs.edit(KEY, {"conf": {"epochs": 9}})
        await world.see_all()
        assert "SpecChangeRefused" in world.told
        assert world.condition("SpecApplied") == "False"
        assert len(world.airflow.runs) == 1
        world.jobs.edit(KEY, {"conf": {}})
        await world.see_all()
        assert world.condition("SpecApplied") is None, "taken back"


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

    async def test_a_restart_of_the_operator_carries_on(self, world: World) -> None:
        await world.apply()
        await world.look()
        await world.tell(event("extract", TaskState.SUCCESS))
        before = world.status
        await world.restart()
        assert world.status.tasks == before.tasks
        await world.tell(event("fit", TaskState.RUNNING, seconds=3))
        assert world.status.progress == "1/2", "a few events don't replace what was known before"
        world.airflow.set_task(world.airflow.only_run(), "extract", TaskState.SUCCESS)
        await world.look()
        assert (world.status.progress, world.status.current_task) == ("1/2", "fit")

    async def test_a_restart_keeps_what_only_events_carried(self, world: World) -> None:
        await world.apply()
        await world.look()
        run = world.airflow.only_run()
        world.airflow.begin(run)
        world.airflow.set_task(run, "extract", TaskState.RUNNING)
        report = Report(1, world.clock(), progress=0.5), Report(1, world.clock(), metrics={"loss": 0.1})
        await world.tell(event("extract", TaskState.RUNNING, progress=report[0], metrics=report[1]))
        await world.restart()
        world.clock.tick(1)
        await world.look()
        task = next(task for task in world.status.tasks or () if task.task_id == "extract")
        assert (task.progress, task.metrics) == (50, {"loss": 0.1})


class TestDeletion:
    """No run is ever left behind."""

    async def test_the_cancellation_dag_is_triggered_and_waited_for(self, world: World) -> None:
        await world.apply()
        await world.look()
        await world.delete()
        assert world.status.phase is Phase.CANCELLING
        assert world.airflow.only_run(CANCEL_DAG).conf["dag_run_id"] == world.airflow.only_run().run_id
        await finish(world, RunState.FAILED)
        assert not world.exists
        assert world.told[-2:] == ["Cancelling", "Cancelled"]

    async def test_an_end_that_only_an_event_tells_of_is_waited_for_in_airflow(self, world: World) -> None:
        """Airflow publishes it before it stores it, and whoever has deleted the MLJob looks there next."""
        await world.apply()
        await world.look()
        await world.delete()
        await world.tell(RunFact(RunState.FAILED, StatusSource.KAFKA, world.clock(), world.clock()))
        assert world.exists
        world.airflow.end(world.airflow.only_run(), RunState.FAILED)
        await world.later(1)
        assert not world.exists

    async def test_rest_cancels_where_the_cancellation_dag_is_paused(self, world: World) -> None:
        world.airflow.paused.add(CANCEL_DAG)
        await world.apply()
        await world.delete()
        assert world.airflow.only_run().state is RunState.FAILED
        assert not world.exists

    async def test_rest_cancels_where_the_cancellation_dag_takes_too_long(self, world: World) -> None:
        await world.apply()
        await world.delete()
        await world.later(19)
        assert "cancel" not in world.airflow.calls
        await world.later(2)
        assert world.airflow.only_run().state is RunState.FAILED
        assert not world.exists

    async def test_a_cancellation_dag_that_has_begun_is_given_time(self, world: World) -> None:
        """It lets teardown tasks run, which REST would fail."""
        await world.apply()
        await world.delete()
        world.airflow.set_task(world.airflow.only_run(CANCEL_DAG), "cancel", TaskState.RUNNING)
        await world.later(25)
        await world.later(25)
        assert "cancel" not in world.airflow.calls
        await world.later(15)
        assert not world.exists

    async def test_a_cancellation_dag_that_waits_for_a_slot_is_not_waited_for(self, world: World) -> None:
        """Airflow calls its run running all the same."""
        await world.apply()
        await world.delete()
        world.airflow.begin(world.airflow.only_run(CANCEL_DAG))
        await world.later(21)
        assert not world.exists

    async def test_a_namespace_that_takes_no_more_events_is_not_held_up(self, world: World) -> None:
        await world.apply(cancellation={"timeoutSeconds": 10})
        world.airflow.down = True
        world.jobs.refuse_events = True
        await world.delete()
        await world.later(11)
        assert not world.exists

    async def test_strategy_api_asks_no_dag(self, world: World) -> None:
        await world.apply(cancellation={"strategy": "Api"})
        await world.delete()
        assert not world.exists
        assert len(world.airflow.runs) == 1

    async def test_retain_leaves_the_run_alone(self, world: World) -> None:
        await world.apply(deletionPolicy="Retain")
        await world.delete()
        assert not world.exists
        assert world.airflow.only_run().state is RunState.QUEUED

    async def test_an_mljob_that_never_ran_goes_at_once(self, world: World) -> None:
        await world.apply(dagId="unknown")
        await world.delete()
        assert not world.exists

    async def test_a_submission_without_an_answer_is_not_left_behind(self, world: World) -> None:
        world.airflow.lose_answers = 1
        await world.apply()
        await world.delete()
        await finish(world, RunState.FAILED)
        await world.later(60)
        assert not world.exists
        assert world.airflow.only_run().state is RunState.FAILED

    async def test_a_submission_that_may_still_arrive_is_waited_for(self, world: World) -> None:
        world.airflow.lose_answers = 1
        await world.apply()
        (late,) = world.airflow.runs.items()
        world.airflow.runs.clear()  # it is still under way
        await world.delete()
        assert world.exists
        world.airflow.runs.update([late])
        await world.later(31)
        await world.later(21)
        assert world.airflow.only_run().state is RunState.FAILED
        assert not world.exists

    async def test_an_airflow_that_cannot_be_reached_holds_a_deletion_only_so_long(self, world: World) -> None:
        await world.apply(cancellation={"timeoutSeconds": 60})
        world.airflow.down = True
        await world.delete()
        for _ in range(5):
            await world.later(10)
            assert world.exists
        await world.later(15)
        assert not world.exists
        assert "CancellationAbandoned" in world.told

    @pytest.mark.parametrize("strategy", ["Dag", "Api"])
    async def test_a_deletion_that_waited_too_long_for_an_operator_ends_the_run_all_the_same(
        self, world: World, strategy: str
    ) -> None:
        await world.apply(cancellation={"timeoutSeconds": 60, "strategy": strategy})
        world.jobs.user_deletes(KEY, world.clock())
        world.clock.tick(100)
        await world.restart()
        assert not world.exists
        assert [run.state for run in world.airflow.runs.values()] == [RunState.FAILED]
        assert "CancellationAbandoned" not in world.told

    async def test_a_deletion_that_waited_too_long_for_an_operator_and_for_airflow_is_let_through(
        self, world: World
    ) -> None:
        await world.apply(cancellation={"timeoutSeconds": 60})
        world.airflow.down = True
        world.jobs.user_deletes(KEY, world.clock())
        world.clock.tick(100)
        await world.restart()
        assert not world.exists
        assert "CancellationAbandoned" in world.told

    async def test_a_restart_in_mid_cancellation_cancels(self, world: World) -> None:
        await world.apply()
        await world.delete()
        await world.restart()
        assert len([run for run in world.airflow.runs.values() if run.dag_id == CANCEL_DAG]) == 1
        world.clock.tick(1)
        await finish(world, RunState.FAILED)
        assert not world.exists

    async def test_a_run_that_succeeds_while_it_is_cancelled_lets_the_mljob_go(self, world: World) -> None:
        await world.apply()
        await world.delete()
        await finish(world)
        assert not world.exists


class TestWriting:
    """One writer, optimistic, and nothing is acknowledged before it is stored."""

    async def test_a_write_that_was_overtaken_is_made_again(self, world: World) -> None:
        await world.apply()
        await world.look()
        world.jobs.overtake = 2
        await world.tell(event("extract", TaskState.RUNNING))
        assert world.status.current_task == "extract"
        assert world.done == [1]

    async def test_an_event_is_not_done_before_its_status_is_stored(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("mljob_operator.job_queue.backoff", lambda *_: 0.01)
        await world.apply()
        await world.look()
        world.jobs.fail = StoreUnavailable("etcd is away")
        world.queue.tell(
            {OWN},
            KEY,
            world.airflow.only_run().run_id,
            event("extract", TaskState.RUNNING),
            lambda: world.done.append(1),
        )
        slot = world.queue._slots[KEY]
        while slot.failures < 2:
            assert slot.task is not None
            await asyncio.sleep(0)
        assert world.done == []
        world.jobs.fail = None
        await world.settle()
        assert world.done == [1]
        assert world.status.current_task == "extract"

    async def test_a_namesake_is_another_story(self, world: World) -> None:
        await world.apply()
        first = world.airflow.only_run().run_id
        del world.jobs.objects[KEY]  # somebody took the finalizer off by force
        await world.apply()
        assert (world.status.phase, world.status.attempts) == (Phase.QUEUED, 1)
        assert [run.run_id for run in world.airflow.runs.values()] == [first, world.status.dag_run_id]

    async def test_a_namesake_of_one_that_was_not_held_is_acted_on(self, world: World) -> None:
        """Deleted and applied again while the watch was lost: nobody tells that the first one is gone."""
        await world.apply(suspend=True)
        world.jobs.user_deletes(KEY, world.clock())
        await world.apply(suspend=True)
        assert world.status.phase is Phase.SUSPENDED
