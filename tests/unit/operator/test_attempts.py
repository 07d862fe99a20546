"""Suspending, cancelling, deadlines, retries, runs that were cleared, and what a change of the spec does; the world in memory."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from mljob_contract.mljob import Phase, StatusSource
from mljob_operator.core.conf import problems
from mljob_operator.core.facts import RunFact
from mljob_operator.core.phases import RunState, TaskState
from tests.fakes.airflow import CANCEL_DAG, FakeRun
from tests.strategies import event

from .conftest import KEY, World


def newest(world: World) -> FakeRun:
    return [run for run in world.airflow.runs.values() if run.dag_id != CANCEL_DAG][-1]


def runs(world: World) -> list[str]:
    return [run.run_id for run in world.airflow.runs.values() if run.dag_id != CANCEL_DAG]


def active(world: World) -> int:
    return sum(
        run.state in (RunState.QUEUED, RunState.RUNNING)
        for run in world.airflow.runs.values()
        if run.dag_id != CANCEL_DAG
    )


async def begin(world: World) -> None:
    run = newest(world)
    world.airflow.begin(run)
    world.airflow.set_task(run, "extract", TaskState.RUNNING)
    world.clock.tick(1)
    await world.look()


async def end(world: World, state: RunState) -> None:
    run = newest(world)
    world.airflow.set_task(run, "extract", TaskState.SUCCESS)
    world.airflow.set_task(run, "fit", TaskState.SUCCESS if state is RunState.SUCCESS else TaskState.FAILED)
    world.airflow.end(run, state)
    world.clock.tick(1)
    await world.look()


async def edit(world: World, **spec) -> None:
    world.jobs.edit(KEY, spec)
    await world.see_all()


class TestSuspending:
    """suspend: as in a batch/v1 Job."""

    async def test_created_suspended_nothing_runs(self, world: World) -> None:
        await world.apply(suspend=True)
        assert world.status.phase is Phase.SUSPENDED
        assert world.condition("Suspended") == "True"
        assert (world.condition("Reconciling"), world.condition("Stalled")) == ("False", "False")
        assert not world.held
        assert not world.airflow.runs
        assert world.status.active_since is None

    async def test_resumed_it_runs(self, world: World) -> None:
        await world.apply(suspend=True)
        world.clock.tick(500)
        await edit(world, suspend=False)
        assert world.status.phase is Phase.QUEUED
        assert (world.condition("Suspended"), world.status.attempts) == ("False", 1)
        assert world.status.active_since == world.clock().replace(microsecond=0)
        assert world.told == ["Suspended", "Resumed", "Submitted"] or world.told == ["Suspended", "Submitted"]

    async def test_suspending_cancels_the_run_and_resuming_starts_another(self, world: World) -> None:
        await world.apply(cancellation={"strategy": "Api"}, backoffLimit=3)
        await begin(world)
        await edit(world, suspend=True)
        assert world.status.phase is Phase.SUSPENDED
        assert newest(world).state is RunState.FAILED
        assert not world.held, "a suspended MLJob owes nothing"
        (entry,) = world.status.history or []
        assert (entry.attempt, entry.phase, entry.reason) == (1, Phase.CANCELLED, "Suspending")
        assert not world.status.failed_attempts, "a suspension is no failure"
        await world.look()
        await edit(world, suspend=False)
        assert (world.status.phase, world.status.attempts) == (Phase.QUEUED, 2)
        assert len(runs(world)) == 2
        await end(world, RunState.SUCCESS)
        assert world.status.phase is Phase.SUCCEEDED

    async def test_a_run_that_succeeds_while_it_is_suspended_has_succeeded(self, world: World) -> None:
        await world.apply()
        await begin(world)
        await edit(world, suspend=True)
        assert (world.status.phase, world.status.reason) == (Phase.CANCELLING, "Suspending")
        await end(world, RunState.SUCCESS)
        assert world.status.phase is Phase.SUCCEEDED

    async def test_resumed_in_mid_cancellation_the_run_is_lost_and_another_one_follows(self, world: World) -> None:
        await world.apply()
        await begin(world)
        await edit(world, suspend=True)
        await edit(world, suspend=False)
        assert world.status.phase is Phase.CANCELLING
        assert active(world) == 1
        await end(world, RunState.FAILED)
        assert (world.status.attempts, active(world)) == (2, 1)

    async def test_a_restart_in_mid_suspension_goes_on_with_it(self, world: World) -> None:
        await world.apply()
        await begin(world)
        await edit(world, suspend=True)
        await world.restart()
        await end(world, RunState.FAILED)
        assert world.status.phase is Phase.SUSPENDED

    async def test_a_suspended_mljob_can_be_deleted_while_the_operator_is_down(self, world: World) -> None:
        await world.apply(suspend=True)
        world.jobs.user_deletes(KEY, world.clock())
        assert not world.exists


class TestCancelling:
    """cancel: true keeps the record."""

    async def test_the_run_is_cancelled_and_the_mljob_stays(self, world: World) -> None:
        await world.apply(cancellation={"strategy": "Api"}, backoffLimit=3)
        await begin(world)
        await edit(world, cancel=True)
        assert (world.status.phase, world.status.reason) == (Phase.CANCELLED, "CancelRequested")
        assert (world.condition("Failed"), world.condition("Stalled")) == ("True", "True")
        assert newest(world).state is RunState.FAILED
        assert not world.held
        await world.later(3600)
        assert len(runs(world)) == 1

    async def test_created_cancelled_nothing_runs(self, world: World) -> None:
        await world.apply(cancel=True)
        assert world.status.phase is Phase.CANCELLED
        assert not world.airflow.runs

    async def test_one_that_waits_is_cancelled_at_once(self, world: World) -> None:
        await world.apply(dagId="unknown")
        await edit(world, cancel=True)
        assert world.status.phase is Phase.CANCELLED
        assert not world.held

    async def test_a_submission_without_an_answer_is_found_and_cancelled(self, world: World) -> None:
        world.airflow.lose_answers = 1
        await world.apply(cancellation={"strategy": "Api"})
        await edit(world, cancel=True)
        assert newest(world).state is RunState.FAILED
        assert world.status.phase is Phase.CANCELLED


class TestDeadlines:
    """activeDeadlineSeconds and preRunningDeadlineSeconds."""

    async def test_a_job_that_is_active_for_too_long_is_cancelled_and_fails(self, world: World) -> None:
        await world.apply(activeDeadlineSeconds=100, backoffLimit=5, cancellation={"strategy": "Api"})
        await begin(world)
        await world.later(90)
        assert world.status.phase is Phase.RUNNING
        await world.later(10)
        assert (world.status.phase, world.status.reason) == (Phase.FAILED, "DeadlineExceeded")
        assert newest(world).state is RunState.FAILED
        assert "DeadlineExceeded" in world.told
        await world.later(3600)
        assert len(runs(world)) == 1

    async def test_it_counts_over_attempts_and_restarts(self, world: World) -> None:
        await world.apply(activeDeadlineSeconds=100, backoffLimit=5, cancellation={"strategy": "Api"})
        await begin(world)
        await end(world, RunState.FAILED)
        await world.later(60)
        assert world.status.attempts == 2
        await world.restart()
        await world.later(30)
        assert world.status.phase is not Phase.FAILED
        await world.later(10)
        assert world.status.reason == "DeadlineExceeded"

    async def test_it_counts_while_nothing_could_be_submitted(self, world: World) -> None:
        world.airflow.down = True
        await world.apply(activeDeadlineSeconds=100)
        await world.later(50)
        await world.later(51)
        # Whether a run was started can't be known without Airflow, so the MLJob holds on to it.
        assert (world.status.phase, world.status.reason) == (Phase.CANCELLING, "DeadlineExceeded")
        world.airflow.down = False
        await world.later(60)
        assert (world.status.phase, world.status.reason) == (Phase.FAILED, "DeadlineExceeded")
        assert not world.held

    async def test_a_run_whose_first_task_does_not_start_is_given_up(self, world: World) -> None:
        world.airflow.paused.add("train")
        await world.apply(preRunningDeadlineSeconds=30, cancellation={"strategy": "Api"})
        await world.look()
        await world.later(31)
        assert (world.status.phase, world.status.reason) == (Phase.FAILED, "PreRunningDeadlineExceeded")
        assert "paused" in (world.status.message or "")

    async def test_once_a_task_has_started_that_deadline_is_met(self, world: World) -> None:
        await world.apply(preRunningDeadlineSeconds=30)
        await begin(world)
        await world.later(300)
        assert world.status.phase is Phase.RUNNING

    async def test_the_time_between_two_attempts_does_not_count(self, world: World) -> None:
        await world.apply(preRunningDeadlineSeconds=15, backoffLimit=3, retryStrategy="NewRun")
        for delay in (10, 20):
            await begin(world)
            await end(world, RunState.FAILED)
            await world.later(delay)
        assert (world.status.phase, world.status.attempts) == (Phase.QUEUED, 3)
        await world.later(12)
        assert world.status.phase is Phase.QUEUED
        await world.later(4)
        assert world.status.reason == "PreRunningDeadlineExceeded"

    async def test_a_dag_that_never_appears_is_given_up(self, world: World) -> None:
        await world.apply(dagId="never", preRunningDeadlineSeconds=30)
        await world.later(31)
        assert (world.status.phase, world.status.reason) == (Phase.FAILED, "PreRunningDeadlineExceeded")
        assert "never" in (world.status.message or ""), "it says what it waited for"


class TestRetrying:
    """backoffLimit and retryStrategy."""

    async def test_failed_tasks_of_the_same_run_are_run_again(self, world: World) -> None:
        await world.apply(backoffLimit=2)
        await begin(world)
        await end(world, RunState.FAILED)
        assert (world.status.phase, world.status.reason) == (Phase.PENDING, "RetryBackoff")
        assert (world.status.failed_attempts, world.status.attempts) == (1, 1)
        assert world.held
        await world.later(8)
        assert newest(world).state is RunState.FAILED
        await world.later(2)
        run = newest(world)
        assert run.state is RunState.QUEUED
        assert run.tasks["extract", -1].state is TaskState.SUCCESS, "what had succeeded isn't run again"
        assert (world.status.phase, world.status.attempts, len(runs(world))) == (Phase.QUEUED, 2, 1)
        await world.look()
        await end(world, RunState.SUCCESS)
        assert world.status.phase is Phase.SUCCEEDED
        assert [entry.phase for entry in world.status.history or []] == [Phase.FAILED]

    async def test_a_new_run_starts_afresh(self, world: World) -> None:
        await world.apply(backoffLimit=1, retryStrategy="NewRun")
        await end(world, RunState.FAILED)
        await world.later(10)
        assert len(runs(world)) == 2
        assert (world.status.phase, world.status.dag_run_id) == (Phase.QUEUED, runs(world)[1])
        assert world.status.tasks is None or world.status.progress in (None, "0/2")

    async def test_when_no_attempt_is_left_the_mljob_fails(self, world: World) -> None:
        await world.apply(backoffLimit=1, retryStrategy="NewRun")
        await end(world, RunState.FAILED)
        await world.later(10)
        await end(world, RunState.FAILED)
        assert (world.status.phase, world.status.reason) == (Phase.FAILED, "BackoffLimitExceeded")
        assert world.status.failed_attempts == 2
        assert not world.held
        await world.later(3600)
        assert len(runs(world)) == 2

    async def test_the_backoff_doubles_and_survives_a_restart(self, world: World) -> None:
        await world.apply(backoffLimit=3, retryStrategy="NewRun")
        await end(world, RunState.FAILED)
        await world.later(10)
        await end(world, RunState.FAILED)
        await world.later(10)
        await world.restart()
        assert len(runs(world)) == 2
        await world.later(9)
        assert len(runs(world)) == 3

    async def test_the_end_of_the_first_attempt_told_again_does_not_end_the_second(self, world: World) -> None:
        """Events that were not committed before a restart are read again after it."""
        await world.apply(backoffLimit=2)
        await begin(world)
        failed = RunFact(RunState.FAILED, StatusSource.KAFKA, world.clock(), world.clock())
        await end(world, RunState.FAILED)
        await world.later(10)
        await world.restart()
        await world.tell(failed, run_id=runs(world)[0])
        assert world.status.phase in (Phase.QUEUED, Phase.PENDING)
        assert (world.status.attempts, world.status.failed_attempts) == (2, 1)

    async def test_a_lost_answer_to_the_clearing_is_not_a_second_clearing(self, world: World) -> None:
        await world.apply(backoffLimit=2)
        await begin(world)
        await end(world, RunState.FAILED)
        world.airflow.lose_answers = 1
        await world.later(10)
        cleared_at = newest(world).created
        await world.later(60)
        assert newest(world).created == cleared_at
        assert (world.status.phase, world.status.attempts) == (Phase.QUEUED, 2)

    async def test_what_had_succeeded_before_stays_in_the_list(self, world: World) -> None:
        """A run that was cleared looks young, and the change feed has only what has changed since."""
        await world.apply(backoffLimit=1)
        await begin(world)
        await end(world, RunState.FAILED)
        await world.later(30)
        await world.look()
        world.clock.tick(1)
        world.airflow.set_task(newest(world), "fit", TaskState.RUNNING, try_number=2)
        await world.look()
        assert world.status.task_counts is not None
        assert (world.status.task_counts.total, world.status.progress) == (2, "1/2")

    async def test_a_run_without_a_failed_task_is_retried_by_a_new_one(self, world: World) -> None:
        """It ran into dagrun_timeout: there is nothing to clear."""
        await world.apply(backoffLimit=1)
        await world.look()
        world.airflow.end(newest(world), RunState.FAILED)
        world.clock.tick(1)
        await world.look()
        for _ in range(3):
            await world.later(10)
        assert len(runs(world)) == 2
        assert (world.status.phase, world.status.attempts) == (Phase.QUEUED, 2)

    async def test_a_run_that_was_deleted_is_retried_by_a_new_one(self, world: World) -> None:
        await world.apply(backoffLimit=1)
        await world.look()
        world.airflow.runs.clear()
        world.clock.tick(61)
        await world.look()
        await world.later(10)
        assert (world.status.phase, world.status.attempts) == (Phase.QUEUED, 2)
        assert world.status.dag_run_id is not None
        assert world.status.dag_run_id.endswith("-2"), "a run id is never used twice"

    async def test_suspended_while_it_waits_for_its_next_attempt(self, world: World) -> None:
        await world.apply(backoffLimit=1)
        await end(world, RunState.FAILED)
        await edit(world, suspend=True)
        assert world.status.phase is Phase.SUSPENDED
        await world.later(60)
        assert active(world) == 0
        await edit(world, suspend=False)
        assert active(world) == 1


class TestClearedInAirflow:
    """Somebody clears a run in Airflow's UI: followed, not fought."""

    async def test_a_failed_run_that_is_cleared_is_followed(self, world: World) -> None:
        await world.apply()
        await end(world, RunState.FAILED)
        assert world.status.phase is Phase.FAILED
        assert not world.queue._slots
        world.clock.tick(60)
        world.airflow.clear(newest(world), ("fit", -1))
        await world.look()
        assert (world.status.phase, world.status.attempts) == (Phase.QUEUED, 2)
        assert world.held
        assert "ClearedInAirflow" in world.told
        assert [entry.phase for entry in world.status.history or []] == [Phase.FAILED]
        await begin(world)
        assert (world.status.phase, world.condition("Failed")) == (Phase.RUNNING, None)
        await end(world, RunState.SUCCESS)
        assert world.status.phase is Phase.SUCCEEDED
        assert not world.held

    async def test_one_that_is_cleared_while_no_operator_runs(self, world: World) -> None:
        """The change feed is not read from so long ago, but the run is among those in progress."""
        await world.apply()
        await end(world, RunState.FAILED)
        world.clock.tick(60)
        world.airflow.clear(newest(world), ("fit", -1))
        world.clock.tick(60)
        await world.restart()
        await world.look()
        assert (world.status.phase, world.status.attempts) == (Phase.QUEUED, 2)

    async def test_one_that_is_cleared_before_its_end_is_heard_of(self, world: World) -> None:
        await world.apply()
        await begin(world)
        assert world.status.phase is Phase.RUNNING
        run = newest(world)
        world.clock.tick(1)
        world.airflow.end(run, RunState.FAILED)
        world.clock.tick(1)
        world.airflow.clear(run, ("fit", -1))
        await world.look()
        assert (world.status.phase, world.status.attempts) == (Phase.QUEUED, 1)

    async def test_one_that_was_cleared_and_has_ended_again_between_two_looks(self, world: World) -> None:
        await world.apply()
        await end(world, RunState.FAILED)
        await world.look()
        world.clock.tick(60)
        world.airflow.clear(newest(world), ("fit", -1))
        world.clock.tick(1)
        await end(world, RunState.SUCCESS)
        assert (world.status.phase, world.status.attempts) == (Phase.SUCCEEDED, 2)

    @pytest.mark.parametrize("restarted", [False, True])
    async def test_one_that_is_cleared_in_the_second_of_its_end(self, world: World, *, restarted: bool) -> None:
        """An attempt within one second, whose end is told again after the clearing, by the other producer."""
        await world.apply(backoffLimit=1)
        await world.look()
        run = newest(world)
        world.clock.tick(0.2)
        world.airflow.set_task(run, "fit", TaskState.SUCCESS)
        world.airflow.end(run, RunState.SUCCESS)
        first_end = world.clock()
        await world.look()
        assert (world.status.phase, world.status.attempts) == (Phase.SUCCEEDED, 1)
        world.clock.tick(0.2)
        world.airflow.clear(run, ("fit", -1))
        await world.look()
        assert world.status.submit_time == world.clock()
        assert (world.status.phase, world.status.attempts) == (Phase.QUEUED, 2)
        if restarted:
            await world.restart()
        await world.tell(
            RunFact(RunState.SUCCESS, StatusSource.KAFKA, first_end, world.clock(), end=first_end), run_id=run.run_id
        )
        assert (world.status.phase, world.status.attempts) == (Phase.QUEUED, 2)
        world.clock.tick(0.2)
        await begin(world)
        assert world.status.phase is Phase.RUNNING
        await end(world, RunState.SUCCESS)
        await world.look()
        assert (world.status.phase, world.status.attempts) == (Phase.SUCCEEDED, 2)

    @pytest.mark.parametrize("by", ["an event", "Airflow"])
    async def test_a_task_that_is_cleared_while_the_run_goes_on_is_no_attempt(self, world: World, *, by: str) -> None:
        """It queues the run anew in Airflow, which may not have been seen before the end is told."""
        await world.apply(backoffLimit=1)
        await begin(world)
        run = newest(world)
        world.airflow.clear(run, ("extract", -1))
        world.clock.tick(1.5)
        world.airflow.set_task(run, "extract", TaskState.SUCCESS, try_number=2)
        if by == "an event":
            now = world.clock()
            await world.tell(RunFact(RunState.SUCCESS, StatusSource.KAFKA, now, now, end=now))
            await world.look()
            assert world.status.dag_run_state == "success"
        await end(world, RunState.SUCCESS)
        await world.look()
        await world.restart()
        await world.look()
        assert (world.status.phase, world.status.attempts) == (Phase.SUCCEEDED, 1)

    async def test_a_finished_mljob_is_read_once_and_not_written(self, world: World) -> None:
        await world.apply()
        await end(world, RunState.SUCCESS)
        before = world.jobs.objects[KEY]["metadata"]["resourceVersion"]
        for _ in range(3):
            await world.look()
        assert world.jobs.objects[KEY]["metadata"]["resourceVersion"] == before
        assert world.jobs.reads <= 1

    async def test_one_that_seems_to_have_ended_before_it_was_queued_was_not_cleared(self, world: World) -> None:
        """The api-server stamps the one, the scheduler the other, and their clocks differ."""
        await world.apply(backoffLimit=1, retryStrategy="NewRun")
        await begin(world)
        run = newest(world)
        world.airflow.set_task(run, "fit", TaskState.SUCCESS)
        world.airflow.end(run, RunState.SUCCESS)
        run.end = run.created - timedelta(seconds=2)
        await world.look()
        await world.restart()
        await world.look()
        assert (world.status.phase, world.status.attempts) == (Phase.SUCCEEDED, 1)

    async def test_a_cleared_run_that_seems_to_have_ended_before_it_was_cleared_has_ended(self, world: World) -> None:
        await world.apply(backoffLimit=1)
        await end(world, RunState.FAILED)
        await world.later(10)
        run = newest(world)
        world.airflow.set_task(run, "fit", TaskState.SUCCESS, try_number=2)
        world.airflow.end(run, RunState.SUCCESS)
        run.end = run.created - timedelta(seconds=2)
        await world.look()
        assert (world.status.phase, world.status.attempts) == (Phase.SUCCEEDED, 2)

    async def test_a_cancelled_mljob_stays_cancelled(self, world: World) -> None:
        await world.apply(cancellation={"strategy": "Api"})
        await begin(world)
        await edit(world, cancel=True)
        world.clock.tick(60)
        world.airflow.clear(newest(world))
        await world.look()
        assert world.status.phase is Phase.CANCELLED

    async def test_a_run_cleared_while_its_retry_is_waited_for_is_the_retry(self, world: World) -> None:
        await world.apply(backoffLimit=3)
        await begin(world)
        await end(world, RunState.FAILED)
        world.clock.tick(3)
        world.airflow.clear(newest(world), ("fit", -1))
        await world.look()
        assert (world.status.phase, world.status.attempts) == (Phase.QUEUED, 2)
        await world.later(30)
        assert (world.status.attempts, len(runs(world))) == (2, 1)


class TestRunPolicy:
    """What a change of the spec does."""

    async def test_once_a_finished_mljob_refuses_another_spec(self, world: World) -> None:
        await world.apply()
        await end(world, RunState.SUCCESS)
        await edit(world, conf={"epochs": 2})
        assert world.status.phase is Phase.SUCCEEDED
        assert world.condition("SpecApplied") == "False"
        assert (world.condition("Complete"), world.condition("Stalled")) == ("True", "True")
        assert world.status.observed_generation == 2
        assert len(runs(world)) == 1
        await edit(world, conf={})
        assert (world.condition("SpecApplied"), world.condition("Stalled")) == (None, "False")

    async def test_once_a_retry_runs_what_the_first_attempt_ran(self, world: World) -> None:
        await world.apply(conf={"epochs": 1}, backoffLimit=1, retryStrategy="NewRun")
        await end(world, RunState.FAILED)
        await edit(world, conf={"epochs": 2})
        await world.later(10)
        assert newest(world).conf == {"epochs": 1}
        assert world.condition("SpecApplied") == "False"

    async def test_on_change_cancels_and_runs_anew(self, world: World) -> None:
        await world.apply(runPolicy="OnChange", conf={"epochs": 1}, cancellation={"strategy": "Api"})
        await begin(world)
        await edit(world, conf={"epochs": 2})
        assert (world.status.phase, world.status.attempts) == (Phase.QUEUED, 2)
        assert newest(world).conf == {"epochs": 2}
        assert active(world) == 1

    async def test_quick_edits_end_with_the_last_one_and_one_run_at_a_time(self, world: World) -> None:
        await world.apply(runPolicy="OnChange", conf={"epochs": 1})
        await begin(world)
        for epochs in (2, 3, 4):
            await edit(world, conf={"epochs": epochs})
            assert active(world) == 1
        await end(world, RunState.FAILED)
        assert newest(world).conf == {"epochs": 4}
        assert (active(world), len(runs(world)), world.status.attempts) == (1, 2, 2)

    async def test_on_change_a_finished_mljob_runs_again(self, world: World) -> None:
        await world.apply(runPolicy="OnChange")
        await end(world, RunState.SUCCESS)
        await edit(world, conf={"epochs": 2})
        assert (world.status.phase, world.status.attempts) == (Phase.QUEUED, 2)
        assert world.condition("Complete") is None
        assert [entry.phase for entry in world.status.history or []] == [Phase.SUCCEEDED]

    async def test_on_change_each_spec_has_its_own_time(self, world: World) -> None:
        await world.apply(runPolicy="OnChange", activeDeadlineSeconds=100)
        await end(world, RunState.SUCCESS)
        world.clock.tick(3600)
        await edit(world, conf={"epochs": 2})
        assert (world.status.phase, world.status.attempts) == (Phase.QUEUED, 2)

    async def test_a_change_that_runs_nothing_else_starts_nothing(self, world: World) -> None:
        await world.apply(runPolicy="OnChange")
        await edit(world, backoffLimit=3)
        assert len(runs(world)) == 1

    async def test_once_per_spec_takes_over_the_finished_run(self, world: World) -> None:
        await world.apply(runPolicy="OncePerSpec", conf={"day": 1})
        await end(world, RunState.SUCCESS)
        world.jobs.user_deletes(KEY, world.clock())
        assert not world.exists
        await world.see_all()
        await world.apply(runPolicy="OncePerSpec", conf={"day": 1})
        assert world.status.phase is Phase.SUCCEEDED
        assert len(runs(world)) == 1

    async def test_once_per_spec_takes_over_the_newest_of_several_runs(self, world: World) -> None:
        spec = {"runPolicy": "OncePerSpec", "cancellation": {"strategy": "Api"}}
        await world.apply(**spec)
        await begin(world)
        await edit(world, suspend=True)
        await edit(world, suspend=False)
        await end(world, RunState.SUCCESS)
        world.jobs.user_deletes(KEY, world.clock())
        await world.see_all()
        await world.apply(**spec)
        assert (world.status.phase, world.status.attempts) == (Phase.SUCCEEDED, 1)
        assert world.status.dag_run_id == runs(world)[1]
        assert len(runs(world)) == 2

    async def test_once_per_spec_waits_for_airflow_before_it_says_which_run(self, world: World) -> None:
        world.airflow.down = True
        await world.apply(runPolicy="OncePerSpec")
        assert (world.status.phase, world.status.reason) == (Phase.PENDING, "AirflowUnavailable")
        assert world.status.attempts is None
        world.airflow.down = False
        await world.later(15)
        assert (world.status.phase, len(runs(world))) == (Phase.QUEUED, 1)

    async def test_once_per_spec_deleted_while_airflow_is_away_goes_at_once(self, world: World) -> None:
        world.airflow.down = True
        await world.apply(runPolicy="OncePerSpec")
        await world.delete()
        assert not world.exists

    async def test_once_per_spec_runs_another_spec(self, world: World) -> None:
        await world.apply(runPolicy="OncePerSpec", conf={"day": 1})
        await end(world, RunState.SUCCESS)
        await edit(world, conf={"day": 2})
        assert len(runs(world)) == 2
        await end(world, RunState.SUCCESS)
        await edit(world, conf={"day": 1})
        assert len(runs(world)) == 2
        assert (world.status.phase, world.status.dag_run_id) == (Phase.SUCCEEDED, runs(world)[0])


class TestExpiry:
    """ttlSecondsAfterFinished."""

    @pytest.mark.parametrize("seconds", [0, 60])
    async def test_one_that_is_cancelled_before_it_began_expires_too(self, world: World, seconds: int) -> None:
        await world.apply(cancel=True, ttlSecondsAfterFinished=seconds)
        assert world.exists is (seconds > 0)
        await world.later(seconds)
        assert not world.exists

    async def test_a_finished_mljob_goes_when_its_time_is_up(self, world: World) -> None:
        await world.apply(ttlSecondsAfterFinished=60)
        await end(world, RunState.SUCCESS)
        assert not world.held
        await world.later(50)
        assert world.exists
        await world.later(10)
        assert not world.exists
        assert len(runs(world)) == 1

    async def test_also_when_the_operator_was_restarted(self, world: World) -> None:
        await world.apply(ttlSecondsAfterFinished=60)
        await end(world, RunState.SUCCESS)
        world.clock.tick(100)
        await world.restart()
        await world.later(1)
        assert not world.exists

    async def test_one_that_took_over_an_old_run_has_its_time_too(self, world: World) -> None:
        await world.apply(runPolicy="OncePerSpec", ttlSecondsAfterFinished=60)
        await end(world, RunState.SUCCESS)
        await world.later(61)
        assert not world.exists
        world.clock.tick(1000)
        await world.apply(runPolicy="OncePerSpec", ttlSecondsAfterFinished=60)
        assert world.status.phase is Phase.SUCCEEDED
        await world.later(50)
        assert world.exists
        await world.later(20)
        assert not world.exists
        assert len(runs(world)) == 1


class TestConf:
    """conf, confFrom, and the DAG's params."""

    async def test_sources_are_merged_in_order_and_conf_wins(self, world: World) -> None:
        world.jobs.data = {
            ("ConfigMap", "defaults"): {"a": "1", "b": "1", "c": "1", "more.json": '{"deep": {"x": 1}}'},
            ("Secret", "warehouse"): {"b": "2", "c": "2"},
        }
        await world.apply(
            conf={"c": 3},
            confFrom=[{"configMapRef": {"name": "defaults"}}, {"secretRef": {"name": "warehouse"}}],
        )
        assert newest(world).conf == {"a": "1", "b": "2", "c": 3, "deep": {"x": 1}}

    async def test_a_missing_reference_is_waited_for_by_name(self, world: World) -> None:
        await world.apply(confFrom=[{"secretRef": {"name": "warehouse"}}])
        assert (world.status.phase, world.status.reason) == (Phase.PENDING, "ReferenceMissing")
        assert "Secret warehouse" in (world.status.message or "")
        world.jobs.data["Secret", "warehouse"] = {"password": "hunter2"}
        await world.later(30)
        assert newest(world).conf == {"password": "hunter2"}

    async def test_an_optional_reference_is_not_waited_for(self, world: World) -> None:
        await world.apply(confFrom=[{"configMapRef": {"name": "defaults", "optional": True}}])
        assert world.status.phase is Phase.QUEUED

    async def test_the_dags_params_are_checked_with_the_path(self, world: World) -> None:
        world.airflow.dag_params["train"] = {
            "epochs": {"value": 3, "schema": {"type": "integer"}},
            "model": {"value": None, "schema": {"type": "object", "properties": {"size": {"type": "integer"}}}},
        }
        await world.apply(conf={"epochs": "many", "model": {"size": "big"}})
        assert world.status.reason == "ValidationFailed"
        assert "spec.conf.epochs: 'many' is not of type 'integer'" in (world.status.message or "")
        assert "spec.conf.model.size" in (world.status.message or "")
        assert "submit" not in world.airflow.calls
        await edit(world, conf={"epochs": 3})
        assert "spec.conf.model: required, of type object" in (world.status.message or "")

    async def test_a_secret_is_told_to_nobody(self, world: World, caplog) -> None:
        world.airflow.dag_params["train"] = {"password": {"value": "", "schema": {"type": "string", "maxLength": 3}}}
        world.jobs.data["Secret", "warehouse"] = {"password": "hunter2"}
        await world.apply(confFrom=[{"secretRef": {"name": "warehouse"}}])
        assert world.status.reason == "ValidationFailed"
        everything = f"{world.jobs.objects} {world.jobs.notices} {caplog.text}"
        assert "hunter2" not in everything
        assert "spec.conf.password" in everything


class TestOutputs:
    """spec.outputs."""

    async def test_xcoms_become_outputs(self, world: World) -> None:
        await world.apply(outputs=[{"name": "score", "taskId": "fit"}, {"name": "lost", "taskId": "nobody"}])
        newest(world).xcoms["fit", "return_value"] = 0.93
        await end(world, RunState.SUCCESS)
        assert world.status.outputs == {"score": 0.93}


async def test_a_task_whose_change_is_stamped_before_its_run_was_queued_stays_in_the_status(world: World) -> None:
    """Airflow's hosts have clocks of their own: it is out of the change feed while the run seems to have all its tasks there."""
    await world.apply()
    run = newest(world)
    world.airflow.begin(run)
    world.airflow.set_task(run, "extract", TaskState.SUCCESS)
    run.tasks["extract", -1] = replace(run.tasks["extract", -1], at=run.created - timedelta(seconds=3))
    await world.look()
    assert world.status.progress == "1/2"
    world.clock.tick(10)
    await world.look()
    world.airflow.set_task(run, "fit", TaskState.RUNNING)
    await world.look()
    assert (world.status.progress, world.status.task_counts.total) == ("1/2", 2)


async def test_an_event_of_an_earlier_run_changes_nothing(world: World) -> None:
    await world.apply(backoffLimit=1, retryStrategy="NewRun")
    first = runs(world)[0]
    await end(world, RunState.FAILED)
    await world.later(10)
    before = world.status
    await world.tell(event("fit", TaskState.RUNNING), run_id=first)
    assert world.status == before


def test_a_conf_with_a_nul_is_refused_before_airflow_fails_on_it() -> None:
    found = problems({"label": {"deep": ["a\x00b"]}, "fine": "\\u0000"}, {})
    assert found == ["spec.conf.label: has a NUL character, which Airflow's database can't hold"]
