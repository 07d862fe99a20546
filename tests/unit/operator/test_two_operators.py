"""Two operator processes act at the same time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mljob_contract.mljob import Phase
from mljob_operator.core.run.states import RunState
from tests.simulation.network import Fault
from tests.simulation.world import World

from .simulated import KEY, apply, dags_at_work, delete, edit, run, simulation


@pytest.fixture
def world() -> Iterator[World]:
    with simulation() as world:
        world.start(beside=True)
        world.run(1)
        yield world


def submitter(world: World) -> str | None:
    return world.status(KEY).submitted_by


class TestOneRun:
    def test_only_one_operator_submits_the_run(self, world: World) -> None:
        apply(world)
        world.run(20)
        assert dags_at_work(world) == ["train"]
        assert world.status(KEY).phase is Phase.QUEUED
        assert [run.run_id for run in world.airflow.ours()] == [world.status(KEY).dag_run_id]

    def test_operator_cut_off_from_kubernetes_submits_no_run_of_an_older_spec(self, world: World) -> None:
        world.network.down.add("airflow")
        apply(world)
        world.run(1)
        old, new = world.processes
        if submitter(world) != "operator-1":
            old, new = new, old
        old.wire.cut.add("kubernetes")
        edit(world, dagId="predict")
        world.run(40)
        new.wire.cut.add("airflow")
        world.network.down.clear()
        world.run(60)
        assert dags_at_work(world) == []
        new.wire.cut.clear()
        world.run(60)
        assert dags_at_work(world) == ["predict"]

    def test_operator_waits_for_a_submission_of_the_other_that_is_in_flight(self, world: World) -> None:
        world.network.faults["airflow"] = [None, Fault.LATE]
        apply(world)
        world.run(1)
        (stray,) = [stray for stray in world.network.strays if stray.name == "submit"]
        edit(world, dagId="predict")
        world.run(20)
        # This request creates the only run.
        world.lands(stray)
        world.run(60)
        assert dags_at_work(world) == ["train"]


class TestEndThatTheOtherWrites:
    def end_backfill(self, world: World, retry: str) -> int:
        """Create an MLJob with a backfill. One operator process submits the backfill. Cut the
        connection between this process and Airflow. Then request a retry, with ``retry`` as the
        value of the annotation, and let the backfill succeed. Return the index in
        ``world.processes`` of the process whose connection was cut.
        """
        day = "2025-12-02T00:00:00Z"
        apply(world, dagId="days", type="Backfill", backfill={"from": day, "to": day})
        world.run(2)
        behind = 0 if submitter(world) == "operator-1" else 1
        world.processes[behind].wire.cut.add("airflow")
        world.cluster.request_retry(KEY, retry)
        [(airflow, run)] = world.going_on()
        airflow.finish(run, RunState.SUCCESS)
        airflow.backfills.close_ended()
        world.run(5)
        assert world.status(KEY).phase is Phase.SUCCEEDED
        return behind

    def test_requested_retry_is_handled_by_the_operator_that_stays(self, world: World) -> None:
        stays = self.end_backfill(world, "again")
        world.kill(1 - stays)
        world.processes[0].wire.cut.clear()
        world.run(60)
        assert (world.status(KEY).attempts, world.status(KEY).last_handled_retry) == (2, "again")


class TestTakingOver:
    def test_attempt_of_a_live_process_is_taken_over_only_after_a_while(self, world: World) -> None:
        world.network.down.add("airflow")
        apply(world)
        world.run(20)
        first = submitter(world)
        assert first in ("operator-1", "operator-2")
        world.run(30)
        assert submitter(world) != first

    def test_operator_takes_over_at_once_when_it_starts(self, world: World) -> None:
        world.kill(1)
        world.network.down.add("airflow")
        apply(world)
        world.run(1)
        assert submitter(world) == "operator-1"
        world.kill()
        world.start()
        world.network.down.clear()
        world.run(1)
        assert submitter(world) == "operator-3"
        assert dags_at_work(world) == ["train"]


class TestStatus:
    def test_attempt_of_the_other_operator_is_not_overwritten(self, world: World) -> None:
        apply(world, backoffLimit=2)
        world.run(5)
        first, _ = world.processes
        first.wire.cut.add("kubernetes")
        world.airflow.finish(run(world), RunState.FAILED)
        world.run(40)
        assert world.status(KEY).attempts == 2
        first.wire.cut.clear()
        world.run(30)
        assert world.status(KEY).attempts == 2
        world.airflow.finish(run(world), RunState.SUCCESS)
        world.run(30)
        assert world.status(KEY).phase is Phase.SUCCEEDED

    @pytest.mark.parametrize("state", [None, RunState.SUCCESS])
    def test_status_comes_to_rest_while_both_act(self, world: World, state: RunState | None) -> None:
        apply(world)
        world.run(5)
        if state is not None:
            world.airflow.finish(run(world), state)
        world.run(60)
        before = world.cluster.objects[KEY]["metadata"]["resourceVersion"]
        events = len(world.cluster.kube_events)
        world.run(600)
        assert len(world.processes) == 2
        assert world.cluster.objects[KEY]["metadata"]["resourceVersion"] == before
        assert len(world.cluster.kube_events) == events

    def test_deletion_waits_for_the_end_of_the_run_whichever_operator_cancels_it(self, world: World) -> None:
        apply(world, cancellation={"strategy": "Api"})
        world.run(5)
        delete(world)
        world.run(30)
        assert KEY not in world.cluster.objects
        assert dags_at_work(world) == []
