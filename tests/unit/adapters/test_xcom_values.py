from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from mljob_contract.mljob import OutputSource
from mljob_operator.adapters.airflow.client import Airflow
from mljob_operator.adapters.airflow.xcom_values import plain
from tests.scripted_airflow import AT, DAG, RUN, ScriptedAirflow, said

Connect = Callable[..., Airflow]


def wrapped(kind: str, data: Any) -> dict[str, Any]:
    return {"__classname__": kind, "__version__": 1, "__data__": data}


UTC_ZONE = wrapped("builtins.tuple", ["UTC", "pendulum.tz.timezone.FixedTimezone", 1, True])


@pytest.mark.parametrize(
    ("stored", "value"),
    [
        (1.5, 1.5),
        ("s3://models/1", "s3://models/1"),
        ({"a": [1, None]}, {"a": [1, None]}),
        (wrapped("builtins.tuple", [1, 2]), [1, 2]),
        (wrapped("builtins.set", ["b", "a"]), ["b", "a"]),
        ({"pairs": [wrapped("builtins.tuple", [1, wrapped("builtins.tuple", [2])])]}, {"pairs": [[1, [2]]]}),
        (wrapped("datetime.datetime", {"timestamp": 1767225600.5, "tz": UTC_ZONE}), "2026-01-01T00:00:00.500000Z"),
        (wrapped("pendulum.datetime.DateTime", {"timestamp": 0, "tz": None}), "1970-01-01T00:00:00Z"),
        (wrapped("datetime.datetime", 1767225600.0), "2026-01-01T00:00:00Z"),
        (wrapped("datetime.date", "2026-01-01"), "2026-01-01"),
        (wrapped("datetime.timedelta", 60.0), 60.0),
        (wrapped("decimal.Decimal", "1.10"), "1.10"),
        (wrapped("numpy.float64", 0.25), 0.25),
        (
            wrapped("models.Score", {"auc": 0.9, "at": wrapped("datetime.date", "2026-01-01")}),
            {"auc": 0.9, "at": "2026-01-01"},
        ),
        (wrapped("datetime.datetime", {"timestamp": 1e300}), {"timestamp": 1e300}),
        (wrapped("datetime.datetime", {"timestamp": "soon"}), {"timestamp": "soon"}),
        ({"__classname__": 5, "__data__": 1}, {"__classname__": 5, "__data__": 1}),
        ({"__classname__": "builtins.tuple"}, {"__classname__": "builtins.tuple"}),
    ],
    ids=lambda value: str(value)[:40],
)
def test_serialised_value_becomes_plain_json(stored: Any, value: Any) -> None:
    assert plain(json.dumps(stored)) == value


def test_deeply_nested_serialised_value_is_read() -> None:
    value: Any = 1
    for _ in range(5000):
        value = wrapped("builtins.tuple", [value])
    assert plain(value) is not None


STORED = f"file:///xcoms/{DAG}/{RUN}/fit/0f8fad5b-d9cb-469f-a165-70867728950e"


@pytest.mark.parametrize("address", [STORED, f"{STORED}.gz", STORED.replace("file://", "s3://aws@bucket")])
async def test_output_in_an_object_store_is_named_as_omitted(
    address: str, server: ScriptedAirflow, connect: Connect
) -> None:
    server.told["get xcom"] = said(200, value=json.dumps(address))
    found = await connect(server).outputs(DAG, RUN, [])
    assert (found.values, found.omitted) == ({}, ("mljob_outputs of fit (in an object store)",))


@pytest.mark.parametrize(
    "value",
    [
        f"s3://models/{DAG}/{RUN}/fit/model.pkl",
        STORED.replace("/fit/", "/another/"),
        STORED.replace(RUN, "another-run"),
        f"see {STORED}",
    ],
)
async def test_address_that_a_task_returned_is_its_output(
    value: str, server: ScriptedAirflow, connect: Connect
) -> None:
    server.told["get xcom"] = said(200, value=json.dumps(value))
    found = await connect(server).outputs(DAG, RUN, [OutputSource(name="model", task_id="fit", key="mljob_outputs")])
    assert found.values["model"] == value


async def test_xcoms_on_short_pages_are_all_read(server: ScriptedAirflow, connect: Connect) -> None:
    entries = [{"task_id": "fit", "map_index": index, "timestamp": AT} for index in range(12)]

    def listed(query: Any) -> Any:
        first = int(query["offset"][0])
        return said(200, xcom_entries=entries[first : first + 5], total_entries=12)

    server.told["list xcoms"] = listed
    server.told["get xcom"] = lambda query: said(200, value=json.dumps({f"o{query['map_index'][0]}": 1}))
    found = await connect(server).outputs(DAG, RUN, [])
    assert len(found.values) == 12
