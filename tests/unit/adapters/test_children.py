"""The adapter for Airflow finds the active runs that the tasks of a run have started."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from mljob_operator.adapters.airflow.client import Airflow
from mljob_operator.core.run.children import MAX_CHILDREN, Child
from tests.scripted_airflow import AT, CHILD_RUN, DAG, RUN, ScriptedAirflow, run_row, said

Connect = Callable[..., Airflow]


@pytest.mark.parametrize(("triggered_by", "by_task"), [("operator", True), ("ui", False), (None, False)])
async def test_child_run_in_progress_is_found_with_its_trigger(
    triggered_by: str | None, by_task: bool, server: ScriptedAirflow, connect: Connect
) -> None:
    server.told["get run"] = said(200, **run_row(DAG, CHILD_RUN, state="running", triggered_by=triggered_by))
    assert await connect(server).children(DAG, RUN) == [Child(DAG, CHILD_RUN, by_task)]


@pytest.mark.parametrize("claim", ["../../secrets", "a/b", "~", "", "..", "x" * 251, 5, None, {"a": 1}])
async def test_xcom_that_is_not_a_valid_id_causes_no_request(
    claim: Any, server: ScriptedAirflow, connect: Connect
) -> None:
    server.told["get child xcom"] = said(200, value=json.dumps(claim))
    assert await connect(server).children(DAG, RUN) == []
    assert "get run" not in server.asked
    server.told = {"get task": said(200, rendered_fields={"trigger_dag_id": claim})}
    assert await connect(server).children(DAG, RUN) == []
    assert "get run" not in server.asked


async def test_number_of_child_runs_that_are_looked_up_is_bounded(server: ScriptedAirflow, connect: Connect) -> None:
    entries = [{"task_id": "fit", "map_index": -1, "timestamp": AT} for _ in range(100)]
    numbers = iter(range(10_000))
    server.told = {
        "list xcoms": said(200, xcom_entries=entries, total_entries=100),
        "get child xcom": lambda _: said(200, value=json.dumps(f"child-{next(numbers)}")),
    }
    await connect(server).children(DAG, RUN)
    assert server.asked.count("get run") <= MAX_CHILDREN
    assert server.asked.count("get child xcom") == MAX_CHILDREN
