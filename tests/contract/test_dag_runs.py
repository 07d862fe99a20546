"""What the operator relies on of Airflow, true of the real one and of the fake."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from mljob_operator.core.identity import cancel_run_id
from mljob_operator.core.phases import FINISHED_TASK, RunState
from mljob_operator.errors import DagNotFound, DagRefused, ValidationFailed
from tests.fakes import CANCEL_DAG

from .conftest import AirflowWorld, new_run_id, now

DAG = "parity_paused"
"""Paused, so that its runs stay queued until they are cancelled."""


async def test_a_submitted_run_is_queued_with_its_conf(airflow_world: AirflowWorld) -> None:
    run_id = new_run_id()
    run = await airflow_world.dag_runs.submit(DAG, run_id, {"a": {"b": [1, None]}}, "a note")
    assert run.state is RunState.QUEUED
    assert run.created is not None
    assert await airflow_world.submitted_conf(DAG, run_id) == {"a": {"b": [1, None]}}


async def test_eight_submissions_of_one_id_are_one_run(airflow_world: AirflowWorld) -> None:
    run_id = new_run_id()
    runs = await asyncio.gather(*(airflow_world.dag_runs.submit(DAG, run_id, {}, "") for _ in range(8)))
    assert len({run.created for run in runs}) == 1


async def test_an_unknown_dag_is_not_found(airflow_world: AirflowWorld) -> None:
    with pytest.raises(DagNotFound, match="no_such_dag"):
        await airflow_world.dag_runs.submit("no_such_dag", new_run_id(), {}, "")


async def test_a_conf_that_does_not_fit_is_refused(airflow_world: AirflowWorld) -> None:
    with pytest.raises(ValidationFailed, match="count"):
        await airflow_world.dag_runs.submit("parity_params", new_run_id(), {}, "")


async def test_a_run_is_found_in_whatever_dag(airflow_world: AirflowWorld) -> None:
    run_id = new_run_id()
    assert await airflow_world.dag_runs.search(run_id) is None
    await airflow_world.dag_runs.submit(DAG, run_id, {}, "")
    found = await airflow_world.dag_runs.search(run_id)
    assert found is not None
    assert (found[0], found[1].state) == (DAG, RunState.QUEUED)


async def test_a_run_that_is_not_there_is_none(airflow_world: AirflowWorld) -> None:
    assert await airflow_world.dag_runs.get(DAG, new_run_id()) is None
    assert await airflow_world.dag_runs.tasks(DAG, new_run_id()) == []
    assert await airflow_world.dag_runs.outputs(DAG, new_run_id()) == {}


async def test_a_run_has_its_tasks_from_the_beginning(airflow_world: AirflowWorld) -> None:
    run_id = new_run_id()
    await airflow_world.dag_runs.submit(DAG, run_id, {}, "")
    tasks = await airflow_world.dag_runs.tasks(DAG, run_id)
    assert tasks
    assert {task.try_number for task in tasks} == {0}


async def test_the_change_feed_has_what_changed_since(airflow_world: AirflowWorld) -> None:
    before, run_id = now() - timedelta(seconds=5), new_run_id()
    await airflow_world.dag_runs.submit(DAG, run_id, {}, "")
    changed = {change.run_id for change in await airflow_world.dag_runs.changed_runs(before)}
    assert run_id in changed
    assert run_id in {change.run_id for change in await airflow_world.dag_runs.changed_tasks(before)}
    later = now() + timedelta(hours=1)
    assert await airflow_world.dag_runs.changed_runs(later) == []
    assert await airflow_world.dag_runs.changed_tasks(later) == []


async def test_a_cancelled_run_is_over_with_all_its_tasks(airflow_world: AirflowWorld) -> None:
    run_id = new_run_id()
    await airflow_world.dag_runs.submit(DAG, run_id, {}, "")
    assert run_id in await airflow_world.dag_runs.active_runs()
    await airflow_world.dag_runs.cancel(DAG, run_id)
    run = await airflow_world.dag_runs.get(DAG, run_id)
    assert run is not None
    assert run.state is RunState.FAILED
    assert {task.state for task in await airflow_world.dag_runs.tasks(DAG, run_id)} <= FINISHED_TASK
    assert run_id not in await airflow_world.dag_runs.active_runs()
    await airflow_world.dag_runs.cancel(DAG, run_id)


async def test_cancelling_a_run_that_is_not_there_is_no_error(airflow_world: AirflowWorld) -> None:
    await airflow_world.dag_runs.cancel(DAG, new_run_id())


async def test_a_cancellation_is_triggered_once(airflow_world: AirflowWorld) -> None:
    run_id = new_run_id()
    await airflow_world.dag_runs.submit(DAG, run_id, {}, "")
    assert not await airflow_world.dag_runs.cancellation_runs(run_id)
    for _ in range(2):
        await airflow_world.dag_runs.trigger_cancellation(DAG, run_id, "a test")
    conf = await airflow_world.submitted_conf(CANCEL_DAG, cancel_run_id(run_id))
    assert (conf["dag_id"], conf["dag_run_id"]) == (DAG, run_id)


async def test_a_paused_cancellation_dag_is_refused(airflow_world: AirflowWorld) -> None:
    await airflow_world.pause(CANCEL_DAG, paused=True)
    try:
        with pytest.raises(DagRefused):
            await airflow_world.dag_runs.trigger_cancellation(DAG, new_run_id(), "a test")
        assert CANCEL_DAG in await airflow_world.dag_runs.paused_dags()
    finally:
        await airflow_world.pause(CANCEL_DAG, paused=False)
    assert CANCEL_DAG not in await airflow_world.dag_runs.paused_dags()
