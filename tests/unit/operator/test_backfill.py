"""The life of an MLJob that is a backfill; the world in memory."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mljob_contract.backfill_marker import Marker
from mljob_contract.mljob import BackfillRuns, BackfillStatus, Phase, ReprocessBehavior, StatusSource
from mljob_operator.core.backfill import Order
from mljob_operator.core.facts import RunFact
from mljob_operator.core.instance import OWN
from mljob_operator.core.phases import RunState, TaskState
from tests.fakes.airflow import FakeRun
from tests.strategies import event

from .conftest import KEY, World

DAYS = "days"
FIRST = datetime(2025, 12, 1, tzinfo=UTC)
RANGE = {"from": "2025-12-01T00:00:00Z", "to": "2025-12-04T00:00:00Z"}


async def apply(world: World, *, backfill: dict[str, Any] | None = None, **spec: Any) -> None:
    await world.apply(type="Backfill", dagId=DAYS, backfill={**RANGE, **(backfill or {})}, **spec)


def runs(world: World, backfill: int = 1) -> list[FakeRun]:
    return world.airflow.backfills.runs(backfill)


def made(world: World) -> int:
    return len(world.airflow.backfills.made)


def of(world: World) -> BackfillStatus:
    backfill = world.status.backfill
    assert backfill is not None
    return backfill


def counts(world: World) -> BackfillRuns:
    return of(world).runs


def someone_elses(world: World, days: int = 1, start: datetime = FIRST) -> int:
    order = Order(start, start + timedelta(days=days - 1), ReprocessBehavior.NONE, 10, False, {})
    return world.airflow.backfills.make(DAYS, None, order).id


async def begin(world: World, *which: FakeRun) -> None:
    for run in which:
        world.airflow.begin(run)
    world.clock.tick(1)
    await world.look()


async def end(world: World, state: RunState, *which: FakeRun) -> None:
    for run in which:
        world.airflow.end(run, state)
    world.clock.tick(1)
    await world.look()


async def edit(world: World, **spec: Any) -> None:
    world.jobs.edit(KEY, spec)
    await world.see_all()


class TestCreating:
    """One backfill for each attempt, whatever crashes."""

    async def test_it_makes_the_runs_of_its_range_with_its_conf(self, world: World) -> None:
        await apply(
            world,
            conf={"model": "churn"},
            backfill={"reprocessBehavior": "Completed", "maxActiveRuns": 3, "runBackwards": True},
        )
        (backfill,) = world.airflow.backfills.made.values()
        assert (backfill.start, backfill.end) == (FIRST, datetime(2025, 12, 4, tzinfo=UTC))
        assert (backfill.reprocess, backfill.max_active_runs) == (ReprocessBehavior.COMPLETED, 3)
        assert world.status.dag_run_id is not None
        assert [run.run_id for run in runs(world)] == [
            f"backfill__2025-12-0{day}T00:00:00+00:00" for day in (1, 2, 3, 4)
        ]
        marked = {"model": "churn", "mljob": {"id": world.status.dag_run_id, "attempt": 1}}
        assert [run.conf for run in runs(world)] == [marked] * 4
        assert (world.status.phase, world.status.reason, world.status.progress) == (Phase.QUEUED, "Queued", "0/4")
        assert counts(world) == BackfillRuns(total=4, queued=4)
        assert world.status.dag_run_url == "http://airflow/dags/days/backfills"
        assert world.held
        assert [notice.message for _, notice in world.jobs.notices] == [
            "Submitted backfill 1 of DAG days: http://airflow/dags/days/backfills"
        ]

    async def test_it_is_announced_before_it_is_made(self, world: World) -> None:
        world.airflow.down = True
        await apply(world)
        assert (world.status.reason, world.status.attempts) == ("AirflowUnavailable", 1)
        assert world.status.dag_run_id is not None
        assert world.held

    async def test_a_restart_makes_no_other_one(self, world: World) -> None:
        await apply(world)
        await world.restart()
        await world.look()
        await world.later(60)
        assert made(world) == 1
        assert counts(world) == BackfillRuns(total=4, queued=4)

    @pytest.mark.parametrize("restarted", [False, True], ids=["same-process", "restarted"])
    async def test_one_whose_answer_was_lost_is_found(self, world: World, restarted: bool) -> None:
        world.airflow.backfills.lose_answers = 1
        await apply(world)
        if restarted:
            await world.restart()
        await world.later(5)
        assert (made(world), world.status.phase) == (1, Phase.QUEUED)
        assert world.airflow.calls.count("create_backfill") == 1

    async def test_one_that_may_be_on_its_way_is_waited_for_after_a_restart(self, world: World) -> None:
        world.airflow.down = True
        await apply(world)
        world.airflow.down = False
        await world.restart()
        await world.later(5)
        assert made(world) == 0, "the process before this one may have asked for it"
        await world.later(26)
        assert made(world) == 1

    async def test_a_restart_between_creation_and_status_adopts_it(self, world: World) -> None:
        await apply(world)
        body = world.jobs.objects[KEY]
        for name in ("submitTime", "backfill", "progress", "percent", "dagRunState"):
            body["status"].pop(name, None)
        await world.restart()
        assert (made(world), world.status.phase) == (1, Phase.QUEUED)

    async def test_another_ones_backfill_is_waited_for_and_named(self, world: World) -> None:
        other = someone_elses(world)
        await apply(world, backfill={"reprocessBehavior": "Completed"})
        assert (world.status.phase, world.status.reason) == (Phase.PENDING, "BackfillActive")
        assert "backfill 1" in (world.status.message or "")
        assert "BackfillActive" in world.told
        await world.later(3)
        assert made(world) == 1
        await end(world, RunState.SUCCESS, *runs(world, other))
        world.airflow.backfills.close(other)
        await world.later(10)
        assert (made(world), world.status.phase, counts(world).total) == (2, Phase.QUEUED, 4)

    async def test_a_dag_without_a_schedule_is_refused(self, world: World) -> None:
        await world.apply(type="Backfill", backfill=RANGE)
        assert (world.status.reason, world.condition("Stalled")) == ("ValidationFailed", "True")
        assert "non-periodic schedule" in (world.status.message or "")

    async def test_a_conf_that_does_not_fit_is_refused_before_it_is_sent(self, world: World) -> None:
        world.airflow.dag_params[DAYS] = {"rows": {"value": 1, "schema": {"type": "integer"}}}
        await apply(world, conf={"rows": "many"})
        assert world.status.reason == "ValidationFailed"
        assert "create_backfill" not in world.airflow.calls

    async def test_once_per_spec_takes_over_what_there_is(self, world: World) -> None:
        await apply(world, runPolicy="OncePerSpec", ttlSecondsAfterFinished=5)
        await end(world, RunState.SUCCESS, *runs(world))
        await world.later(6)
        assert not world.exists
        await apply(world, runPolicy="OncePerSpec")
        assert (made(world), world.status.phase) == (1, Phase.SUCCEEDED)


class TestFollowing:
    """Runs done of all."""

    async def test_it_runs_until_all_have_ended(self, world: World) -> None:
        await apply(world)
        first, second, *rest = runs(world)
        await begin(world, first, second)
        assert (world.status.phase, world.status.reason) == (Phase.RUNNING, "RunsInProgress")
        assert counts(world) == BackfillRuns(total=4, queued=2, running=2)
        assert world.status.start_time is not None
        await end(world, RunState.SUCCESS, first, second)
        assert (world.status.progress, world.status.percent) == ("2/4", 50)
        assert world.status.message == "0 of 4 runs in progress, 2 finished."
        await begin(world, *rest)
        await end(world, RunState.SUCCESS, *rest)
        assert (world.status.phase, world.status.progress, world.status.percent) == (Phase.SUCCEEDED, "4/4", 100)
        assert world.status.message == "All 4 runs succeeded."
        assert counts(world) == BackfillRuns(total=4, success=4)
        assert world.condition("Complete") == "True"
        assert not world.held, "a finished one can be deleted without us"
        assert world.told == ["Submitted", "Running", "Succeeded"]

    async def test_failed_runs_are_named(self, world: World) -> None:
        await apply(world)
        first, second, third, last = runs(world)
        await begin(world, first, second, third, last)
        await end(world, RunState.FAILED, second)
        assert world.status.phase is Phase.RUNNING
        assert "RunFailed" in world.told
        await end(world, RunState.FAILED, last)
        await end(world, RunState.SUCCESS, first, third)
        assert (world.status.phase, world.status.reason) == (Phase.FAILED, "BackfillRunsFailed")
        assert world.status.message == "2 of 4 runs failed: 2025-12-02 and 2025-12-04."
        assert counts(world) == BackfillRuns(total=4, success=2, failed=2)
        assert [(run.logical_date, run.url) for run in of(world).failed_runs or ()] == [
            (
                datetime(2025, 12, day, tzinfo=UTC),
                f"http://airflow/dags/days/runs/backfill__2025-12-0{day}T00%3A00%3A00%2B00%3A00",
            )
            for day in (2, 4)
        ]

    async def test_runs_that_were_there_are_counted_apart(self, world: World) -> None:
        other = someone_elses(world, days=2)
        await end(world, RunState.SUCCESS, *runs(world, other))
        world.airflow.backfills.close(other)
        await apply(world)
        assert counts(world) == BackfillRuns(total=2, queued=2, not_created=2)
        await end(world, RunState.SUCCESS, *runs(world, 2))
        assert world.status.message == (
            "All 2 runs succeeded; 2 runs of the range were there already (reprocessBehavior)."
        )

    async def test_with_nothing_to_run_it_has_succeeded(self, world: World) -> None:
        other = someone_elses(world, days=4)
        await end(world, RunState.SUCCESS, *runs(world, other))
        world.airflow.backfills.close(other)
        await apply(world)
        assert (world.status.phase, world.status.progress) == (Phase.QUEUED, "0/0")
        world.airflow.backfills.close(2)
        world.clock.tick(5)
        await world.look()
        assert (world.status.phase, world.status.progress, world.status.percent) == (Phase.SUCCEEDED, "0/0", 100)

    async def test_one_that_broke_while_it_was_made_has_failed(self, world: World) -> None:
        await apply(world)
        for run in runs(world):
            del world.airflow.runs[DAYS, run.run_id]
        world.airflow.backfills.close(1)
        world.clock.tick(61)
        await world.look()
        assert (world.status.phase, world.status.reason) == (Phase.FAILED, "BackfillEmpty")

    async def test_an_event_of_a_run_is_in_the_status_at_once(self, world: World) -> None:
        await apply(world)
        first = runs(world)[0]
        calls = len(world.airflow.calls)
        at = world.clock() + timedelta(seconds=1)
        for fact in (
            replace(event("work", TaskState.RUNNING), at=at, seen=at),
            RunFact(RunState.SUCCESS, StatusSource.KAFKA, at + timedelta(seconds=1), at),
        ):
            assert world.queue.tell_backfill([OWN], DAYS, first.run_id, fact, lambda: world.done.append(1))
            await world.settle()
        assert (world.status.phase, world.status.progress) == (Phase.RUNNING, "1/4")
        assert world.status.status_source is StatusSource.KAFKA
        assert world.done == [1, 1]
        assert len(world.airflow.calls) == calls, "an event costs no request of its own"
        assert world.queue.wanted(OWN).is_set(), "what follows may come without an event"

    async def test_other_runs_of_the_dag_are_not_its(self, world: World) -> None:
        await apply(world)
        fact = RunFact(RunState.FAILED, StatusSource.KAFKA, world.clock(), world.clock())
        assert not world.queue.tell_backfill([OWN], DAYS, "scheduled__2025-12-31T00:00:00+00:00", fact, lambda: None)
        assert not world.queue.tell_backfill([OWN], "train", runs(world)[0].run_id, fact, lambda: None)
        assert counts(world).failed == 0

    async def test_requests_do_not_grow_with_the_runs(self, world: World) -> None:
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

    async def test_a_restart_in_mid_run_goes_on(self, world: World) -> None:
        await apply(world)
        first, *rest = runs(world)
        await begin(world, first)
        await world.restart()
        assert world.status.phase is Phase.RUNNING
        await end(world, RunState.SUCCESS, first, *rest)
        assert world.status.phase is Phase.SUCCEEDED

    async def test_one_that_airflow_has_forgotten_has_failed(self, world: World) -> None:
        await apply(world)
        world.airflow.backfills.made.clear()
        world.clock.tick(61)
        await world.look()
        assert (world.status.phase, world.status.reason) == (Phase.FAILED, "DagRunDeleted")
        assert "The backfill was deleted" in (world.status.message or "")

    async def test_one_of_a_paused_dag_says_what_it_waits_for(self, world: World) -> None:
        world.airflow.paused.add(DAYS)
        await apply(world)
        await world.look()
        assert (world.status.phase, world.status.reason) == (Phase.QUEUED, "DagPaused")

    async def test_runs_that_airflow_takes_long_to_make_are_found(self, world: World) -> None:
        await apply(world)
        kept = {key: world.airflow.runs.pop(key) for key in list(world.airflow.runs)}
        await world.restart()
        await world.look()
        assert (world.status.phase, counts(world).total) == (Phase.QUEUED, 0)
        assert world.status.message == "Airflow is making the runs of backfill 1."
        world.airflow.runs |= kept
        world.clock.tick(30)
        await world.look()
        assert counts(world).total == 4


class TestSuspending:
    """Paused, not cancelled."""

    async def test_created_suspended_nothing_is_made(self, world: World) -> None:
        await apply(world, suspend=True)
        assert (world.status.phase, made(world), world.held) == (Phase.SUSPENDED, 0, False)
        await edit(world, suspend=False)
        assert (world.status.phase, made(world)) == (Phase.QUEUED, 1)

    async def test_it_is_paused_and_goes_on_where_it_was(self, world: World) -> None:
        await apply(world, activeDeadlineSeconds=100)
        first, *rest = runs(world)
        await begin(world, first)
        await edit(world, suspend=True)
        assert world.airflow.backfills.made[1].paused
        assert (world.status.phase, world.condition("Suspended")) == (Phase.SUSPENDED, "True")
        assert "1 run in progress will end" in (world.status.message or "")
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
        assert [world.told.count(reason) for reason in ("Suspended", "Resumed", "Submitted")] == [1, 1, 1]

    async def test_a_restart_while_it_is_suspended_keeps_it_so(self, world: World) -> None:
        await apply(world)
        await edit(world, suspend=True)
        await world.restart()
        await world.look()
        assert world.status.phase is Phase.SUSPENDED
        await edit(world, suspend=False)
        assert not world.airflow.backfills.made[1].paused
        assert world.status.phase is Phase.QUEUED

    async def test_it_ends_while_it_is_suspended(self, world: World) -> None:
        await apply(world)
        await begin(world, *runs(world))
        await edit(world, suspend=True)
        await end(world, RunState.SUCCESS, *runs(world))
        assert world.status.phase is Phase.SUCCEEDED

    async def test_suspended_before_its_creation_was_answered_it_is_paused(self, world: World) -> None:
        world.airflow.backfills.lose_answers = 1
        await apply(world)
        await edit(world, suspend=True)
        await world.later(5)
        assert world.airflow.backfills.made[1].paused
        assert (world.status.phase, made(world)) == (Phase.SUSPENDED, 1)

    async def test_paused_in_airflow_it_stays_paused_and_says_so(self, world: World) -> None:
        await apply(world)
        await begin(world, runs(world)[0])
        world.airflow.backfills.set(1, paused=True)
        world.clock.tick(61)
        await world.look()
        assert (world.status.phase, world.status.reason) == (Phase.RUNNING, "BackfillPaused")
        assert "pause_backfill" not in world.airflow.calls

    async def test_suspended_it_can_be_deleted(self, world: World) -> None:
        await apply(world)
        await edit(world, suspend=True)
        await world.delete()
        await world.later(5)
        assert not world.exists
        assert {run.state for run in runs(world)} == {RunState.FAILED}


class TestEnding:
    """cancel, delete, deadlines and another spec end the runs in progress as well."""

    async def test_cancelled_no_run_goes_on(self, world: World) -> None:
        await apply(world)
        first, second, *_ = runs(world)
        await begin(world, first, second)
        await end(world, RunState.SUCCESS, first)
        await edit(world, cancel=True)
        assert (world.status.phase, world.status.reason) == (Phase.CANCELLED, "CancelRequested")
        assert counts(world) == BackfillRuns(total=4, success=1, failed=3)
        assert second.state is RunState.FAILED
        assert world.airflow.backfills.made[1].completed is not None
        assert "trigger_cancellation" not in world.airflow.calls

    async def test_deletion_waits_until_the_runs_are_over(self, world: World) -> None:
        await apply(world)
        await begin(world, runs(world)[0])
        world.airflow.down = True
        await world.delete()
        assert (world.status.phase, world.exists) == (Phase.CANCELLING, True)
        world.airflow.down = False
        await world.later(20)
        assert not world.exists
        assert {run.state for run in runs(world)} == {RunState.FAILED}

    async def test_with_airflow_away_deletion_is_let_through_in_time(self, world: World) -> None:
        await apply(world, cancellation={"timeoutSeconds": 60})
        world.airflow.down = True
        await world.delete()
        await world.later(61)
        assert not world.exists
        assert "CancellationAbandoned" in world.told

    async def test_a_creation_without_an_answer_is_found_and_cancelled(self, world: World) -> None:
        world.airflow.backfills.lose_answers = 1
        await apply(world)
        await world.delete()
        await world.later(5)
        assert not world.exists
        assert {run.state for run in runs(world)} == {RunState.FAILED}

    async def test_retained_it_goes_on_without_its_mljob(self, world: World) -> None:
        await apply(world, deletionPolicy="Retain")
        await begin(world, runs(world)[0])
        await world.delete()
        assert not world.exists
        assert runs(world)[0].state is RunState.RUNNING
        assert world.airflow.backfills.made[1].completed is None

    async def test_too_long_active_it_fails(self, world: World) -> None:
        await apply(world, activeDeadlineSeconds=100)
        await begin(world, *runs(world))
        await world.later(101)
        assert (world.status.phase, world.status.reason) == (Phase.FAILED, "DeadlineExceeded")
        assert {run.state for run in runs(world)} == {RunState.FAILED}

    async def test_with_no_run_started_in_time_it_fails(self, world: World) -> None:
        await apply(world, preRunningDeadlineSeconds=30)
        await world.later(31)
        assert (world.status.phase, world.status.reason) == (Phase.FAILED, "PreRunningDeadlineExceeded")

    async def test_a_run_that_has_started_is_in_time(self, world: World) -> None:
        await apply(world, preRunningDeadlineSeconds=30)
        await begin(world, runs(world)[0])
        await world.later(31)
        assert world.status.phase is Phase.RUNNING

    async def test_another_range_is_another_backfill(self, world: World) -> None:
        await apply(world, runPolicy="OnChange")
        await begin(world, runs(world)[0])
        await edit(world, backfill=RANGE | {"to": "2025-12-06T00:00:00Z", "reprocessBehavior": "Failed"})
        await world.later(5)
        assert (world.status.phase, world.status.attempts, made(world)) == (Phase.QUEUED, 2, 2)
        assert counts(world).total == 6
        assert [run for run in world.airflow.runs.values() if run.state is RunState.RUNNING] == []

    async def test_once_another_range_is_refused(self, world: World) -> None:
        await apply(world)
        await edit(world, backfill=RANGE | {"to": "2025-12-06T00:00:00Z"})
        assert world.condition("SpecApplied") == "False"
        assert made(world) == 1


class TestRetrying:
    """A retry runs again what failed."""

    async def failed(self, world: World, **spec: Any) -> None:
        await apply(world, backoffLimit=2, **spec)
        first, second, *rest = runs(world)
        await begin(world, first, second, *rest)
        await end(world, RunState.FAILED, second)
        await end(world, RunState.SUCCESS, first, *rest)

    async def test_the_failed_runs_run_again_and_the_others_count(self, world: World) -> None:
        await self.failed(world, conf={"model": "churn"}, backfill={"maxActiveRuns": 2})
        assert (world.status.phase, world.status.reason) == (Phase.PENDING, "RetryBackoff")
        assert "2025-12-02" in (world.status.message or "")
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
            (Phase.FAILED, "BackfillRunsFailed", "4/4")
        ]

    async def test_airflow_closes_the_last_one_late(self, world: World) -> None:
        await self.failed(world)
        await world.later(10)
        assert world.status.reason == "BackfillActive"
        world.airflow.backfills.close(1)
        await world.later(10)
        assert (made(world), world.status.phase) == (2, Phase.QUEUED)

    async def test_an_answer_that_was_lost_makes_no_other_one(self, world: World) -> None:
        await self.failed(world)
        world.airflow.backfills.close(1)
        world.airflow.backfills.lose_answers = 1
        await world.later(10)
        await world.restart()
        await world.later(5)
        assert (made(world), world.status.phase, world.status.attempts) == (2, Phase.QUEUED, 2)

    async def test_a_late_event_of_the_failure_is_not_another_one(self, world: World) -> None:
        await self.failed(world)
        failed_at = world.clock() - timedelta(seconds=2)
        world.airflow.backfills.close(1)
        await world.later(10)
        late = RunFact(RunState.FAILED, StatusSource.KAFKA, failed_at, world.clock())
        world.queue.tell_backfill([OWN], DAYS, runs(world, 2)[0].run_id, late, lambda: None)
        await world.settle()
        assert (world.status.phase, counts(world).failed) == (Phase.QUEUED, 0)

    async def test_the_last_failure_fails_it(self, world: World) -> None:
        await self.failed(world)
        for attempt in (2, 3):
            world.airflow.backfills.close(attempt - 1)
            await world.later(25)
            assert made(world) == attempt
            await end(world, RunState.FAILED, *runs(world, attempt))
        assert (world.status.phase, world.status.reason) == (Phase.FAILED, "BackoffLimitExceeded")
        assert "2025-12-02" in (world.status.message or "")
