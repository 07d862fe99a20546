from __future__ import annotations

from typing import Any

import pytest

from mljob_contract.mljob import Phase
from mljob_operator.core.run.facts import RunFact
from mljob_operator.core.run.states import RunState

from .conftest import KEY, World
from .runs import active, begin, edit, end, newest, runs


async def apply_counted(world: World, **spec: Any) -> None:
    await world.apply(runPolicy="OncePerSpec", **spec)
    # The operator asks Airflow twice for the runs of earlier MLJobs with the same name and spec.
    await world.later(3)


def generation_of(world: World, condition: str) -> int | None:
    (found,) = [one.observed_generation for one in world.status.conditions or () if one.type == condition]
    return found


async def edit_counted(world: World, **spec: Any) -> None:
    await edit(world, **spec)
    await world.later(3)


class TestRunPolicy:
    async def test_once_finished_mljob_refuses_a_changed_spec(self, world: World) -> None:
        await world.apply()
        await end(world, RunState.SUCCESS)
        await edit(world, conf={"epochs": 2})
        assert world.status.phase is Phase.SUCCEEDED
        assert world.condition("SpecApplied") == "False"
        assert (world.condition("Complete"), world.condition("Stalled")) == ("True", "True")
        assert (world.status.observed_generation, generation_of(world, "Complete")) == (2, 1)
        assert len(runs(world)) == 1
        await edit(world, conf={})
        assert (world.condition("SpecApplied"), world.condition("Stalled")) == (None, "False")
        assert generation_of(world, "Complete") == 3

    async def test_once_retry_runs_the_spec_of_the_first_attempt(self, world: World) -> None:
        await world.apply(conf={"epochs": 1}, backoffLimit=1, retryStrategy="NewRun")
        await end(world, RunState.FAILED)
        await edit(world, conf={"epochs": 2})
        await world.later(10)
        assert newest(world).conf == {"epochs": 1}
        assert world.condition("SpecApplied") == "False"

    async def test_once_new_run_has_the_logical_date_of_the_first_attempt(self, world: World) -> None:
        await world.apply()
        await edit(world, logicalDate="2026-01-01T00:00:00Z", suspend=True)
        await world.later(60)
        assert world.status.phase is Phase.SUSPENDED
        await edit(world, suspend=False)
        assert (len(runs(world)), newest(world).date, world.condition("SpecApplied")) == (2, None, "False")

    async def test_once_retry_whose_earlier_conf_could_not_be_read_is_no_submission(self, world: World) -> None:
        await world.apply(conf={"epochs": 1}, backoffLimit=1, retryStrategy="NewRun")
        await end(world, RunState.FAILED)
        await edit(world, conf={"epochs": 2})
        world.airflow.time_out["inputs"] = 1
        await world.later(10)
        assert world.status.reason == "AirflowUnavailable"
        await world.delete()
        assert not world.exists, "no submission may still take effect"

    async def test_on_change_cancels_the_run_and_submits_a_new_one(self, world: World) -> None:
        await world.apply(runPolicy="OnChange", conf={"epochs": 1}, cancellation={"strategy": "Api"})
        await begin(world)
        await edit(world, conf={"epochs": 2})
        assert (world.status.phase, world.status.attempts) == (Phase.QUEUED, 2)
        assert newest(world).conf == {"epochs": 2}
        assert active(world) == 1

    async def test_on_change_quick_edits_run_the_last_spec_with_one_run_at_a_time(self, world: World) -> None:
        await world.apply(runPolicy="OnChange", conf={"epochs": 1})
        await begin(world)
        for epochs in (2, 3, 4):
            await edit(world, conf={"epochs": epochs})
            assert active(world) == 1
        await end(world, RunState.FAILED)
        assert newest(world).conf == {"epochs": 4}
        assert (active(world), len(runs(world)), world.status.attempts) == (1, 2, 2)

    async def test_on_change_finished_mljob_runs_again(self, world: World) -> None:
        await world.apply(runPolicy="OnChange")
        await end(world, RunState.SUCCESS)
        await edit(world, conf={"epochs": 2})
        assert (world.status.phase, world.status.attempts) == (Phase.QUEUED, 2)
        assert world.condition("Complete") is None
        assert [entry.phase for entry in world.status.history or []] == [Phase.SUCCEEDED]

    async def test_on_change_each_spec_has_its_own_deadline(self, world: World) -> None:
        await world.apply(runPolicy="OnChange", activeDeadlineSeconds=100)
        await end(world, RunState.SUCCESS)
        world.clock.tick(3600)
        await edit(world, conf={"epochs": 2})
        assert (world.status.phase, world.status.attempts) == (Phase.QUEUED, 2)

    async def test_change_that_does_not_affect_the_run_submits_nothing(self, world: World) -> None:
        await world.apply(runPolicy="OnChange")
        await edit(world, backoffLimit=3)
        assert len(runs(world)) == 1

    async def test_once_per_spec_takes_over_the_finished_run(self, world: World) -> None:
        await apply_counted(world, conf={"day": 1})
        await end(world, RunState.SUCCESS)
        world.jobs.user_deletes(KEY, world.clock())
        assert not world.exists
        await world.see_all()
        await apply_counted(world, conf={"day": 1})
        assert world.status.phase is Phase.SUCCEEDED
        assert len(runs(world)) == 1

    async def test_once_per_spec_takes_over_the_newest_of_several_runs(self, world: World) -> None:
        spec = {"cancellation": {"strategy": "Api"}}
        await apply_counted(world, **spec)
        await begin(world)
        await edit(world, suspend=True)
        await edit(world, suspend=False)
        await end(world, RunState.SUCCESS)
        world.jobs.user_deletes(KEY, world.clock())
        await world.see_all()
        await apply_counted(world, **spec)
        assert (world.status.phase, world.status.attempts) == (Phase.SUCCEEDED, 1)
        assert world.status.dag_run_id == runs(world)[1]
        assert len(runs(world)) == 2

    @pytest.mark.parametrize("restarted", [False, True])
    async def test_once_per_spec_edit_that_is_reverted_before_its_run_submits_nothing(
        self, world: World, *, restarted: bool
    ) -> None:
        await apply_counted(world, conf={"day": 1})
        await end(world, RunState.SUCCESS)
        await world.edit(conf={"day": 1}, dagId="missing")
        await world.later(3)
        assert (world.status.phase, world.status.reason) == (Phase.PENDING, "DagNotFound")
        if restarted:
            await world.restart()
            await world.later(40)
        await world.edit(conf={"day": 1}, dagId="train")
        for _ in range(12):
            await world.later(5)
            await world.look()
        assert world.status.phase is Phase.SUCCEEDED
        assert len(runs(world)) == 1
        assert [entry.phase for entry in world.status.history or ()] == [Phase.SUCCEEDED, Phase.CANCELLED]

    async def test_once_per_spec_waits_for_airflow_before_it_names_the_run(self, world: World) -> None:
        world.airflow.down = True
        await world.apply(runPolicy="OncePerSpec")
        assert (world.status.phase, world.status.reason) == (Phase.PENDING, "AirflowUnavailable")
        assert world.status.attempts is None
        world.airflow.down = False
        await world.later(15)
        await world.later(3)
        assert (world.status.phase, len(runs(world))) == (Phase.QUEUED, 1)

    async def test_once_per_spec_does_not_ask_an_airflow_that_has_every_run_for_ever(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run = world.airflow.queue("train", "of somebody else", {})

        async def yes(*_: str) -> RunFact:
            return world.airflow.fact(run)

        monkeypatch.setattr(world.airflow, "get", yes)
        await apply_counted(world)
        assert (world.status.phase, world.status.reason) == (Phase.PENDING, "AirflowUnavailable")
        await world.delete()
        assert not world.exists

    async def test_once_per_spec_mljob_without_a_run_is_deleted_at_once_while_airflow_is_unreachable(
        self, world: World
    ) -> None:
        world.airflow.down = True
        await world.apply(runPolicy="OncePerSpec")
        await world.delete()
        assert not world.exists

    async def test_once_per_spec_runs_a_changed_spec(self, world: World) -> None:
        await apply_counted(world, conf={"day": 1})
        await end(world, RunState.SUCCESS)
        await edit(world, conf={"day": 2})
        assert len(runs(world)) == 1, "the operator still asks Airflow for runs of this spec"
        assert (world.condition("Complete"), world.condition("Reconciling")) == ("True", "True")
        assert world.status.observed_generation == 1
        await world.later(3)
        assert len(runs(world)) == 2
        await end(world, RunState.SUCCESS)
        await edit(world, conf={"day": 1})
        assert len(runs(world)) == 2
        assert (world.status.phase, world.status.dag_run_id) == (Phase.SUCCEEDED, runs(world)[0])

    @pytest.mark.parametrize(
        ("state", "number", "phase"),
        [(RunState.SUCCESS, 1, Phase.SUCCEEDED), (RunState.FAILED, 2, Phase.QUEUED)],
    )
    async def test_once_per_spec_knows_the_run_of_a_spec_that_has_left_the_history(
        self, world: World, state: RunState, number: int, phase: Phase
    ) -> None:
        await apply_counted(world, conf={"day": 1})
        first = runs(world)[0]
        await end(world, state)
        for day in range(2, 13):
            await edit_counted(world, conf={"day": day})
            await end(world, RunState.SUCCESS)
        assert first not in [entry.dag_run_id for entry in world.status.history or ()]
        await edit_counted(world, conf={"day": 1})
        assert world.status.dag_run_id == f"{first.removesuffix('1')}{number}"
        assert (world.status.phase, world.status.attempts) == (phase, 13)

    async def test_once_per_spec_edit_takes_over_the_newest_run_that_a_deleted_mljob_has_left(
        self, world: World
    ) -> None:
        await apply_counted(world, conf={"day": 1}, retryStrategy="NewRun")
        await end(world, RunState.FAILED)
        await world.request_retry()
        await world.later(10)
        await end(world, RunState.SUCCESS)
        await world.delete()
        await apply_counted(world, conf={"day": 2})
        await end(world, RunState.SUCCESS)
        before = runs(world)
        await edit_counted(world, conf={"day": 1})
        assert runs(world) == before
        assert (world.status.phase, world.status.dag_run_id) == (Phase.SUCCEEDED, before[1])

    async def test_once_per_spec_count_does_not_apply_to_another_spec(self, world: World) -> None:
        await apply_counted(world, conf={"day": 1})
        await end(world, RunState.SUCCESS)
        await world.request_retry()
        await world.later(10)
        await end(world, RunState.SUCCESS)
        await world.delete()
        await world.apply(runPolicy="OncePerSpec", conf={"day": 1})
        await world.later(1)
        await edit(world, conf={"day": 2})
        await world.later(3)
        assert (world.status.phase, newest(world).conf) == (Phase.QUEUED, {"day": 2})
        assert newest(world).run_id.endswith("-1")

    async def test_once_per_spec_asks_the_airflow_of_the_changed_spec_again_after_an_error(self, world: World) -> None:
        await apply_counted(world, conf={"day": 1})
        await end(world, RunState.SUCCESS)
        world.airflow.down = True
        await edit(world, conf={"day": 2})
        assert (world.status.phase, world.status.observed_generation) == (Phase.SUCCEEDED, 1)
        assert (world.condition("SpecApplied"), world.condition("Reconciling")) == ("False", "True")
        assert "Airflow is down" in [
            each.message for each in world.status.conditions or () if each.type == "SpecApplied"
        ]
        world.airflow.down = False
        await world.later(15)
        await world.later(3)
        assert (world.status.phase, len(runs(world))) == (Phase.QUEUED, 2)

    async def test_once_per_spec_count_that_got_no_answer_is_no_submission(self, world: World) -> None:
        world.airflow.time_out["get"] = 1
        await world.apply(runPolicy="OncePerSpec", dagId="missing")
        assert world.status.reason == "AirflowUnavailable"
        await world.later(2)
        await world.later(3)
        assert world.status.reason == "DagNotFound"
        await edit_counted(world, dagId="train")
        assert (world.status.phase, len(runs(world))) == (Phase.QUEUED, 1)

    async def test_once_refuses_a_changed_spec_while_its_run_is_active(self, world: World) -> None:
        await world.apply()
        world.jobs.edit(KEY, {"conf": {"epochs": 9}})
        await world.see_all()
        assert "SpecChangeRefused" in world.event_reasons
        assert world.condition("SpecApplied") == "False"
        assert len(world.airflow.runs) == 1
        world.jobs.edit(KEY, {"conf": {}})
        await world.see_all()
        assert world.condition("SpecApplied") is None, "taken back"

    @pytest.mark.parametrize("policy", ["OnChange", "OncePerSpec"])
    async def test_changed_spec_that_is_cancelled_at_once_never_runs_and_says_so(
        self, world: World, policy: str
    ) -> None:
        await world.apply(runPolicy=policy, conf={"day": 1})
        await world.later(3)
        await end(world, RunState.SUCCESS)
        await edit(world, conf={"day": 2}, cancel=True)
        await world.later(60)
        assert (world.status.phase, len(runs(world))) == (Phase.SUCCEEDED, 1)
        conditions = {each.type: (each.status, each.reason) for each in world.status.conditions or ()}
        assert conditions["SpecApplied"] == ("False", "CancelRequested")
        assert conditions["Stalled"] == ("True", "CancelRequested")
        assert "SpecChangeRefused" in world.event_reasons
