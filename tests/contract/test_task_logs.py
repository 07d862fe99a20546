from __future__ import annotations

import asyncio
import time

import pytest

from mljob_operator.core.conf.redaction import NOTHING_HIDDEN
from mljob_operator.core.run.log_lines import EntryLines
from mljob_operator.core.run.states import TERMINAL_RUN, TaskState
from mljob_operator.errors import AirflowUnauthorized
from mljob_operator.ports import Airflow

from .conftest import AirflowWorld, new_run_id

pytestmark = pytest.mark.every_airflow

TASK = ("echo", -1)


async def text_of(airflow: Airflow, run_id: str, number: int) -> tuple[str | None, str | None]:
    """Return the log of try ``number`` of the task ``echo``, and the token for requesting later
    entries. The token is None if the log is complete. Both values are None if the try does not
    exist.
    """
    log = await airflow.open_log("parity_params", run_id, TASK, number)
    if log is None:
        return None, None
    lines, found = EntryLines(NOTHING_HIDDEN), []
    try:
        while (read := await log.read(lines)) is not None:
            found += [line for entry in read for line in entry]
    finally:
        log.close()
    return "\n".join(found), log.token


async def ended(world: AirflowWorld, run_id: str) -> None:
    await world.dag_runs.submit("parity_params", run_id, {"count": 1}, "note")
    await world.finish("parity_params", run_id, "echo")
    until = time.monotonic() + 120
    while True:
        run = await world.dag_runs.get("parity_params", run_id)
        if run is not None and run.state in TERMINAL_RUN:
            return
        assert time.monotonic() < until, "the run has not ended"
        await asyncio.sleep(0.5)


async def test_log_of_an_ended_task_is_whole_and_has_no_token(airflow_world: AirflowWorld) -> None:
    run_id = new_run_id()
    await ended(airflow_world, run_id)
    text, token = await text_of(airflow_world.dag_runs, run_id, 1)
    assert text
    assert "::group::Log message source details" not in text
    assert token is None


async def test_log_of_a_try_that_is_not_there_is_none(airflow_world: AirflowWorld) -> None:
    run_id = new_run_id()
    await ended(airflow_world, run_id)
    assert await text_of(airflow_world.dag_runs, run_id, 7) == (None, None)
    assert await airflow_world.dag_runs.open_log("parity_params", run_id, ("absent", -1), 1) is None
    assert await airflow_world.dag_runs.open_log("parity_params", new_run_id(), TASK, 1) is None


async def test_log_needs_the_password(airflow_world: AirflowWorld) -> None:
    with pytest.raises(AirflowUnauthorized):
        await airflow_world.stranger.open_log("parity_params", new_run_id(), TASK, 1)


async def test_structure_has_the_tasks_and_what_runs_after_them(airflow_world: AirflowWorld) -> None:
    tasks = {task.task_id: task for task in await airflow_world.dag_runs.structure("people_approve")}
    assert tasks.keys() == {"train", "approve", "deploy"}
    assert tasks["train"].downstream == ("approve",)
    assert tasks["deploy"].downstream == ()
    assert tasks["train"].label == "train"


async def test_structure_of_an_unknown_dag_is_empty(airflow_world: AirflowWorld) -> None:
    assert await airflow_world.dag_runs.structure("contract_no_such_dag") == []


async def test_state_of_the_task_names_the_try_of_its_log(airflow_world: AirflowWorld) -> None:
    run_id = new_run_id()
    await ended(airflow_world, run_id)
    (task,) = await airflow_world.dag_runs.tasks("parity_params", run_id)
    assert (task.key, task.try_number, task.state) == (TASK, 1, TaskState.SUCCESS)
