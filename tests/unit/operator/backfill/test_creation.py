from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mljob_contract.mljob import BackfillRuns, Phase, ReprocessBehavior
from mljob_operator.core.run.states import RunState
from tests.unit.operator.conftest import KEY, World

from .backfills import DAYS, FIRST, RANGE, apply, counts, end, made, runs, someone_elses


class TestCreating:
    async def test_backfill_creates_the_runs_of_its_range_with_its_conf(self, world: World) -> None:
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
        assert world.has_finalizer
        assert [notice.message for _, notice in world.jobs.kube_events] == [
            "Submitted backfill 1 of DAG days: http://airflow/dags/days/backfills"
        ]

    async def test_attempt_is_stored_in_the_status_before_the_backfill_is_created(self, world: World) -> None:
        world.airflow.down = True
        await apply(world)
        assert (world.status.reason, world.status.attempts) == ("AirflowUnavailable", 1)
        assert world.status.dag_run_id is not None
        assert world.has_finalizer

    async def test_backfill_is_created_soon_after_the_params_could_not_be_read(self, world: World) -> None:
        world.airflow.time_out["params"] = 1
        await apply(world)
        assert (made(world), world.status.reason) == (0, "AirflowUnavailable")
        await world.later(2)
        assert made(world) == 1

    async def test_restart_does_not_create_a_second_backfill(self, world: World) -> None:
        await apply(world)
        await world.restart()
        await world.look()
        await world.later(60)
        assert made(world) == 1
        assert counts(world) == BackfillRuns(total=4, queued=4)

    @pytest.mark.parametrize("asked", ["backfill_runs", "backfill_range"])
    async def test_changed_range_cancels_a_backfill_whose_runs_could_not_be_read(
        self, world: World, asked: str
    ) -> None:
        world.airflow.down_for[asked] = 1
        world.jobs.create("churn", {"dagId": DAYS, "type": "Backfill", "backfill": RANGE, "runPolicy": "OnChange"})
        await world.see_all()
        assert (made(world), world.status.phase, world.status.reason) == (1, Phase.PENDING, "AirflowUnavailable")
        await world.edit(backfill={**RANGE, "to": "2025-12-05T00:00:00Z"})
        await world.later(60)
        await world.later(3)
        first, second = world.airflow.backfills.made.values()
        assert first.completed_at is not None, "it was found, and cancelled"
        assert (second.end.day, counts(world).total, counts(world).not_created) == (5, 1, 4)

    @pytest.mark.parametrize("restarted", [False, True], ids=["same-process", "restarted"])
    async def test_backfill_is_found_when_the_response_to_its_creation_was_lost(
        self, world: World, restarted: bool
    ) -> None:
        world.airflow.backfills.lose_answers = 1
        await apply(world)
        if restarted:
            await world.restart()
        await world.later(5)
        assert (made(world), world.status.phase) == (1, Phase.QUEUED)
        assert world.airflow.calls.count("create_backfill") == 1

    async def test_restarted_operator_waits_for_a_creation_that_may_still_take_effect(self, world: World) -> None:
        world.airflow.down = True
        await apply(world)
        world.airflow.down = False
        await world.restart()
        await world.later(5)
        assert made(world) == 0, "the process before this one may have asked for it"
        await world.later(26)
        assert made(world) == 0, "and one look is no proof that it did not"
        await world.later(3)
        assert made(world) == 1

    async def test_restart_between_creation_and_status_write_adopts_the_backfill(self, world: World) -> None:
        await apply(world)
        body = world.jobs.objects[KEY]
        for name in ("submitTime", "backfill", "progress", "percent", "dagRunState"):
            body["status"].pop(name, None)
        await world.restart()
        assert (made(world), world.status.phase) == (1, Phase.QUEUED)

    async def test_mljob_waits_until_another_backfill_of_the_dag_has_ended(self, world: World) -> None:
        other = someone_elses(world)
        await apply(world, backfill={"reprocessBehavior": "Completed"})
        assert (world.status.phase, world.status.reason) == (Phase.PENDING, "BackfillActive")
        assert "another backfill in progress" in world.message
        assert "BackfillActive" in world.event_reasons
        await world.later(3)
        assert made(world) == 1
        await end(world, RunState.SUCCESS, *runs(world, other))
        world.airflow.backfills.close(other)
        await world.later(10)
        assert (made(world), world.status.phase, counts(world).total) == (2, Phase.QUEUED, 4)

    async def test_dag_without_a_schedule_is_refused(self, world: World) -> None:
        await world.apply(type="Backfill", backfill=RANGE)
        assert (world.status.reason, world.condition("Stalled")) == ("ValidationFailed", "True")
        assert "non-periodic schedule" in world.message

    async def test_invalid_conf_is_refused_before_it_is_sent_to_airflow(self, world: World) -> None:
        world.airflow.dag_params[DAYS] = {"rows": {"value": 1, "schema": {"type": "integer"}}}
        await apply(world, conf={"rows": "many"})
        assert world.status.reason == "ValidationFailed"
        assert "create_backfill" not in world.airflow.calls
