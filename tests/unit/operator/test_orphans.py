"""Orphans are active runs that the operator has submitted, and that are not the run of any MLJob."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from mljob_operator.controllers import orphans
from mljob_operator.controllers.orphans import MAX_CANCELLATIONS
from mljob_operator.core.mljob.identity import dag_run_id, pin
from mljob_operator.core.mljob.resource.job import Job
from mljob_operator.core.run.run_key import SETTINGS_AIRFLOW, Key
from mljob_operator.core.run.states import RunState
from mljob_operator.errors import AirflowForbidden, StoreUnavailable
from tests.fakes.airflow import FakeRun

from .conftest import KEY, World
from .runs import active, begin, end, newest, runs

NAMESPACE, NAME = KEY


class Cancelling(World):
    cancels_orphans = True


@pytest.fixture
async def cancelling() -> AsyncIterator[World]:
    world = Cancelling()
    yield world
    await world.job_controller.close()


async def minutes(world: World, number: int = 2) -> None:
    for _ in range(12 * number + 1):
        await world.look()
        await world.later(5)


def stray(world: World, name: str = NAME, *, uid: str = "gone", dag_id: str = "train") -> FakeRun:
    run_id = str(dag_run_id("mljob", NAMESPACE, name, uid))
    return world.airflow.queue(dag_id, run_id, {}, f"MLJob {NAMESPACE}/{name}")


def orphaned(world: World) -> int:
    return world.meter.orphaned.get(SETTINGS_AIRFLOW, 0)


class TestOrphan:
    async def test_orphan_is_reported_once_and_continues(self, world: World, caplog: pytest.LogCaptureFixture) -> None:
        run = stray(world)
        await minutes(world, 4)
        (notice,) = world.operator.kube_events
        assert (notice.type, notice.reason) == ("Warning", "OrphanedRun")
        assert (
            f"Run {run.run_id} of DAG train is in progress in the Airflow of the operator's settings" in notice.message
        )
        assert "MLJob team-a/churn was deleted" in notice.message
        assert [r.levelname for r in caplog.records if r.message == notice.message] == ["WARNING"]
        assert orphaned(world) == 1
        assert "cancel" not in world.airflow.calls

    async def test_orphan_is_cancelled_if_the_settings_say_so(self, cancelling: World) -> None:
        run = stray(cancelling)
        await minutes(cancelling)
        assert run.state is RunState.FAILED
        (notice,) = cancelling.operator.kube_events
        assert "The operator cancels it." in notice.message
        await minutes(cancelling, 1)
        assert orphaned(cancelling) == 0

    async def test_run_is_not_an_orphan_after_one_relist(self, world: World) -> None:
        stray(world)
        await world.look()
        await world.later(59)
        await world.look()
        assert not world.operator.kube_events

    async def test_run_of_an_earlier_mljob_of_the_same_name_is_an_orphan(self, cancelling: World) -> None:
        run = stray(cancelling)
        await cancelling.apply()
        await minutes(cancelling)
        assert run.state is RunState.FAILED
        assert active(cancelling) == 1
        assert cancelling.status.dag_run_id != run.run_id

    async def test_run_of_an_attempt_that_ended_without_it_is_an_orphan(self, cancelling: World) -> None:
        await cancelling.apply(runPolicy="OncePerSpec", suspend=True)
        late = stray(cancelling, uid=cancelling.jobs.objects[KEY]["metadata"]["uid"])
        late.run_id = late.run_id[:-1] + "7"
        cancelling.airflow.runs = {(late.dag_id, late.run_id): late}
        await cancelling.edit(suspend=False)
        await minutes(cancelling)
        assert late.state is RunState.FAILED
        assert active(cancelling) == 1

    async def test_many_orphans_are_cancelled_a_few_at_a_time(self, cancelling: World) -> None:
        for number in range(2 * MAX_CANCELLATIONS + 1):
            stray(cancelling, f"job-{number}")
        await minutes(cancelling, 1)
        assert active(cancelling) == MAX_CANCELLATIONS + 1
        await minutes(cancelling, 2)
        assert active(cancelling) == 0

    async def test_failed_cancellation_is_retried(self, cancelling: World) -> None:
        run = stray(cancelling)
        cancelling.airflow.down_for["cancel"] = 2
        await minutes(cancelling, 2)
        assert (run.state, active(cancelling)) == (RunState.QUEUED, 1)
        await minutes(cancelling, 2)
        assert run.state is RunState.FAILED

    async def test_orphans_that_cannot_be_cancelled_do_not_block_others(
        self, cancelling: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cancel = cancelling.airflow.cancel

        async def of_most(dag_id: str, run_id: str) -> None:
            if dag_id == "forbidden":
                raise AirflowForbidden("no")
            if dag_id == "train":
                await cancel(dag_id, run_id)

        monkeypatch.setattr(cancelling.airflow, "cancel", of_most)
        cancelling.airflow.dags |= dict.fromkeys(("forbidden", "gone"), cancelling.airflow.dags["train"])
        for number in range(MAX_CANCELLATIONS):
            stray(cancelling, f"a-{number}", dag_id="forbidden")
            stray(cancelling, f"b-{number}", dag_id="gone")
        run = stray(cancelling, "z")
        await minutes(cancelling, 4)
        assert run.state is RunState.FAILED

    async def test_unresponsive_airflow_delays_the_change_feed_only_for_a_while(
        self, cancelling: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def hangs(*_: str) -> None:
            await asyncio.sleep(3600)

        monkeypatch.setattr(orphans, "TIMEOUT_SECONDS", 0.05)
        with monkeypatch.context() as patch:
            patch.setattr(cancelling.airflow, "cancel", hangs)
            runs = [stray(cancelling, name) for name in ("one", "two")]
            await minutes(cancelling)
        await minutes(cancelling)
        assert {run.state for run in runs} == {RunState.FAILED}

    async def test_event_that_cannot_be_recorded_blocks_nothing(
        self, cancelling: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def refuse(_: object) -> None:
            raise StoreUnavailable("no")

        monkeypatch.setattr(cancelling.operator, "record", refuse)
        run = stray(cancelling)
        await minutes(cancelling)
        assert run.state is RunState.FAILED


def another_note(run: FakeRun) -> None:
    run.note = "mine"


def no_note(run: FakeRun) -> None:
    # A child run with the run id of its parent has no note.
    run.note = None


def note_of_another(run: FakeRun) -> None:
    run.note = "MLJob team-b/churn"


def ended(run: FakeRun) -> None:
    run.state = RunState.SUCCESS


class TestOtherRuns:
    @pytest.mark.parametrize("change", [another_note, no_note, note_of_another, ended])
    async def test_run_that_has_ended_or_was_not_submitted_for_an_mljob_is_not_an_orphan(
        self, cancelling: World, change: Callable[[FakeRun], None]
    ) -> None:
        run = stray(cancelling)
        change(run)
        await minutes(cancelling)
        assert "cancel" not in cancelling.airflow.calls
        assert not cancelling.operator.kube_events

    async def test_run_of_a_namespace_of_another_operator_is_not_an_orphan(self, cancelling: World) -> None:
        cancelling.namespaces = ("team-b",)
        cancelling.start()
        stray(cancelling)
        await minutes(cancelling)
        assert not cancelling.operator.kube_events

    async def test_run_of_an_mljob_is_not_an_orphan(self, cancelling: World) -> None:
        await cancelling.apply()
        await begin(cancelling)
        await minutes(cancelling)
        assert active(cancelling) == 1
        assert not cancelling.operator.kube_events

    async def test_run_that_an_mljob_will_take_over_is_not_an_orphan(self, cancelling: World) -> None:
        await cancelling.apply(runPolicy="OncePerSpec", suspend=True)
        run = stray(cancelling, uid=pin(Job.from_object(cancelling.jobs.objects[KEY])))
        await minutes(cancelling)
        assert (run.state, active(cancelling)) == (RunState.QUEUED, 1)
        await cancelling.edit(suspend=False)
        await minutes(cancelling)
        assert cancelling.status.dag_run_id == run.run_id
        assert (run.state, active(cancelling)) == (RunState.QUEUED, 1)

    async def test_earlier_run_that_somebody_cleared_is_not_an_orphan(self, cancelling: World) -> None:
        await cancelling.apply(backoffLimit=3, retryStrategy="NewRun")
        await begin(cancelling)
        first = newest(cancelling)
        await end(cancelling, RunState.FAILED)
        await cancelling.later(15)
        await cancelling.look()
        await cancelling.later(15)
        assert len(runs(cancelling)) == 2
        cancelling.airflow.clear(first)
        await minutes(cancelling)
        assert first.state is RunState.QUEUED
        assert not cancelling.operator.kube_events

    async def test_no_run_is_an_orphan_while_the_api_server_does_not_answer(
        self, cancelling: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Silent:
            async def find(self, _: Key) -> None:
                raise StoreUnavailable("no answer")

        run = stray(cancelling)
        with monkeypatch.context() as patch:
            patch.setattr(cancelling.orphans, "_jobs", Silent())
            await minutes(cancelling)
        assert (run.state, active(cancelling)) == (RunState.QUEUED, 1)
        await minutes(cancelling, 1)
        assert run.state is RunState.FAILED


class TestRetained:
    async def test_retained_run_is_not_an_orphan(self, cancelling: World) -> None:
        await cancelling.apply(deletionPolicy="Retain")
        await begin(cancelling)
        await cancelling.delete()
        assert not cancelling.exists
        await minutes(cancelling)
        assert newest(cancelling).state is RunState.RUNNING
        assert newest(cancelling).note == "MLJob team-a/churn, deleted with deletionPolicy Retain"
        assert not cancelling.operator.kube_events

    async def test_deletion_with_retain_does_not_wait_for_airflow(
        self, cancelling: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        await cancelling.apply(deletionPolicy="Retain")
        await begin(cancelling)
        cancelling.airflow.down = True
        await cancelling.delete()
        assert not cancelling.exists
        assert "the run's note could not be changed to say that the run is retained" in caplog.text

    async def test_run_is_cancelled_if_the_policy_changes_before_the_mljob_is_gone(self, cancelling: World) -> None:
        def change_policy() -> None:
            cancelling.job_controller.observe(cancelling.jobs.edit(KEY, {"deletionPolicy": "Cancel"}))

        await cancelling.apply(deletionPolicy="Retain")
        await begin(cancelling)
        cancelling.airflow.before["set_note"] = change_policy
        await cancelling.delete()
        assert cancelling.exists, "its run is not cancelled yet"
        await minutes(cancelling, 1)
        assert newest(cancelling).state is RunState.FAILED
        assert not cancelling.exists

    async def test_retained_run_that_has_ended_is_not_annotated(self, world: World) -> None:
        await world.apply(deletionPolicy="Retain")
        await begin(world)
        await end(world, RunState.SUCCESS)
        await world.delete()
        assert not world.exists
        assert "set_note" not in world.airflow.calls
