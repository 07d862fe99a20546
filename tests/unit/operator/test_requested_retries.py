"""A user requests a retry by an annotation of the MLJob."""

from __future__ import annotations

import asyncio

import pytest

from mljob_contract.mljob import RETRY_REQUESTED_AT, Phase
from mljob_operator.controllers.mljob import steps
from mljob_operator.core.run.states import RunState, TaskState

from .conftest import KEY, World
from .runs import active, begin, edit, end, newest, runs


async def fail(world: World, **spec: object) -> None:
    await world.apply(**spec)
    await begin(world)
    await end(world, RunState.FAILED)
    await world.later(60)


class TestRequestedRetry:
    async def test_failed_tasks_of_the_same_run_run_again(self, world: World) -> None:
        await fail(world)
        assert not world.job_controller.workers.tracked
        await world.request_retry("monday")
        run = newest(world)
        assert (world.status.phase, world.status.attempts, len(runs(world))) == (Phase.QUEUED, 2, 1)
        assert run.tasks["extract", -1].state is TaskState.SUCCESS, "what had succeeded isn't run again"
        assert world.status.last_handled_retry == "monday"
        assert world.has_finalizer
        assert "RetryRequested" in world.event_reasons
        assert "ClearedInAirflow" not in world.event_reasons
        await world.look()
        await end(world, RunState.SUCCESS)
        assert (world.status.phase, world.condition("Failed")) == (Phase.SUCCEEDED, None)
        assert [entry.phase for entry in world.status.history or []] == [Phase.FAILED]
        assert not world.has_finalizer

    async def test_tasks_that_run_again_are_in_the_status_at_once(self, world: World) -> None:
        await fail(world)
        await world.request_retry("monday")
        await world.look()
        run = newest(world)
        world.airflow.begin(run)
        world.clock.tick(1)
        world.airflow.set_task(run, "fit", TaskState.RUNNING, try_number=2)
        await world.look()
        assert world.status.current_task == "fit"
        assert [(task.task_id, task.state) for task in world.status.tasks or ()] == [
            ("extract", "success"),
            ("fit", "running"),
        ]
        assert world.status.progress == "1/2"

    async def test_new_run_runs_every_task(self, world: World) -> None:
        await fail(world, retryStrategy="NewRun")
        await world.request_retry()
        assert (world.status.phase, len(runs(world))) == (Phase.QUEUED, 2)
        assert world.status.dag_run_id == runs(world)[1]

    async def test_mljob_that_succeeded_runs_again_in_a_new_run(self, world: World) -> None:
        await world.apply()
        await end(world, RunState.SUCCESS)
        await world.later(60)
        await world.request_retry()
        assert (world.status.phase, world.status.attempts, len(runs(world))) == (Phase.QUEUED, 2, 2)
        assert [entry.phase for entry in world.status.history or []] == [Phase.SUCCEEDED]

    async def test_same_value_retries_once_and_another_value_retries_again(self, world: World) -> None:
        await fail(world)
        await world.request_retry("monday")
        await world.look()
        await end(world, RunState.FAILED)
        await world.later(60)
        await world.request_retry("monday")
        await world.restart()
        await world.later(60)
        assert (world.status.phase, world.status.attempts) == (Phase.FAILED, 2)
        await world.request_retry("tuesday")
        assert (world.status.phase, world.status.attempts) == (Phase.QUEUED, 3)

    async def test_request_while_no_operator_runs_is_handled_after_the_start(self, world: World) -> None:
        await fail(world)
        world.jobs.request_retry(KEY, "monday")
        await world.restart()
        assert (world.status.phase, world.status.attempts) == (Phase.QUEUED, 2)
        assert world.status.last_handled_retry == "monday"

    async def test_older_crd_without_the_receipt_starts_no_run(
        self, world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await fail(world, retryStrategy="NewRun")
        # An older CRD doesn't have this field.
        world.jobs.pruned = ("lastHandledRetry",)
        dropped = asyncio.Event()

        def backoff(*_: object) -> float:
            dropped.set()
            return 0.05

        monkeypatch.setattr(steps, "backoff", backoff)
        world.jobs.request_retry(KEY, "monday")
        annotated = await world.jobs.get(KEY)
        assert annotated is not None
        world.job_controller.observe(annotated)
        async with asyncio.timeout(180):
            await dropped.wait()
        assert len(runs(world)) == 1
        assert "does not store status.lastHandledRetry" in caplog.text

        world.jobs.pruned = ()
        async with asyncio.timeout(180):
            await world.settle()
        assert (world.status.last_handled_retry, world.status.attempts, len(runs(world))) == ("monday", 2, 2)
        # The old CRD let the attempt be announced without the request that it handles.
        [_] = world.jobs.broken
        world.jobs.broken.clear()

    async def test_automatic_retries_count_from_zero(self, world: World) -> None:
        await world.apply(backoffLimit=1, retryStrategy="NewRun")
        await end(world, RunState.FAILED)
        await world.later(10)
        await end(world, RunState.FAILED)
        assert (world.status.reason, world.status.failed_attempts) == ("BackoffLimitExceeded", 2)
        await world.later(60)
        await world.request_retry()
        assert (world.status.phase, world.status.failed_attempts) == (Phase.QUEUED, None)
        await end(world, RunState.FAILED)
        assert (world.status.reason, world.status.failed_attempts) == ("RetryBackoff", 1)
        await world.later(10)
        assert (world.status.attempts, len(runs(world))) == (4, 4)

    async def test_deadline_counts_from_the_retry(self, world: World) -> None:
        await fail(world, activeDeadlineSeconds=100)
        await world.later(3600)
        await world.request_retry()
        assert world.status.phase is Phase.QUEUED
        await world.later(90)
        assert world.status.reason != "DeadlineExceeded"

    async def test_retry_does_not_begin_in_the_second_in_which_the_run_ended(self, world: World) -> None:
        await world.apply()
        await begin(world)
        await end(world, RunState.FAILED)
        # The status stores the end of a run in whole seconds.
        await world.request_retry()
        assert (world.status.phase, world.status.attempts) == (Phase.FAILED, 1)
        await world.later(10)
        assert (world.status.phase, world.status.attempts) == (Phase.QUEUED, 2)

    async def test_request_that_is_taken_back_retries_nothing(self, world: World) -> None:
        await world.apply()
        await begin(world)
        await world.request_retry("monday")
        world.jobs.request_retry(KEY, "")
        await world.see_all()
        await end(world, RunState.FAILED)
        await world.later(60)
        assert (world.status.phase, world.status.attempts) == (Phase.FAILED, 1)
        assert world.status.last_handled_retry is None
        assert not world.job_controller.workers.tracked

    async def test_failed_mljob_says_how_to_retry_it_and_its_history_only_what_failed(self, world: World) -> None:
        await fail(world)
        assert f"kubectl annotate --overwrite -n team-a mljob/churn {RETRY_REQUESTED_AT}=" in world.message
        await world.request_retry()
        (entry,) = world.status.history or []
        assert "kubectl" not in entry.message

    async def test_run_that_was_deleted_in_airflow_is_followed_by_a_new_run(self, world: World) -> None:
        await fail(world, backoffLimit=0)
        world.airflow.runs.clear()
        await world.request_retry()
        for _ in range(3):
            await world.later(10)
        assert (world.status.phase, world.status.attempts) == (Phase.QUEUED, 2)
        assert (world.status.dag_run_id or "").endswith("-2"), "a run id is never used twice"

    async def test_run_that_a_deadline_cancelled_is_followed_by_a_new_run(self, world: World) -> None:
        await world.apply(activeDeadlineSeconds=60, cancellation={"strategy": "Api"})
        await begin(world)
        await world.later(61)
        await world.later(10)
        assert (world.status.phase, world.status.reason) == (Phase.FAILED, "DeadlineExceeded")
        await world.later(60)
        # A cancellation may leave tasks skipped. Clearing the failed tasks would not run the
        # skipped tasks.
        await world.request_retry()
        assert (world.status.phase, len(runs(world)), active(world)) == (Phase.QUEUED, 2, 1)

    async def test_mljob_that_never_began_an_attempt_begins_its_first(self, world: World) -> None:
        world.airflow.down = True
        await world.apply(runPolicy="OncePerSpec", activeDeadlineSeconds=30)
        await world.later(31)
        assert (world.status.phase, world.status.attempts) == (Phase.FAILED, None)
        world.airflow.down = False
        await world.later(60)
        await world.request_retry()
        await world.later(3)
        assert (world.status.phase, world.status.attempts, len(runs(world))) == (Phase.QUEUED, 1, 1)
        assert world.status.history is None

    async def test_once_retries_the_spec_that_ran(self, world: World) -> None:
        await fail(world, conf={"epochs": 1}, retryStrategy="NewRun")
        await edit(world, conf={"epochs": 2})
        await world.request_retry()
        assert newest(world).conf == {"epochs": 1}
        assert world.condition("SpecApplied") == "False"

    async def test_once_per_spec_runs_again_what_succeeded(self, world: World) -> None:
        await world.apply(runPolicy="OncePerSpec")
        await world.later(3)
        await end(world, RunState.SUCCESS)
        await world.later(60)
        await world.request_retry()
        assert (world.status.phase, len(runs(world))) == (Phase.QUEUED, 2)
        await end(world, RunState.SUCCESS)
        await world.delete()
        await world.apply(runPolicy="OncePerSpec")
        await world.later(3)
        assert (world.status.phase, world.status.dag_run_id) == (Phase.SUCCEEDED, runs(world)[1])

    async def test_retry_waits_for_an_airflow_with_capacity(self, world: World) -> None:
        prod = await world.add_instance("prod", maxActiveRuns=1)
        await world.apply(airflowRef={"name": "prod"})
        run = prod.only_run()
        prod.set_task(run, "fit", TaskState.FAILED)
        prod.end(run, RunState.FAILED)
        await world.resync_of("prod").pass_once()
        await world.later(60)
        assert world.status.phase is Phase.FAILED
        world.jobs.create("other", {"dagId": "train", "airflowRef": {"name": "prod"}})
        await world.see_all()
        await world.request_retry("monday")
        assert (world.status.phase, world.status.attempts) == (Phase.FAILED, 1)
        assert world.condition("Reconciling") == "True"
        assert world.status.last_handled_retry is None
        world.jobs.user_deletes((KEY[0], "other"), world.clock())
        await world.see_all()
        for _ in range(10):
            await world.later(10)
        assert (world.status.phase, world.status.attempts) == (Phase.QUEUED, 2)
        assert world.status.last_handled_retry == "monday"


class TestRequestAtOtherTimes:
    @pytest.mark.parametrize("state", [RunState.FAILED, RunState.SUCCESS])
    async def test_request_waits_for_the_end_of_a_run_in_progress(self, world: World, state: RunState) -> None:
        await world.apply()
        await begin(world)
        await world.request_retry("monday")
        assert (world.status.phase, active(world)) == (Phase.RUNNING, 1)
        assert world.status.last_handled_retry is None
        await end(world, state)
        assert world.status.phase in (Phase.FAILED, Phase.SUCCEEDED)
        await world.later(10)
        assert (world.status.phase, world.status.attempts, active(world)) == (Phase.QUEUED, 2, 1)
        assert world.status.last_handled_retry == "monday"

    async def test_request_during_the_backoff_begins_the_next_attempt_early(self, world: World) -> None:
        await world.apply(backoffLimit=3, retryStrategy="NewRun")
        for _ in range(3):
            await end(world, RunState.FAILED)
            await world.later(10)
            if world.status.reason == "RetryBackoff":
                break
        attempts = world.status.attempts or 0
        assert world.status.reason == "RetryBackoff"
        await world.request_retry()
        assert (world.status.phase, world.status.attempts) == (Phase.QUEUED, attempts + 1)
        assert world.status.failed_attempts is None

    async def test_request_that_the_first_attempt_finds_is_handled_by_it(self, world: World) -> None:
        world.jobs.create(KEY[1], {"dagId": "train"})
        world.jobs.request_retry(KEY, "in the manifest")
        await world.see_all()
        assert (world.status.phase, world.status.last_handled_retry) == (Phase.QUEUED, "in the manifest")
        await end(world, RunState.FAILED)
        await world.later(60)
        assert (world.status.phase, world.status.attempts) == (Phase.FAILED, 1)
        assert "RetryRequested" not in world.event_reasons

    async def test_request_before_the_submission_tries_it_at_once(self, world: World) -> None:
        await world.apply(dagId="later")
        assert world.status.reason == "DagNotFound"
        world.airflow.dags["later"] = ("fit",)
        await world.request_retry("monday")
        assert (world.status.phase, world.status.attempts) == (Phase.QUEUED, 1)
        assert world.status.last_handled_retry == "monday"
        await end(world, RunState.FAILED)
        await world.later(60)
        assert (world.status.phase, world.status.attempts) == (Phase.FAILED, 1)

    async def test_cancelled_mljob_stays_cancelled(self, world: World) -> None:
        await world.apply(cancel=True)
        await world.request_retry()
        await world.restart()
        assert (world.status.phase, world.status.last_handled_retry, runs(world)) == (Phase.CANCELLED, None, [])
        assert not world.job_controller.workers.tracked

    async def test_finished_mljob_that_is_suspended_is_retried_when_it_is_resumed(self, world: World) -> None:
        await fail(world)
        await edit(world, suspend=True)
        await world.request_retry()
        assert (world.status.phase, active(world)) == (Phase.FAILED, 0)
        assert not world.job_controller.workers.tracked
        await edit(world, suspend=False)
        assert (world.status.phase, world.status.attempts, active(world)) == (Phase.QUEUED, 2, 1)

    async def test_suspended_mljob_has_one_attempt_when_it_is_resumed(self, world: World) -> None:
        await world.apply(cancellation={"strategy": "Api"})
        await begin(world)
        await edit(world, suspend=True)
        await world.request_retry("monday")
        assert (world.status.phase, world.status.last_handled_retry) == (Phase.SUSPENDED, None)
        await edit(world, suspend=False)
        assert (world.status.attempts, world.status.last_handled_retry) == (2, "monday")
        await end(world, RunState.SUCCESS)
        await world.later(60)
        assert (world.status.phase, len(runs(world))) == (Phase.SUCCEEDED, 2)

    async def test_request_keeps_an_mljob_whose_time_to_live_ends(self, world: World) -> None:
        await world.apply(ttlSecondsAfterFinished=60)
        await begin(world)
        await end(world, RunState.FAILED)
        world.clock.tick(100)
        world.jobs.request_retry(KEY, "monday")
        await world.restart()
        await world.later(1)
        assert (world.status.phase, world.status.attempts) == (Phase.QUEUED, 2)
        await world.look()
        await end(world, RunState.SUCCESS)
        await world.later(50)
        assert world.exists
        await world.later(20)
        assert not world.exists

    async def test_deleted_mljob_is_not_retried(self, world: World) -> None:
        await world.apply(cancellation={"strategy": "Api"})
        await begin(world)
        await world.request_retry()
        await world.delete()
        for _ in range(3):
            await world.later(5)
        assert not world.exists
        assert (len(runs(world)), active(world)) == (1, 0)


class TestOneAttemptForEachRequest:
    async def test_lost_answer_to_the_clear_does_not_clear_twice(self, world: World) -> None:
        await fail(world)
        world.airflow.lose_answers = 1
        await world.request_retry()
        cleared_at = newest(world).queued_at
        await world.later(60)
        assert newest(world).queued_at == cleared_at
        assert (world.status.phase, world.status.attempts) == (Phase.QUEUED, 2)

    async def test_restart_after_the_announcement_submits_the_announced_run(self, world: World) -> None:
        await fail(world, retryStrategy="NewRun")
        world.airflow.down = True
        await world.request_retry("monday")
        assert (world.status.attempts, world.status.last_handled_retry) == (2, "monday")
        world.airflow.down = False
        await world.restart()
        for _ in range(4):
            await world.later(20)
        assert (world.status.phase, world.status.attempts, len(runs(world))) == (Phase.QUEUED, 2, 2)

    async def test_overtaken_announcement_begins_one_attempt(self, world: World) -> None:
        await fail(world, retryStrategy="NewRun")
        world.jobs.overtake = 2
        await world.request_retry()
        assert (world.status.phase, world.status.attempts, len(runs(world))) == (Phase.QUEUED, 2, 2)

    async def test_requests_in_quick_succession_are_one_retry(self, world: World) -> None:
        await fail(world)
        for value in ("1", "2", "3"):
            world.jobs.request_retry(KEY, value)
        await world.see_all()
        assert (world.status.attempts, world.status.last_handled_retry) == (2, "3")
