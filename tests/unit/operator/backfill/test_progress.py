from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mljob_contract.mljob import BackfillRuns, Phase, StatusSource
from mljob_operator.core.run.facts import RunFact
from mljob_operator.core.run.run_key import SETTINGS_AIRFLOW, RunKey
from mljob_operator.core.run.states import RunState, TaskState
from tests.strategies import event
from tests.unit.operator.conftest import World

from .backfills import DAYS, FIRST, apply, begin, counts, end, made, of, runs, someone_elses


class TestFollowing:
    async def test_mljob_is_running_until_all_runs_have_ended(self, world: World) -> None:
        await apply(world)
        first, second, *rest = runs(world)
        await begin(world, first, second)
        assert (world.status.phase, world.status.reason) == (Phase.RUNNING, "RunsInProgress")
        assert counts(world) == BackfillRuns(total=4, queued=2, running=2)
        assert world.status.start_time is not None
        await end(world, RunState.SUCCESS, first, second)
        assert (world.status.progress, world.status.percent) == ("2/4", 50)
        assert world.message == "0 of 4 runs in progress, 2 finished."
        await begin(world, *rest)
        await end(world, RunState.SUCCESS, *rest)
        assert (world.status.phase, world.status.progress, world.status.percent) == (Phase.SUCCEEDED, "4/4", 100)
        assert world.message == "All 4 runs succeeded."
        assert counts(world) == BackfillRuns(total=4, success=4)
        assert world.condition("Complete") == "True"
        assert not world.has_finalizer, "a finished one can be deleted without us"
        assert world.event_reasons == ["Submitted", "Running", "Succeeded"]

    async def test_status_names_the_failed_runs(self, world: World) -> None:
        await apply(world)
        first, second, third, last = runs(world)
        await begin(world, first, second, third, last)
        await end(world, RunState.FAILED, second)
        assert world.status.phase is Phase.RUNNING
        assert "RunFailed" in world.event_reasons
        await end(world, RunState.FAILED, last)
        await end(world, RunState.SUCCESS, first, third)
        assert (world.status.phase, world.status.reason) == (Phase.FAILED, "BackfillRunsFailed")
        assert world.message == (
            "2 of 4 runs failed: 2025-12-02 and 2025-12-04. "
            "To retry: kubectl annotate --overwrite -n team-a mljob/churn mljob.dev/retry-requested-at=$(date +%s)"
        )
        assert counts(world) == BackfillRuns(total=4, success=2, failed=2)
        assert [(run.logical_date, run.url) for run in of(world).failed_runs or ()] == [
            (
                datetime(2025, 12, day, tzinfo=UTC),
                f"http://airflow/dags/days/runs/backfill__2025-12-0{day}T00%3A00%3A00%2B00%3A00",
            )
            for day in (2, 4)
        ]

    async def test_runs_that_existed_before_the_backfill_are_counted_separately(self, world: World) -> None:
        other = someone_elses(world, days=2)
        await end(world, RunState.SUCCESS, *runs(world, other))
        world.airflow.backfills.close(other)
        await apply(world)
        assert counts(world) == BackfillRuns(total=2, queued=2, not_created=2)
        await end(world, RunState.SUCCESS, *runs(world, 2))
        assert world.message == ("All 2 runs succeeded; 2 runs of the range existed already (reprocessBehavior).")

    async def test_backfill_without_runs_succeeds(self, world: World) -> None:
        other = someone_elses(world, days=4)
        await end(world, RunState.SUCCESS, *runs(world, other))
        world.airflow.backfills.close(other)
        await apply(world)
        assert (world.status.phase, world.status.progress) == (Phase.QUEUED, "0/0")
        world.airflow.backfills.close(2)
        world.clock.tick(5)
        await world.look()
        assert (world.status.phase, world.status.progress, world.status.percent) == (Phase.SUCCEEDED, "0/0", 100)

    async def test_backfill_that_ended_without_runs_fails(self, world: World) -> None:
        await apply(world)
        for run in runs(world):
            del world.airflow.runs[DAYS, run.run_id]
        world.airflow.backfills.close(1)
        world.clock.tick(61)
        await world.look()
        assert (world.status.phase, world.status.reason) == (Phase.FAILED, "BackfillEmpty")

    async def test_event_of_a_run_updates_the_status_at_once(self, world: World) -> None:
        await apply(world)
        first = runs(world)[0]
        calls = len(world.airflow.calls)
        at = world.clock() + timedelta(seconds=1)
        for fact in (
            replace(event("work", TaskState.RUNNING), occurred_at=at, observed_at=at),
            RunFact(RunState.SUCCESS, StatusSource.KAFKA, at + timedelta(seconds=1), at),
        ):
            assert world.job_controller.observe_backfill_event(
                [RunKey(SETTINGS_AIRFLOW, DAYS, first.run_id)], fact, lambda: world.done.append(1)
            )
            await world.settle()
        assert (world.status.phase, world.status.progress) == (Phase.RUNNING, "1/4")
        assert world.status.status_source is StatusSource.KAFKA
        assert world.done == [1, 1]
        assert len(world.airflow.calls) == calls, "an event costs no request of its own"
        assert world.job_controller.early_pass(SETTINGS_AIRFLOW).is_set(), "what follows may come without an event"

    async def test_other_runs_of_the_dag_are_not_counted(self, world: World) -> None:
        await apply(world)
        fact = RunFact(RunState.FAILED, StatusSource.KAFKA, world.clock(), world.clock())
        for dag_id, run_id in ((DAYS, "scheduled__2025-12-31T00:00:00+00:00"), ("train", runs(world)[0].run_id)):
            assert not world.job_controller.observe_backfill_event(
                [RunKey(SETTINGS_AIRFLOW, dag_id, run_id)], fact, lambda: None
            )
        assert counts(world).failed == 0

    async def test_number_of_requests_is_independent_of_the_number_of_runs(self, world: World) -> None:
        asked = {}
        for days in (2, 90):
            world.__init__()  # type: ignore[misc]
            end_of_range = FIRST - timedelta(days=100) + timedelta(days=days - 1)
            await apply(
                world,
                backfill={
                    "from": (FIRST - timedelta(days=100)).isoformat(),
                    "to": end_of_range.isoformat(),
                },
            )
            before = len(world.airflow.calls)
            for run in runs(world):
                world.airflow.begin(run)
            world.clock.tick(1)
            await world.look()
            assert counts(world).running == days
            asked[days] = world.airflow.calls[before:]
        assert asked[2] == asked[90]

    async def test_restarted_operator_continues_to_follow_the_backfill(self, world: World) -> None:
        await apply(world)
        first, *rest = runs(world)
        await begin(world, first)
        await world.restart()
        assert (world.status.phase, world.status.attempts) == (Phase.RUNNING, 1)
        await end(world, RunState.SUCCESS, first, *rest)
        assert world.status.phase is Phase.SUCCEEDED

    async def test_backfill_that_no_longer_exists_in_airflow_fails(self, world: World) -> None:
        await apply(world)
        world.airflow.backfills.made.clear()
        world.clock.tick(61)
        await world.look()
        await world.later(3)
        assert (world.status.phase, world.status.reason) == (Phase.FAILED, "DagRunDeleted")
        assert "The backfill was deleted" in world.message

    async def test_status_says_that_the_dag_is_paused(self, world: World) -> None:
        world.airflow.paused.add(DAYS)
        await apply(world)
        await world.look()
        assert (world.status.phase, world.status.reason) == (Phase.QUEUED, "DagPaused")

    async def test_pause_is_seen_while_other_runs_go_missing(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(world.job_controller.vanished_runs, "wants_relist", lambda airflow: True)
        await apply(world)
        await begin(world, runs(world)[0])
        world.airflow.backfills.set(1, paused=True)
        for _ in range(25):
            await world.later(3)
            await world.look()
        assert "was paused in Airflow" in world.message

    async def test_runs_that_airflow_creates_late_are_found(self, world: World) -> None:
        await apply(world)
        kept = {key: world.airflow.runs.pop(key) for key in list(world.airflow.runs)}
        await world.restart()
        await world.look()
        assert (world.status.phase, counts(world).total) == (Phase.QUEUED, 0)
        assert world.message == "Airflow is creating the runs of backfill 1."
        world.airflow.runs |= kept
        world.clock.tick(30)
        await world.look()
        assert counts(world).total == 4


class TestHostileEvents:
    @pytest.mark.parametrize("state", [RunState.SUCCESS, RunState.FAILED])
    async def test_false_ends_are_shown_for_a_while_and_do_not_end_the_backfill(
        self, world: World, state: RunState
    ) -> None:
        await apply(world, backoffLimit=1)
        await begin(world, *runs(world))
        before = world.status
        for n, run in enumerate(runs(world), start=1):
            forged = RunFact(state, StatusSource.KAFKA, world.clock(), world.clock())
            world.job_controller.observe_backfill_event(
                [RunKey(SETTINGS_AIRFLOW, DAYS, run.run_id)], forged, lambda: None
            )
            await world.settle()
            assert world.status.progress == (f"{n}/4" if state is RunState.SUCCESS else "0/4")
            assert {"success": counts(world).success, "failed": counts(world).failed}[state] == n
        for _ in range(15):
            await world.later(1)
        assert (world.status.phase, world.status.attempts) == (Phase.RUNNING, 1)
        assert (world.status.progress, world.status.backfill) == (before.progress, before.backfill)
        assert world.meter.contradicted == 4
        assert made(world) == 1
        await end(world, RunState.SUCCESS, *runs(world))
        assert world.status.phase is Phase.SUCCEEDED

    async def test_false_end_is_checked_in_airflow_once(self, world: World) -> None:
        await apply(world)
        await begin(world, *runs(world))
        forged = RunFact(RunState.SUCCESS, StatusSource.KAFKA, world.clock(), world.clock())
        calls = len(world.airflow.calls)
        world.job_controller.observe_backfill_event(
            [RunKey(SETTINGS_AIRFLOW, DAYS, runs(world)[0].run_id)], forged, lambda: None
        )
        await world.settle()
        assert world.status.progress == "1/4"
        for _ in range(60):
            await world.later(1)
        assert world.status.progress == "0/4"
        assert world.airflow.calls[calls:].count("backfill_runs") == 1

    async def test_run_of_another_dag_with_the_same_marker_is_not_counted(self, world: World) -> None:
        await apply(world)
        await begin(world, *runs(world))
        before = world.status
        first = runs(world)[0]
        world.airflow.dags["copy"] = ("work",)
        copy = world.airflow.queue("copy", first.run_id, first.conf)
        copy.backfill, copy.date = first.backfill, first.date
        world.airflow.end(copy, RunState.FAILED)
        world.clock.tick(1)
        await world.look()
        assert world.status == before
