"""Kafka events report a state that the run or task does not have in Airflow."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from mljob_contract.events import CANCELLATION_EVENT
from mljob_contract.mljob import Phase, StatusSource
from mljob_operator.core.run.facts import RunFact
from mljob_operator.core.run.offsets import Partition
from mljob_operator.core.run.run_key import SETTINGS_AIRFLOW
from mljob_operator.core.run.states import TERMINAL_PHASES, RunState, TaskState
from mljob_operator.ports import Message
from mljob_operator.sources.topic import TopicReader
from tests.fakes.airflow import FakeRun
from tests.fakes.meter import SilentMeter
from tests.strategies import event

from .conftest import KEY, World
from .runs import begin, end, newest, runs, seconds
from .topics import FakeTopic

CHILD = "child"
"""A DAG whose runs are triggered by runs of ``train``, and have the same run ids."""
PARTITION: Partition = ("airflow.events", 0)


def end_told(world: World, state: RunState = RunState.SUCCESS) -> RunFact:
    return RunFact(state, StatusSource.KAFKA, world.clock(), world.clock())


async def apply_and_begin(world: World, **spec: Any) -> FakeRun:
    await world.apply(**spec)
    await world.look()
    await begin(world)
    return newest(world)


class TestFalseEnd:
    @pytest.mark.parametrize("said", [RunState.SUCCESS, RunState.FAILED])
    async def test_only_the_true_end_ends_the_mljob(self, world: World, said: RunState) -> None:
        await apply_and_begin(world, backoffLimit=1, retryStrategy="NewRun")
        before = world.status
        await world.tell(end_told(world, said))
        assert world.status == before, "not even for a moment: Airflow was asked first"
        assert world.has_finalizer
        await seconds(world, 15)
        assert (world.status.phase, world.status.dag_run_state) == (Phase.RUNNING, "running")
        assert (world.status.attempts, len(runs(world)), world.meter.contradicted) == (1, 1, 1)
        await end(world, RunState.SUCCESS)
        assert world.status.phase is Phase.SUCCEEDED

    async def test_false_end_is_checked_once_a_second_until_it_is_discarded(self, world: World) -> None:
        await apply_and_begin(world)
        before = len(world.airflow.calls)
        await world.tell(end_told(world))
        await seconds(world, 60)
        asked = world.airflow.calls[before:]
        assert set(asked) == {"get"}
        assert 5 <= len(asked) <= 11

    async def test_false_end_is_logged_once_for_each_run(self, world: World, caplog: pytest.LogCaptureFixture) -> None:
        run = await apply_and_begin(world)
        for _ in range(3):
            await world.tell(end_told(world))
            await seconds(world, 12)
        assert world.meter.contradicted == 3
        assert [run.run_id in record.getMessage() for record in caplog.records if "contradicts" in record.msg] == [True]

    @pytest.mark.parametrize("restarted", [False, True])
    async def test_repeated_false_end_is_not_shown_again(self, world: World, *, restarted: bool) -> None:
        await apply_and_begin(world)
        forged = end_told(world)
        await world.tell(forged)
        await seconds(world, 12)
        if restarted:
            await world.restart()
            await world.look()
            await seconds(world, 6)
        before, written = world.status, len(world.jobs.patches)
        await world.tell(replace(forged, observed_at=world.clock()))
        await seconds(world, 12)
        assert world.status == before
        assert len(world.jobs.patches) == written

    async def test_deletion_ignores_a_false_end(self, world: World) -> None:
        run = await apply_and_begin(world)
        await world.delete()
        await world.tell(end_told(world, RunState.FAILED))
        await seconds(world, 15)
        assert world.exists
        assert run.state is RunState.RUNNING
        world.airflow.end(run, RunState.FAILED)
        await seconds(world, 6)
        assert not world.exists

    async def test_cancellation_ignores_a_false_end(self, world: World) -> None:
        run = await apply_and_begin(world, cancellation={"strategy": "Dag"})
        await world.edit(cancel=True)
        await world.tell(end_told(world, RunState.FAILED))
        await seconds(world, 15)
        assert (world.status.phase, world.status.attempts) == (Phase.CANCELLING, 1)
        await seconds(world, 10)
        assert run.state is RunState.FAILED, "REST has cancelled it"
        assert world.status.phase is Phase.CANCELLED

    async def test_retry_does_not_clear_a_run_because_of_a_false_end(self, world: World) -> None:
        await apply_and_begin(world, backoffLimit=3)
        await world.tell(end_told(world, RunState.FAILED))
        await seconds(world, 30)
        assert "clear_failed" not in world.airflow.calls
        assert world.status.attempts == 1

    async def test_false_end_is_shown_and_not_acted_on_while_airflow_is_unreachable(self, world: World) -> None:
        run = await apply_and_begin(world, ttlSecondsAfterFinished=0)
        world.airflow.down = True
        await world.tell(event("extract", TaskState.SUCCESS, seconds=1), end_told(world))
        assert (world.status.phase, world.status.reason) == (Phase.RUNNING, "EndUnconfirmed")
        assert "to confirm the end. Airflow is down" in world.message
        assert world.status.progress == "1/2", "what events say is shown"
        for _ in range(20):
            await world.later(30)
        assert (world.status.phase, world.status.reason, world.has_finalizer) == (Phase.RUNNING, "EndUnconfirmed", True)
        world.airflow.down = False
        await world.later(60)
        assert (world.status.phase, world.status.reason) == (Phase.RUNNING, "TaskRunning")
        assert run.state is RunState.RUNNING

    async def test_start_event_does_not_undo_an_end(self, world: World) -> None:
        await apply_and_begin(world)
        await end(world, RunState.FAILED)
        before = world.status
        for state in (RunState.QUEUED, RunState.RUNNING):
            await world.tell(end_told(world, state), event("extract", TaskState.RUNNING, try_number=9, seconds=90))
        await seconds(world, 3)
        assert world.status == before


class TestTrueEnd:
    """A Kafka event reports the true end of a run. Airflow's REST API may report the end later."""

    async def test_end_counts_as_soon_as_airflow_confirms_it(self, world: World) -> None:
        run = await apply_and_begin(world)
        run.outputs = {"score": 0.9}
        world.airflow.set_task(run, "extract", TaskState.SUCCESS)
        world.airflow.set_task(run, "fit", TaskState.SUCCESS)
        before = len(world.airflow.calls)
        await world.tell(end_told(world))
        assert world.status.phase is Phase.RUNNING
        world.airflow.end(run, RunState.SUCCESS)
        await world.later(1)
        assert (world.status.phase, world.status.progress) == (Phase.SUCCEEDED, "2/2")
        assert world.airflow.calls[before:] == ["get", "get", "tasks", "outputs"]
        assert world.meter.contradicted == 0

    async def test_true_end_is_confirmed_by_one_request(self, world: World) -> None:
        run = await apply_and_begin(world)
        run.outputs = {"score": 0.9}
        world.airflow.set_task(run, "extract", TaskState.SUCCESS)
        world.airflow.set_task(run, "fit", TaskState.SUCCESS)
        world.airflow.end(run, RunState.SUCCESS)
        before = len(world.airflow.calls)
        await world.tell(end_told(world))
        assert world.status.phase is Phase.SUCCEEDED
        assert world.airflow.calls[before:] == ["get", "tasks", "outputs"]


class TestFalseTaskEvents:
    @pytest.mark.parametrize(
        "forged",
        [
            event("extract", TaskState.SUCCESS, seconds=1),
            event("extract", TaskState.FAILED, seconds=1),
            event("extract", TaskState.RUNNING, try_number=99, seconds=1),
            event("fit", TaskState.SUCCESS, try_number=7, seconds=1),
            event("invented", TaskState.RUNNING, seconds=1),
        ],
        ids=["an end", "a failure", "a higher try", "one that waits", "one that is not there"],
    )
    async def test_false_task_states_are_shown_for_half_a_minute_and_cost_one_list(
        self, world: World, forged: Any
    ) -> None:
        await apply_and_begin(world)
        before, calls = world.status, len(world.airflow.calls)
        await world.tell(forged)
        assert world.status.tasks != before.tasks
        assert len(world.airflow.calls) == calls, "an event costs no request"
        await seconds(world, 60)
        assert world.status.tasks == before.tasks
        assert (world.status.progress, world.status.task_counts) == (before.progress, before.task_counts)
        assert world.airflow.calls[calls:] == ["get", "tasks"]
        assert world.meter.contradicted == 1
        await world.tell(replace(forged, observed_at=world.clock()))
        await seconds(world, 60)
        assert world.status.tasks == before.tasks
        assert world.airflow.calls[calls:] == ["get", "tasks"]

    async def test_states_that_the_change_feed_confirms_cost_no_list(self, world: World) -> None:
        run = await apply_and_begin(world)
        await world.look()
        calls = len(world.airflow.calls)
        for second in range(1, 6):
            at = world.clock() + timedelta(seconds=1)
            for task_id in ("extract", "fit"):
                state = TaskState.RUNNING if second < 4 else TaskState.SUCCESS
                world.airflow.set_task(run, task_id, state)
                await world.tell(replace(event(task_id, state), occurred_at=at, observed_at=world.clock()))
            world.clock.tick(1)
            await world.look()
        await seconds(world, 90)
        assert {"get", "tasks"}.isdisjoint(world.airflow.calls[calls:])

    async def test_end_that_a_worker_stores_late_is_shown_as_airflow_has_it(self, world: World) -> None:
        run = await apply_and_begin(world)
        at = world.clock()
        await world.tell(replace(event("extract", TaskState.SUCCESS), occurred_at=at, observed_at=at))
        assert world.status.progress == "1/2"
        await seconds(world, 40)
        assert world.status.progress == "0/2"
        world.airflow.set_task(run, "extract", TaskState.SUCCESS)
        await world.look()
        assert world.status.progress == "1/2"

    @pytest.mark.parametrize("forged", [True, False])
    async def test_pre_running_deadline_ends_only_when_airflow_confirms_a_start(
        self, world: World, *, forged: bool
    ) -> None:
        await world.apply(preRunningDeadlineSeconds=20, cancellation={"strategy": "Api"})
        await world.look()
        run = newest(world)
        await seconds(world, 19)
        at = world.clock()
        if not forged:
            world.airflow.begin(run)
            world.airflow.set_task(run, "extract", TaskState.RUNNING)
        await world.tell(
            end_told(world, RunState.RUNNING),
            replace(event("extract", TaskState.RUNNING), occurred_at=at, observed_at=at),
        )
        assert world.status.phase is Phase.RUNNING
        await seconds(world, 3)
        assert (world.status.reason == "PreRunningDeadlineExceeded") is forged
        assert (run.state is RunState.FAILED) is forged

    async def test_run_that_was_falsely_reported_as_running_is_shown_as_queued_again(self, world: World) -> None:
        await world.apply()
        await world.look()
        await world.tell(end_told(world, RunState.RUNNING))
        assert world.status.phase is Phase.RUNNING
        await seconds(world, 40)
        assert (world.status.phase, world.status.dag_run_state) == (Phase.QUEUED, "queued")


class TestNamesakes:
    """A child run and its parent have the same run id, but belong to different DAGs."""

    async def child(self, world: World) -> FakeRun:
        parent = await apply_and_begin(world, backoffLimit=1, retryStrategy="NewRun")
        world.airflow.dags[CHILD] = ("extract", "more")
        return world.airflow.queue(CHILD, parent.run_id, {})

    @pytest.mark.parametrize("state", [RunState.SUCCESS, RunState.FAILED])
    async def test_events_of_a_child_run_do_not_change_its_parent(self, world: World, state: RunState) -> None:
        child = await self.child(world)
        await world.look()
        before = world.status
        world.airflow.begin(child)
        world.airflow.set_task(child, "extract", TaskState.FAILED, try_number=3)
        world.airflow.set_task(child, "more", TaskState.SUCCESS)
        await world.tell(
            event("extract", TaskState.FAILED, try_number=3),
            event("more", TaskState.SUCCESS),
            end_told(world, state),
            run_id=child.run_id,
            dag_id=CHILD,
        )
        world.airflow.end(child, state)
        await world.look()
        await seconds(world, 70)
        await world.look()
        assert world.status == before
        assert len(runs(world)) == 2, "the parent and the child: no other attempt"

    async def test_child_run_does_not_replace_a_deleted_parent(self, world: World) -> None:
        child = await self.child(world)
        await world.look()
        del world.airflow.runs["train", child.run_id]
        world.clock.tick(61)
        await world.look()
        await world.later(3)
        assert world.status.history or world.status.reason == "RetryBackoff"
        assert "was deleted in Airflow" in world.message

    async def test_tasks_of_a_child_run_do_not_complete_its_parent(self, world: World) -> None:
        await world.apply()
        parent = newest(world)
        world.airflow.dags[CHILD] = ("other",)
        child = world.airflow.queue(CHILD, parent.run_id, {})
        world.clock.tick(60)
        await world.look()
        assert {task.task_id for task in world.status.tasks or ()} == {"extract", "fit"}
        world.airflow.set_task(child, "other", TaskState.SUCCESS)
        await world.look()
        assert {task.task_id for task in world.status.tasks or ()} == {"extract", "fit"}

    async def test_clearing_a_child_run_of_a_finished_mljob_begins_no_attempt(self, world: World) -> None:
        child = await self.child(world)
        world.airflow.end(child, RunState.SUCCESS)
        world.airflow.end(newest_of(world, "train"), RunState.SUCCESS)
        await world.look()
        assert world.status.phase is Phase.SUCCEEDED
        world.clock.tick(60)
        world.airflow.clear(child)
        await world.look()
        world.clock.tick(60)
        await world.look()
        assert (world.status.phase, world.status.attempts) == (Phase.SUCCEEDED, 1)


def newest_of(world: World, dag_id: str) -> FakeRun:
    return [run for run in world.airflow.runs.values() if run.dag_id == dag_id][-1]


class TestMessages:
    OFFICIAL = '{"schema_version": 1, "event": "%s", "timestamp": "%s", "dag_id": "%s", "run_id": "%s", "source": "x"}'
    CANCELLED = (
        '{"mljob_version": 1, "event": "'
        + CANCELLATION_EVENT
        + '", "timestamp": "%s", "dag_id": "%s", "run_id": "%s", '
        '"outcome": "cancelled", "state": "failed", "mode": "graceful", "reason": "r", "duration": 1, "cancelled_by": "c"}'
    )

    def deliver(self, world: World, *values: str) -> None:
        def origins(_: str | None) -> Collection[str]:
            return {SETTINGS_AIRFLOW}

        pipeline = TopicReader(
            FakeTopic(), world.job_controller, world.clock, SilentMeter(), origins=origins, prefix="mljob"
        )
        messages: Sequence[Message] = [Message(PARTITION, n, None, value.encode(), 0) for n, value in enumerate(values)]
        pipeline.deliver(messages)

    @pytest.mark.parametrize("dag_id", ["train", CHILD, "anything"])
    @pytest.mark.parametrize("name", ["dag_run.success", "dag_run.failed", CANCELLATION_EVENT])
    async def test_false_message_does_not_end_an_active_run(self, world: World, name: str, dag_id: str) -> None:
        run = await apply_and_begin(world)
        at = world.clock().isoformat()
        official = self.OFFICIAL % (name, at, dag_id, run.run_id)
        self.deliver(world, self.CANCELLED % (at, dag_id, run.run_id) if name == CANCELLATION_EVENT else official)
        await world.settle()
        await seconds(world, 20)
        assert world.status.phase is Phase.RUNNING
        assert world.has_finalizer
        assert world.meter.contradicted == (dag_id == "train"), "of another DAG, it is none of ours"

    @pytest.mark.parametrize(("dag_id", "asked"), [("train", True), (CHILD, False)])
    async def test_only_a_message_of_the_runs_dag_is_checked_in_airflow(
        self, world: World, dag_id: str, *, asked: bool
    ) -> None:
        run = await apply_and_begin(world)
        calls = len(world.airflow.calls)
        self.deliver(world, self.OFFICIAL % ("dag_run.success", world.clock().isoformat(), dag_id, run.run_id))
        await world.settle()
        assert world.airflow.calls[calls:] == (["get"] if asked else [])


async def test_event_does_not_replace_the_answer_to_a_submission(world: World) -> None:
    world.airflow.down_for["submit"] = 1
    await world.apply()
    run_id = world.status.dag_run_id
    await world.tell(end_told(world), event("extract", TaskState.SUCCESS), run_id=run_id)
    assert world.status.phase not in TERMINAL_PHASES
    assert world.status.submit_time is None
    await seconds(world, 5)
    assert runs(world) == [run_id]
    assert world.status.phase is Phase.RUNNING or world.status.phase is Phase.QUEUED
    assert KEY in world.jobs.objects
