from __future__ import annotations

import asyncio
import re
import secrets
from datetime import timedelta

import pytest

from mljob_operator.core.mljob.identity import cancel_run_id
from mljob_operator.core.run.outputs import Outputs
from mljob_operator.core.run.states import FINISHED_TASK, TERMINAL_RUN, RunState
from mljob_operator.errors import AirflowUnauthorized, DagNotFound, LogicalDateTaken, ValidationFailed
from tests.fakes.airflow import CANCEL_DAG

from .conftest import AirflowWorld, new_run_id, now

pytestmark = pytest.mark.every_airflow

DAG = "parity_paused"
"""A paused DAG, so that its runs stay queued until they are cancelled."""


async def test_submitted_run_is_queued_with_its_conf(airflow_world: AirflowWorld) -> None:
    run_id = new_run_id()
    run = await airflow_world.dag_runs.submit(DAG, run_id, {"a": {"b": [1, None]}}, "a note")
    assert run.state is RunState.QUEUED
    assert run.queued_at is not None
    assert await airflow_world.submitted_conf(DAG, run_id) == {"a": {"b": [1, None]}}


async def test_eight_submissions_with_one_run_id_create_one_run(airflow_world: AirflowWorld) -> None:
    run_id = new_run_id()
    runs = await asyncio.gather(*(airflow_world.dag_runs.submit(DAG, run_id, {}, "") for _ in range(8)))
    assert len({run.queued_at for run in runs}) == 1


async def test_dag_has_at_most_one_run_of_a_logical_date(airflow_world: AirflowWorld) -> None:
    first, second = new_run_id(), new_run_id()
    date = now().replace(microsecond=0) - timedelta(days=secrets.randbelow(40_000))
    run = await airflow_world.dag_runs.submit(DAG, first, {}, "", date)
    assert (await airflow_world.dag_runs.submit(DAG, first, {}, "", date)).queued_at == run.queued_at
    assert (await airflow_world.dag_runs.inputs(DAG, first)).logical_date == date
    with pytest.raises(LogicalDateTaken, match=re.escape(first)):
        await airflow_world.dag_runs.submit(DAG, second, {}, "", date)
    assert await airflow_world.dag_runs.get(DAG, second) is None


async def test_unknown_dag_is_not_found(airflow_world: AirflowWorld) -> None:
    with pytest.raises(DagNotFound, match="no_such_dag"):
        await airflow_world.dag_runs.submit("no_such_dag", new_run_id(), {}, "")


async def test_invalid_conf_is_refused(airflow_world: AirflowWorld) -> None:
    with pytest.raises(ValidationFailed, match="count"):
        await airflow_world.dag_runs.submit("parity_params", new_run_id(), {}, "")


async def test_params_of_a_dag_are_readable(airflow_world: AirflowWorld) -> None:
    params = await airflow_world.dag_runs.params("parity_params")
    assert params is not None
    assert params["count"]["schema"]["type"] == "integer"
    assert await airflow_world.dag_runs.params("no_such_dag") is None


async def test_conf_of_a_run_is_readable(airflow_world: AirflowWorld) -> None:
    run_id = new_run_id()
    await airflow_world.dag_runs.submit(DAG, run_id, {"day": 1, "deep": {"list": [1, "x"]}}, "")
    inputs = await airflow_world.dag_runs.inputs(DAG, run_id)
    assert (inputs.conf, inputs.logical_date) == ({"day": 1, "deep": {"list": [1, "x"]}}, None)
    with pytest.raises(ValidationFailed):
        await airflow_world.dag_runs.inputs(DAG, new_run_id())


async def test_questions_of_a_runs_tasks_are_readable(airflow_world: AirflowWorld) -> None:
    run_id = new_run_id()
    await airflow_world.dag_runs.submit("people_approve", run_id, {"model": "digits"}, "")
    await airflow_world.until_asked(run_id, "digits")
    questions = await airflow_world.dag_runs.questions("people_approve", run_id)
    assert {key: (question.try_number, question.subject) for key, question in questions.items()} == {
        ("approve", -1): (1, "Deploy digits?")
    }
    await airflow_world.dag_runs.cancel("people_approve", run_id)
    assert await airflow_world.dag_runs.questions("people_approve", new_run_id()) == {}


async def test_failed_run_is_cleared_once(airflow_world: AirflowWorld) -> None:
    run_id = new_run_id()
    await airflow_world.dag_runs.submit(DAG, run_id, {}, "")
    await airflow_world.dag_runs.cancel(DAG, run_id)
    ended = await airflow_world.dag_runs.get(DAG, run_id)
    assert ended is not None
    assert ended.end is not None
    cleared = await airflow_world.dag_runs.clear_failed(DAG, run_id, since=ended.end)
    assert cleared is not None
    assert cleared.state not in TERMINAL_RUN
    assert cleared.queued_at is not None
    assert cleared.queued_at > ended.end
    again = await airflow_world.dag_runs.clear_failed(DAG, run_id, since=ended.end)
    assert again is not None
    assert again.queued_at == cleared.queued_at, "an answer that was lost is asked for again"
    await airflow_world.dag_runs.cancel(DAG, run_id)


async def test_deleted_run_is_not_cleared(airflow_world: AirflowWorld) -> None:
    assert await airflow_world.dag_runs.clear_failed(DAG, new_run_id(), since=None) is None


async def test_missing_run_is_none(airflow_world: AirflowWorld) -> None:
    assert await airflow_world.dag_runs.get(DAG, new_run_id()) is None
    assert await airflow_world.dag_runs.tasks(DAG, new_run_id()) == []
    assert await airflow_world.dag_runs.outputs(DAG, new_run_id(), []) == Outputs({})


async def test_run_has_its_tasks_from_the_beginning(airflow_world: AirflowWorld) -> None:
    run_id = new_run_id()
    await airflow_world.dag_runs.submit(DAG, run_id, {}, "")
    tasks = await airflow_world.dag_runs.tasks(DAG, run_id)
    assert tasks
    assert {task.try_number for task in tasks} == {0}


async def test_change_feed_has_runs_and_tasks_that_changed_since_a_time(airflow_world: AirflowWorld) -> None:
    before, run_id = now() - timedelta(seconds=5), new_run_id()
    await airflow_world.dag_runs.submit(DAG, run_id, {}, "")
    changed = {change.run_id for change in await airflow_world.dag_runs.changed_runs(before)}
    assert run_id in changed
    assert run_id in {change.run_id for change in await airflow_world.dag_runs.changed_tasks(before)}
    later = now() + timedelta(hours=1)
    assert await airflow_world.dag_runs.changed_runs(later) == []
    assert await airflow_world.dag_runs.changed_tasks(later) == []


async def test_cancelled_run_has_ended_with_all_its_tasks(airflow_world: AirflowWorld) -> None:
    run_id = new_run_id()
    await airflow_world.dag_runs.submit(DAG, run_id, {}, "")
    assert run_id in [run.run_id for run in await airflow_world.dag_runs.active_runs()]
    await airflow_world.dag_runs.cancel(DAG, run_id)
    run = await airflow_world.dag_runs.get(DAG, run_id)
    assert run is not None
    assert run.state is RunState.FAILED
    assert {task.state for task in await airflow_world.dag_runs.tasks(DAG, run_id)} <= FINISHED_TASK
    assert run_id not in [run.run_id for run in await airflow_world.dag_runs.active_runs()]
    await airflow_world.dag_runs.cancel(DAG, run_id)


async def test_note_of_an_active_run_is_readable_and_can_be_changed(airflow_world: AirflowWorld) -> None:
    run_id, silent = new_run_id(), new_run_id()
    await airflow_world.dag_runs.submit(DAG, run_id, {}, "MLJob team-a/churn")
    await airflow_world.dag_runs.submit(DAG, silent, {}, "")

    async def told() -> dict[str, str | None]:
        return {run.run_id: run.note for run in await airflow_world.dag_runs.active_runs()}

    notes = await told()
    assert (notes[run_id], notes[silent]) == ("MLJob team-a/churn", None)
    await airflow_world.dag_runs.set_note(DAG, run_id, "another")
    run = await airflow_world.dag_runs.get(DAG, run_id)
    assert run is not None
    assert run.state in (RunState.QUEUED, RunState.RUNNING)
    assert (await told()).get(run_id) in ("another", None)
    await airflow_world.dag_runs.set_note(DAG, new_run_id(), "of none")


async def test_cancelling_a_missing_run_is_no_error(airflow_world: AirflowWorld) -> None:
    await airflow_world.dag_runs.cancel(DAG, new_run_id())
    await airflow_world.dag_runs.drop_cancellation(new_run_id())


async def test_cancellation_is_triggered_once(airflow_world: AirflowWorld) -> None:
    run_id = new_run_id()
    await airflow_world.dag_runs.submit(DAG, run_id, {}, "")
    assert not await airflow_world.dag_runs.is_cancelling(run_id)
    for _ in range(2):
        await airflow_world.dag_runs.trigger_cancellation(DAG, run_id, "a test")
    conf = await airflow_world.submitted_conf(CANCEL_DAG, cancel_run_id(run_id))
    assert (conf["dag_id"], conf["dag_run_id"]) == (DAG, run_id)


async def test_probe_reports_the_health_of_airflow(airflow_world: AirflowWorld) -> None:
    pulse = await airflow_world.dag_runs.probe()
    assert pulse.version.startswith("3.")
    assert pulse.health.model_dump() == dict.fromkeys(
        ("metadatabase", "scheduler", "dag_processor", "triggerer"), "healthy"
    )


async def test_wrong_password_is_distinguished_from_an_unreachable_airflow(airflow_world: AirflowWorld) -> None:
    with pytest.raises(AirflowUnauthorized):
        await airflow_world.stranger.probe()
    with pytest.raises(AirflowUnauthorized):
        await airflow_world.stranger.submit(DAG, new_run_id(), {}, "")
