from __future__ import annotations

from datetime import timedelta
from typing import Any

from mljob_contract.backfill_marker import Marker
from mljob_contract.mljob import Phase, ReprocessBehavior, StatusSource
from mljob_operator.core.run.facts import RunFact
from mljob_operator.core.run.run_key import SETTINGS_AIRFLOW, RunKey
from mljob_operator.core.run.states import RunState
from tests.unit.operator.conftest import World

from .backfills import DAYS, apply, begin, counts, end, made, of, runs


class TestRetrying:
    async def failed(self, world: World, **spec: Any) -> None:
        await apply(world, backoffLimit=2, **spec)
        first, second, *rest = runs(world)
        await begin(world, first, second, *rest)
        await end(world, RunState.FAILED, second)
        await end(world, RunState.SUCCESS, first, *rest)

    async def test_retry_runs_the_failed_runs_again_and_counts_the_others(self, world: World) -> None:
        await self.failed(world, conf={"model": "churn"}, backfill={"maxActiveRuns": 2})
        assert (world.status.phase, world.status.reason) == (Phase.PENDING, "RetryBackoff")
        assert "2025-12-02" in world.message
        world.airflow.backfills.close(1)
        await world.later(10)
        again = world.airflow.backfills.made[2]
        assert (again.reprocess, again.max_active_runs, again.conf) == (
            ReprocessBehavior.FAILED,
            2,
            {"model": "churn"},
        )
        assert again.marker == Marker(world.status.dag_run_id or "", 2)
        assert [run.run_id for run in runs(world, 2)] == ["backfill__2025-12-02T00:00:00+00:00"]
        assert (world.status.phase, world.status.progress, of(world).id) == (Phase.QUEUED, "3/4", 2)
        await end(world, RunState.SUCCESS, *runs(world, 2))
        assert (world.status.phase, world.status.progress, world.status.attempts) == (Phase.SUCCEEDED, "4/4", 2)
        assert [(entry.phase, entry.reason, entry.progress) for entry in world.status.history or ()] == [
            (Phase.FAILED, "BackfillRunsFailed", "3/4")
        ]

    async def test_retry_waits_until_airflow_has_closed_the_previous_backfill(self, world: World) -> None:
        await self.failed(world)
        await world.later(10)
        assert world.status.reason == "BackfillActive"
        world.airflow.backfills.close(1)
        await world.later(10)
        assert (made(world), world.status.phase) == (2, Phase.QUEUED)

    async def test_lost_response_does_not_create_a_second_backfill(self, world: World) -> None:
        await self.failed(world)
        world.airflow.backfills.close(1)
        world.airflow.backfills.lose_answers = 1
        await world.later(10)
        await world.restart()
        await world.later(5)
        assert (made(world), world.status.phase, world.status.attempts) == (2, Phase.QUEUED, 2)

    async def test_retry_whose_request_was_lost_runs_only_the_failed_runs(self, world: World) -> None:
        await self.failed(world)
        world.airflow.backfills.close(1)
        world.airflow.backfills.lose_requests = 1
        await world.later(10)
        assert world.status.reason == "AirflowUnavailable"
        for _ in range(3):
            await world.later(31)
        again = world.airflow.backfills.made[2]
        assert (again.reprocess, again.marker) == (ReprocessBehavior.FAILED, Marker(world.status.dag_run_id or "", 2))
        assert [run.run_id for run in runs(world, 2)] == ["backfill__2025-12-02T00:00:00+00:00"]

    async def test_retry_follows_soon_after_the_previous_backfill_could_not_be_read(self, world: World) -> None:
        await self.failed(world)
        world.airflow.backfills.close(1)
        world.airflow.time_out["find_backfill"] = 1
        await world.later(10)
        assert (made(world), world.status.reason) == (1, "AirflowUnavailable")
        await world.later(2)
        assert made(world) == 2

    async def test_late_event_of_a_failure_is_not_counted_as_another_failure(self, world: World) -> None:
        await self.failed(world)
        failed_at = world.clock() - timedelta(seconds=2)
        world.airflow.backfills.close(1)
        await world.later(10)
        late = RunFact(RunState.FAILED, StatusSource.KAFKA, failed_at, world.clock())
        world.job_controller.observe_backfill_event(
            [RunKey(SETTINGS_AIRFLOW, DAYS, runs(world, 2)[0].run_id)], late, lambda: None
        )
        await world.settle()
        assert (world.status.phase, counts(world).failed) == (Phase.QUEUED, 0)

    async def test_mljob_fails_when_no_attempt_is_left(self, world: World) -> None:
        await self.failed(world)
        for attempt in (2, 3):
            world.airflow.backfills.close(attempt - 1)
            await world.later(25)
            assert made(world) == attempt
            await end(world, RunState.FAILED, *runs(world, attempt))
        assert (world.status.phase, world.status.reason) == (Phase.FAILED, "BackoffLimitExceeded")
        assert "2025-12-02" in world.message

    async def test_requested_retry_runs_the_failed_runs_again(self, world: World) -> None:
        await apply(world)
        first, *rest = runs(world)
        await begin(world, first, *rest)
        await end(world, RunState.FAILED, first)
        await end(world, RunState.SUCCESS, *rest)
        assert world.status.phase is Phase.FAILED
        world.airflow.backfills.close(1)
        await world.later(60)
        await world.request_retry("monday")
        assert world.airflow.backfills.made[2].reprocess is ReprocessBehavior.FAILED
        assert [run.run_id for run in runs(world, 2)] == [first.run_id]
        assert (world.status.phase, world.status.attempts, world.status.progress) == (Phase.QUEUED, 2, "3/4")
        assert world.status.last_handled_retry == "monday"
        await end(world, RunState.SUCCESS, *runs(world, 2))
        assert (world.status.phase, world.status.progress) == (Phase.SUCCEEDED, "4/4")

    async def test_requested_retry_runs_again_what_a_deadline_cancelled(self, world: World) -> None:
        await apply(world, activeDeadlineSeconds=60)
        first, *_ = runs(world)
        await begin(world, first)
        await end(world, RunState.SUCCESS, first)
        for _ in range(3):
            await world.later(61)
        assert (world.status.phase, world.status.reason) == (Phase.FAILED, "DeadlineExceeded")
        await world.request_retry()
        assert (made(world), world.status.phase, world.status.progress) == (2, Phase.QUEUED, "1/4")

    async def test_requested_retry_of_a_backfill_that_succeeded_creates_what_the_spec_says(self, world: World) -> None:
        await apply(world, backfill={"reprocessBehavior": "Completed"})
        await end(world, RunState.SUCCESS, *runs(world))
        assert world.status.phase is Phase.SUCCEEDED
        world.airflow.backfills.close(1)
        await world.later(60)
        await world.request_retry()
        assert (made(world), world.status.attempts) == (2, 2)
        assert world.airflow.backfills.made[2].reprocess is ReprocessBehavior.COMPLETED
