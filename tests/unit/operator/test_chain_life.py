"""Changes, retries and deletions in a chain of MLJobs that take each other's outputs."""

from __future__ import annotations

import pytest

from mljob_contract.mljob import ReprocessBehavior
from mljob_operator.core.run.states import RunState

from .chains import (
    FAILED,
    LATER,
    OUTPUTS,
    WAITING,
    apply,
    condition,
    delete,
    edit,
    end,
    message,
    runs_of,
    status,
    verdict,
)
from .conftest import World


class TestLife:
    async def test_restart_while_it_waits_changes_nothing(self, world: World) -> None:
        await apply(world, "train", "data")
        await apply(world, "data")
        await world.restart()
        await end(world, "data")
        await world.restart()
        assert [run.conf for run in runs_of(world, "train")] == [OUTPUTS]

    async def test_success_while_no_operator_runs_is_found_by_the_next(self, world: World) -> None:
        await apply(world, "data")
        await end(world, "data")
        world.jobs.create("train", {"dagId": "train", "confFrom": [{"outputsRef": {"name": "data"}}]})
        await world.restart()
        assert runs_of(world, "train")[0].conf == OUTPUTS

    async def test_announced_attempt_takes_the_outputs_of_a_newer_run(self, world: World) -> None:
        await apply(world, "train", "data", dagId="missing")
        await apply(world, "data", runPolicy="OnChange")
        await end(world, "data")
        assert verdict(world, "train") == ("Pending", "DagNotFound")
        [before] = status(world, "train").upstreams or []

        await edit(world, "data", conf={"a": 2})
        await end(world, "data", {"dataset": "new"})
        world.airflow.dags["missing"] = ("score",)
        await world.later(60)
        await world.see_all()
        assert [run.conf for run in runs_of(world, "train")] == [{"dataset": "new"}]
        [after] = status(world, "train").upstreams or []
        assert after.dag_run_id == runs_of(world, "data")[-1].run_id != before.dag_run_id
        assert status(world, "train").attempts == 1

    async def test_conf_that_was_refused_is_tried_again_with_newer_outputs(self, world: World) -> None:
        world.airflow.dag_params["predict"] = {"rows": {"value": 3, "schema": {"type": "integer"}}}
        await apply(world, "predict", "data", dagId="predict")
        await apply(world, "data", runPolicy="OnChange")
        await end(world, "data", {"rows": "many"})
        assert verdict(world, "predict") == ("Pending", "ValidationFailed")
        await edit(world, "data", conf={"a": 2})
        await end(world, "data", {"rows": 5})
        await world.later(3)
        assert [run.conf for run in runs_of(world, "predict")] == [{"rows": 5}]

    async def test_later_run_of_the_other_starts_nothing(self, world: World) -> None:
        await apply(world, "data", runPolicy="OnChange")
        await apply(world, "train", "data", runPolicy="OnChange")
        await end(world, "data")
        await end(world, "train")
        await edit(world, "data", conf={"a": 2})
        await end(world, "data", {"dataset": "new"})
        await world.later(LATER)
        assert len(runs_of(world, "train")) == 1

    async def test_retry_of_failed_tasks_needs_no_outputs(self, world: World) -> None:
        await apply(world, "data")
        await apply(world, "train", "data", backoffLimit=1)
        await end(world, "data")
        taken = status(world, "train").upstreams
        await delete(world, "data")
        await end(world, "train", state=RunState.FAILED)
        await world.later(10)
        assert verdict(world, "train")[0] in ("Queued", "Running")
        assert status(world, "train").upstreams == taken

    async def test_retry_with_a_new_run_takes_the_outputs_again(self, world: World) -> None:
        await apply(world, "data")
        await apply(world, "train", "data", backoffLimit=1, retryStrategy="NewRun")
        await end(world, "data")
        await delete(world, "data")
        await end(world, "train", state=RunState.FAILED)
        await world.later(10)
        assert verdict(world, "train") == WAITING
        await apply(world, "data")
        await end(world, "data", {"dataset": "new"})
        assert [run.conf for run in runs_of(world, "train")] == [OUTPUTS, {"dataset": "new"}]

    async def test_refused_change_of_the_spec_keeps_the_conf_without_the_other(self, world: World) -> None:
        await apply(world, "data")
        await apply(world, "train", "data", backoffLimit=1, retryStrategy="NewRun")
        await end(world, "data")
        taken = status(world, "train").upstreams
        await delete(world, "data")
        await edit(world, "train", conf={"a": 1})
        await end(world, "train", state=RunState.FAILED)
        await world.later(10)
        assert [run.conf for run in runs_of(world, "train")] == [OUTPUTS, OUTPUTS]
        assert status(world, "train").upstreams == taken

    async def lose_backfill(self, world: World) -> None:
        """Let the backfill of the MLJob ``past-days`` fail, and delete the backfill in Airflow
        before the retry. The backfill takes outputs of the MLJob ``data``.
        """
        dates = {"from": "2025-12-01T00:00:00Z", "to": "2025-12-01T00:00:00Z"}
        await apply(world, "data", runPolicy="OnChange")
        await apply(world, "past-days", "data", type="Backfill", dagId="days", backfill=dates, backoffLimit=1)
        await end(world, "data")
        backfills = world.airflow.backfills
        [backfill] = backfills.made.values()
        for run in backfills.runs(backfill.id):
            world.airflow.end(run, RunState.FAILED)
        backfills.close(backfill.id)
        world.clock.tick(1)
        await world.look()
        del backfills.made[backfill.id]

    async def test_retry_of_a_lost_backfill_reads_the_outputs(self, world: World) -> None:
        await self.lose_backfill(world)
        await world.later(10)
        [again] = world.airflow.backfills.made.values()
        assert OUTPUTS.items() <= again.conf.items()
        assert again.reprocess is ReprocessBehavior.FAILED

    async def test_retry_of_a_lost_backfill_waits_for_the_outputs(self, world: World) -> None:
        await self.lose_backfill(world)
        await delete(world, "data")
        await world.later(10)
        assert verdict(world, "past-days") == WAITING
        assert not world.airflow.backfills.made
        await apply(world, "data")
        await end(world, "data", {"dataset": "new"})
        [again] = world.airflow.backfills.made.values()
        assert (again.conf["dataset"], again.reprocess) == ("new", ReprocessBehavior.FAILED)
        [taken] = status(world, "past-days").upstreams or []
        assert taken.dag_run_id == runs_of(world, "data")[-1].run_id, "the status names the run behind the conf"

    async def test_retry_of_a_lost_backfill_takes_no_outputs_that_lack_some(self, world: World) -> None:
        await self.lose_backfill(world)
        await edit(world, "data", conf={"a": 2})
        await end(world, "data", OUTPUTS | {"weights": "w" * 17_000})
        await world.later(10)
        assert verdict(world, "past-days") == FAILED
        assert "succeeded without some of its outputs: weights" in message(world, "past-days")
        assert not world.airflow.backfills.made

    async def test_deletion_of_the_other_before_its_success_is_told(self, world: World) -> None:
        await apply(world, "data", cancellation={"strategy": "Api"})
        await apply(world, "train", "data")
        assert "has not succeeded yet" in message(world, "train")
        uid = world.jobs.objects["team-a", "data"]["metadata"]["uid"]
        world.jobs.user_deletes(("team-a", "data"), world.clock())
        await world.see_all()
        await world.later(10)
        world.observe_deletion(("team-a", "data"), uid)
        await world.settle()
        assert "does not exist" in message(world, "train")

    @pytest.mark.parametrize("missed", [False, True])
    async def test_mljob_that_expires_before_its_outputs_are_taken_is_told(self, world: World, *, missed: bool) -> None:
        await apply(world, "data", ttlSecondsAfterFinished=10)
        await apply(world, "raw")
        await apply(world, "train", "data", "raw")
        uid = world.jobs.objects["team-a", "data"]["metadata"]["uid"]
        await end(world, "data")
        await world.later(11)
        assert ("team-a", "data") not in world.jobs.objects
        if not missed:
            world.observe_deletion(("team-a", "data"), uid)
        await world.later(LATER if missed else 0)
        assert verdict(world, "train") == WAITING
        assert (
            "MLJob data (spec.confFrom[0].outputsRef) has succeeded, but was deleted from namespace team-a before its "
            "outputs were taken. Create it again, with a longer spec.ttlSecondsAfterFinished if it has one."
        ) in message(world, "train")
        await apply(world, "data")
        await end(world, "data")
        await end(world, "raw", {})
        assert [run.conf for run in runs_of(world, "train")] == [OUTPUTS]

    async def test_deletion_that_the_watch_missed_is_found(self, world: World) -> None:
        await apply(world, "data", suspend=True)
        await apply(world, "train", "data")
        world.jobs.objects.pop(("team-a", "data"))
        await world.later(LATER)
        assert "does not exist" in message(world, "train")

    async def test_suspended_mljob_starts_nothing_when_the_other_succeeds(self, world: World) -> None:
        await apply(world, "data")
        await apply(world, "train", "data", suspend=True)
        await end(world, "data")
        assert not runs_of(world, "train")
        await edit(world, "train", suspend=False)
        assert len(runs_of(world, "train")) == 1

    @pytest.mark.parametrize("deadline", ["activeDeadlineSeconds", "preRunningDeadlineSeconds"])
    async def test_deadlines_count_while_an_mljob_waits(self, world: World, deadline: str) -> None:
        await apply(world, "train", "data", **{deadline: 60})
        await world.later(61)
        assert verdict(world, "train")[0] == "Failed"
        assert deadline in message(world, "train")
        await apply(world, "data")
        await end(world, "data")
        assert not runs_of(world, "train")

    async def test_retry_requested_before_a_deadline_passes_is_due_after_its_backoff(self, world: World) -> None:
        await apply(world, "train", "data", activeDeadlineSeconds=60)
        world.jobs.request_retry(("team-a", "train"), "again")
        await world.see_all()
        await world.later(61)
        assert verdict(world, "train") == ("Failed", "DeadlineExceeded")
        worker = world.job_controller.workers.get(("team-a", "train"))
        assert worker is not None
        assert worker.timer is not None, "nothing else wakes the MLJob"
        await world.later(11)
        assert condition(world, "train", "Reconciling") == "True"
        await apply(world, "data")
        await end(world, "data")
        assert [run.conf for run in runs_of(world, "train")] == [OUTPUTS]

    async def test_deadline_says_what_it_waited_for(self, world: World) -> None:
        await apply(world, "train", "data", preRunningDeadlineSeconds=60)
        await world.later(61)
        assert "MLJob data (spec.confFrom[0].outputsRef) does not exist" in message(world, "train")

    async def test_outputs_are_not_taken_for_secrets_after_a_restart(self, world: World) -> None:
        world.jobs.data["Secret", "warehouse"] = {"password": "hunter2"}
        sources = [{"secretRef": {"name": "warehouse"}}, {"outputsRef": {"name": "data"}}]
        await apply(world, "data")
        await apply(world, "train", confFrom=sources)
        await end(world, "data")
        await world.restart()
        await end(world, "train", {"source": "digits with hunter2"})
        assert status(world, "train").outputs == {"source": "digits with ***"}
