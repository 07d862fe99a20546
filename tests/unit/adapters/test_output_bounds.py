"""The limits for the outputs of a run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from mljob_contract.mljob import OutputSource
from mljob_operator.adapters.airflow import outputs
from mljob_operator.core.run.outputs import Outputs, bounded
from tests.scripted_airflow import AT, DAG, POURS, RUN, Says, ScriptedAirflow, Told, page, said

from .conftest import Connect


def xcoms(*task_ids: str) -> Says:
    return page("xcom_entries", *({"task_id": name, "map_index": -1, "timestamp": AT} for name in task_ids))


async def test_output_that_is_too_large_is_named_and_the_others_are_read(
    server: ScriptedAirflow, connect: Connect
) -> None:
    answers: Iterator[Told] = iter([said(200, value='{"score": 0.9}'), POURS])
    server.told["list xcoms"] = xcoms("fit", "fit")
    server.told["get xcom"] = lambda _: next(answers)
    found = await connect(server).outputs(DAG, RUN, [])
    assert found == Outputs({"score": 0.9}, ("mljob_outputs of fit",))
    assert bounded(found.values, found.omitted) == found, "and so the status says"


async def test_outputs_that_a_task_omitted_are_named(server: ScriptedAirflow, connect: Connect) -> None:
    values = iter([{"a": 1, "b": 1, "mljob_outputs_omitted": ["c", "d"]}, {"c": 3, "mljob_outputs_omitted": ["b"]}])
    server.told["list xcoms"] = xcoms("fit", "fit")
    server.told["get xcom"] = lambda _: said(200, value=json.dumps(next(values)))
    found = await connect(server).outputs(DAG, RUN, [])
    assert found == Outputs({"a": 1, "c": 3}, ("d", "b")), "the later XCom's word counts"


async def test_requested_xcom_is_read_even_if_the_task_omitted_an_output_of_that_name(
    server: ScriptedAirflow, connect: Connect
) -> None:
    values = iter([{"mljob_outputs_omitted": ["score"]}, 0.9])
    server.told["get xcom"] = lambda _: said(200, value=json.dumps(next(values)))
    found = await connect(server).outputs(
        DAG, RUN, [OutputSource.model_construct(name="score", task_id="~", key="mljob_outputs")]
    )
    assert found == Outputs({"score": 0.9})


@pytest.mark.parametrize("omitted", [None, 1, "abc", {"a": 1}, [1, None, ["x"]]], ids=repr)
async def test_invalid_names_of_omitted_outputs_are_ignored(
    omitted: object, server: ScriptedAirflow, connect: Connect
) -> None:
    server.told["get xcom"] = said(200, value=json.dumps({"a": 1, "mljob_outputs_omitted": omitted}))
    assert await connect(server).outputs(DAG, RUN, []) == Outputs({"a": 1})


async def test_number_of_omitted_names_is_bounded(server: ScriptedAirflow, connect: Connect) -> None:
    server.told["get xcom"] = said(200, value=json.dumps({"mljob_outputs_omitted": [f"o{n}" for n in range(1000)]}))
    found = await connect(server).outputs(DAG, RUN, [])
    assert len(found.omitted) == outputs.MAX_OMITTED
    assert len(bounded(found.values, found.omitted).omitted) == 32


async def test_total_size_of_the_xcoms_of_a_run_is_bounded(
    server: ScriptedAirflow, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outputs, "MAX_RUN_BYTES", 150)
    server.told["list xcoms"] = xcoms(*["fit"] * 4)
    values = iter(json.dumps({f"out-{number}": "x" * 30}) for number in range(4))
    server.told["get xcom"] = lambda _: said(200, value=next(values))
    found = await connect(server).outputs(DAG, RUN, [])
    assert list(found.values) == ["out-0", "out-1"]
    assert found.omitted == ("mljob_outputs of fit",)


async def test_number_of_xcoms_that_are_read_is_bounded(
    server: ScriptedAirflow, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outputs, "MAX_XCOMS", 2)
    server.told["list xcoms"] = xcoms(*["fit"] * 3)
    airflow = connect(server)
    found = await airflow.outputs(DAG, RUN, [])
    assert found == Outputs({"a": 1}, ("mljob_outputs of more than 2 tasks",))
    assert server.asked.count("get xcom") == 2


async def test_xcoms_that_are_not_read_in_time_are_named(
    server: ScriptedAirflow, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(outputs, "time", SimpleNamespace(monotonic=lambda: now))
    server.told["list xcoms"] = xcoms("fit", "fit", "fit")

    def answer(_: object) -> Told:
        nonlocal now
        now += 20
        return said(200, value=json.dumps({f"at-{now:.0f}": 1}))

    server.told["get xcom"] = answer
    found = await connect(server).outputs(DAG, RUN, [OutputSource(name="score", task_id="fit", key="mljob_outputs")])
    assert found == Outputs(
        {"at-20": 1, "at-40": 1}, ("mljob_outputs of fit (not read within 30 s)", "score (not read within 30 s)")
    )


async def test_deeply_nested_output_is_omitted_from_the_status(server: ScriptedAirflow, connect: Connect) -> None:
    server.told["get xcom"] = said(200, value='{"deep": ' + "[" * 500 + "]" * 500 + ', "a": 1}')
    found = await connect(server).outputs(DAG, RUN, [])
    assert bounded(found.values, found.omitted) == Outputs({"a": 1}, ("deep",))
