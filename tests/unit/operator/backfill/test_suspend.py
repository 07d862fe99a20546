from __future__ import annotations

import pytest

from mljob_contract.mljob import Phase
from mljob_operator.controllers.mljob.actions import UntilDeleted
from mljob_operator.controllers.mljob.reconciler import Outcome
from mljob_operator.controllers.mljob.status_writer import difference
from mljob_operator.core.mljob.actions import Store
from mljob_operator.core.mljob.resource.job import Job
from mljob_operator.core.mljob.tracked import TrackedJob
from mljob_operator.core.run.states import RunState
from mljob_operator.core.status.tasks import RunTasks
from tests.unit.operator.conftest import World
from tests.unit.operator.runs import edit

from .backfills import apply, begin, end, made, runs


class TestSuspending:
    async def test_mljob_created_suspended_creates_no_backfill(self, world: World) -> None:
        await apply(world, suspend=True)
        assert (world.status.phase, made(world), world.has_finalizer) == (Phase.SUSPENDED, 0, False)
        await edit(world, suspend=False)
        assert (world.status.phase, made(world)) == (Phase.QUEUED, 1)

    async def test_suspending_pauses_the_backfill_and_resuming_continues_it(self, world: World) -> None:
        await apply(world, activeDeadlineSeconds=100)
        first, *rest = runs(world)
        await begin(world, first)
        await edit(world, suspend=True)
        assert world.airflow.backfills.made[1].paused
        assert (world.status.phase, world.condition("Suspended")) == (Phase.SUSPENDED, "True")
        assert "1 run in progress will end" in world.message
        assert first.state is RunState.RUNNING
        await end(world, RunState.SUCCESS, first)
        assert (world.status.phase, world.status.progress) == (Phase.SUSPENDED, "1/4")
        await world.later(3600)
        assert world.status.phase is Phase.SUSPENDED, "what is suspended is not active"

        await edit(world, suspend=False)
        assert not world.airflow.backfills.made[1].paused
        assert (world.status.phase, world.status.attempts) == (Phase.RUNNING, 1)
        await end(world, RunState.SUCCESS, *rest)
        assert (world.status.phase, made(world)) == (Phase.SUCCEEDED, 1)
        assert [world.event_reasons.count(reason) for reason in ("Suspended", "Resumed", "Submitted")] == [1, 1, 1]

    async def test_restart_keeps_the_backfill_suspended(self, world: World) -> None:
        await apply(world)
        await edit(world, suspend=True)
        await world.restart()
        await world.look()
        assert (world.status.phase, world.status.attempts) == (Phase.SUSPENDED, 1)
        await edit(world, suspend=False)
        assert not world.airflow.backfills.made[1].paused
        assert world.status.phase is Phase.QUEUED

    async def test_mljob_stays_suspended_until_airflow_has_unpaused_the_backfill(self, world: World) -> None:
        await apply(world)
        await begin(world, runs(world)[0])
        await edit(world, suspend=True)
        world.airflow.down_for["pause_backfill"] = 2
        await edit(world, suspend=False)
        assert (world.status.phase, world.status.reason) == (Phase.SUSPENDED, "Resuming")
        assert (world.condition("Suspended"), world.condition("Reconciling")) == ("True", "True")
        assert world.message == "The operator is resuming the backfill. Airflow is down for pause_backfill"
        await world.restart()
        await world.later(60)
        assert not world.airflow.backfills.made[1].paused
        assert (world.status.phase, world.condition("Suspended")) == (Phase.RUNNING, "False")
        assert [world.event_reasons.count(reason) for reason in ("Suspended", "Resumed")] == [1, 1]

    async def test_pause_that_another_process_has_announced_meanwhile_is_announced_once(
        self, world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        await apply(world)
        await begin(world, runs(world)[0])
        reconciler = world.job_controller._reconciler
        advance = reconciler.advance
        stored: list[Job] = []

        async def another_process_is_faster(tracked: TrackedJob, until_deleted: UntilDeleted) -> Outcome:
            outcome = await advance(tracked, until_deleted)
            if isinstance(outcome.action, Store) and not stored and outcome.state is not None:
                patch = difference(
                    outcome.state,
                    None,
                    ui_url=reconciler.ui_url(outcome.state.run.airflow),
                    redaction=await reconciler.redaction.of(outcome.state),
                    run_tasks=RunTasks(),
                )
                assert patch is not None
                stored.append(await world.jobs.write_status(outcome.state.job, patch.content))
                world.job_controller.observe(stored[0])
            return outcome

        monkeypatch.setattr(reconciler, "advance", another_process_is_faster)
        await edit(world, suspend=True)
        assert stored
        assert world.status.phase is Phase.SUSPENDED
        assert "unexpected error" not in caplog.text

    async def test_mljob_is_suspended_once_airflow_has_paused_the_backfill(self, world: World) -> None:
        await apply(world)
        await begin(world, runs(world)[0])
        world.airflow.down_for["pause_backfill"] = 1
        await edit(world, suspend=True)
        assert (world.status.phase, world.status.reason) == (Phase.RUNNING, "Suspending")
        assert world.condition("Suspended") == "False"
        assert "Suspended" not in world.event_reasons
        await world.later(60)
        assert world.airflow.backfills.made[1].paused
        assert (world.status.phase, world.condition("Suspended")) == (Phase.SUSPENDED, "True")
        assert world.event_reasons.count("Suspended") == 1

    async def test_deadline_runs_until_airflow_has_paused_the_backfill(self, world: World) -> None:
        await apply(world, activeDeadlineSeconds=100)
        await begin(world, runs(world)[0])
        world.airflow.down_for["pause_backfill"] = 100
        await edit(world, suspend=True)
        await world.later(101)
        await world.later(5)
        assert (world.status.phase, world.status.reason) == (Phase.FAILED, "DeadlineExceeded")

    async def test_another_edit_keeps_the_suspended_phase(self, world: World) -> None:
        await apply(world)
        await edit(world, suspend=True)
        world.airflow.down = True
        await edit(world, ttlSecondsAfterFinished=600)
        assert (world.status.reason, world.condition("Suspended")) == ("Suspended", "True")
        assert world.event_reasons.count("Suspended") == 1

    async def test_backfill_resumed_before_airflow_answered_is_not_left_paused(self, world: World) -> None:
        await apply(world)
        await begin(world, runs(world)[0])
        world.airflow.down_for["pause_backfill"] = 1
        await edit(world, suspend=True)
        # Airflow has paused the backfill, and its response was lost.
        world.airflow.backfills.set(1, paused=True)
        await world.restart()
        await edit(world, suspend=False)
        await world.later(60)
        assert not world.airflow.backfills.made[1].paused
        assert world.status.phase is Phase.RUNNING

    async def test_backfill_can_succeed_while_it_is_suspended(self, world: World) -> None:
        await apply(world)
        await begin(world, *runs(world))
        await edit(world, suspend=True)
        await end(world, RunState.SUCCESS, *runs(world))
        assert world.status.phase is Phase.SUCCEEDED

    async def test_backfill_suspended_before_its_creation_was_answered_is_paused(self, world: World) -> None:
        world.airflow.backfills.lose_answers = 1
        await apply(world)
        await edit(world, suspend=True)
        await world.later(5)
        assert world.airflow.backfills.made[1].paused
        assert (world.status.phase, made(world)) == (Phase.SUSPENDED, 1)

    async def test_backfill_paused_in_airflow_stays_paused_and_the_status_says_so(self, world: World) -> None:
        await apply(world)
        await begin(world, runs(world)[0])
        world.airflow.backfills.set(1, paused=True)
        world.clock.tick(61)
        await world.look()
        assert (world.status.phase, world.status.reason) == (Phase.RUNNING, "BackfillPaused")
        assert "pause_backfill" not in world.airflow.calls

    async def test_suspended_backfill_can_be_deleted(self, world: World) -> None:
        await apply(world)
        await edit(world, suspend=True)
        await world.delete()
        await world.later(5)
        assert not world.exists
        assert {run.state for run in runs(world)} == {RunState.FAILED}
