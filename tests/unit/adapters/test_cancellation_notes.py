"""The operator's notes tell cancelled task instances from task instances that failed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from mljob_contract.cancellation_note import is_cancelled
from mljob_operator.adapters.airflow.client import Airflow
from tests.scripted_airflow import DAG, RUN, ScriptedAirflow, Told, page, task_row

LINE = "Cancelled in try 2: the operator of MLJobs has ended the run"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, LINE),
        ("seen by ada", f"seen by ada\n{LINE}"),
        ("Cancelled in try 1: x", f"Cancelled in try 1: x\n{LINE}"),
        ("x" * 1000, f"{'x' * (999 - len(LINE))}\n{LINE}"),
        (LINE, None),
    ],
    ids=["no note", "another note", "an earlier try", "a long note", "cancelled already"],
)
async def test_task_instance_that_the_operator_fails_has_a_note(
    before: str | None,
    after: str | None,
    server: ScriptedAirflow,
    connect: Callable[..., Airflow],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bodies: list[Mapping[str, Any]] = []
    answer = server.answer

    def recorded(method: str, path_and_query: str, body: Mapping[str, Any]) -> Told:
        bodies.append(body)
        return answer(method, path_and_query, body)

    monkeypatch.setattr(server, "answer", recorded)
    server.told["list tasks of a run"] = page("task_instances", task_row(try_number=2, note=before))
    await connect(server).cancel(DAG, RUN)
    [entity] = [entity for body in bodies for action in body.get("actions", ()) for entity in action["entities"]]
    assert (entity["task_id"], entity["new_state"], entity.get("note")) == ("fit", "failed", after)
    assert is_cancelled(entity.get("note", before), 2)
