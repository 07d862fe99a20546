"""Lists of Airflow are read page by page, and have limits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from mljob_contract.mljob import OutputSource
from mljob_operator.adapters.airflow import lists
from mljob_operator.adapters.airflow.client import Airflow
from mljob_operator.errors import AirflowListTooLong, AirflowUnreadable
from tests.scripted_airflow import (
    AT,
    BACKFILL_DAG,
    DAG,
    RUN,
    Says,
    ScriptedAirflow,
    Told,
    backfill_row,
    run_row,
    said,
    task_row,
)

from .conftest import Connect

DAY = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("limit", [7, 100])
@pytest.mark.parametrize("total", [0, 7, 150, 200])
@pytest.mark.parametrize("field", ["dags", "hitl_details", "backfills", "xcom_entries"])
async def test_pages_are_read_to_the_end_even_if_each_is_short(
    field: str, total: int, limit: int, server: ScriptedAirflow, connect: Connect
) -> None:
    # Airflow's ``[api] maximum_page_limit`` may be lower than the limit in the request.
    rows = {
        "dags": lambda number: {"dag_id": f"dag-{number}"},
        "hitl_details": lambda number: {"task_instance": task_row(map_index=number), "subject": "?"},
        "backfills": lambda number: backfill_row(
            id=number, dag_run_conf=None if number else backfill_row()["dag_run_conf"]
        ),
        "xcom_entries": lambda number: {"task_id": "fit", "map_index": number, "timestamp": AT},
    }
    every = [rows[field](number) for number in reversed(range(total))]

    def cut(query: Mapping[str, list[str]]) -> Told:
        first = int(query["offset"][0])
        return said(200, **{field: every[first : first + min(limit, int(query["limit"][0]))], "total_entries": total})

    names = {
        "dags": "list dags",
        "hitl_details": "list questions",
        "backfills": "list backfills",
        "xcom_entries": "list xcoms",
    }
    server.told[names[field]] = cut
    airflow = connect(server)
    match field:
        case "dags":
            assert len(await airflow.paused_dags()) == total
        case "hitl_details":
            assert len(await airflow.questions(DAG, RUN)) == total
        case "backfills":
            assert (await airflow.backfills.find(BACKFILL_DAG, RUN) is not None) is (total > 0), "it is the last one"
        case _:
            source = OutputSource(name="all", task_id="fit", key="mljob_outputs")
            server.told["list xcoms"] = lambda query: cut(query)
            found = await airflow.outputs(DAG, RUN, [])
            assert server.asked.count("get xcom") == total
            assert source.name not in found.values


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ({"dag_runs": [run_row()], "next_cursor": "again"}, "lead back to themselves"),
        ({"dag_runs": [run_row()], "total_entries": 10**9}, "has not ended after 20 pages"),
        ({"dag_runs": [run_row()] * 101, "total_entries": 101}, "101 dag_runs where 100 were asked for"),
        ({"dag_runs": [run_row()]}, "total_entries is missing"),
        ({"dag_runs": [run_row()], "total_entries": "many"}, "total_entries is a string"),
        ({"dag_runs": [run_row()], "next_cursor": 5}, "next_cursor is a number"),
        ({"dag_runs": {"a": 1}, "total_entries": 1}, "dag_runs is a object"),
        ({"dag_runs": [5], "total_entries": 1}, "number where Airflow gives an object"),
    ],
)
async def test_endless_or_invalid_pages_are_refused(
    answer: dict[str, Any],
    says: str,
    server: ScriptedAirflow,
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lists, "MAX_PAGES", 20)
    server.told["list changed runs"] = said(200, **answer)
    with pytest.raises(AirflowUnreadable, match=says):
        await connect(server).changed_runs(DAY)


@pytest.mark.parametrize(
    ("limit", "value", "says"), [("MAX_PAGES", 20, "after 20 pages"), ("MAX_LIST_SECONDS", 0.0, "after 0 s")]
)
async def test_list_without_an_end_is_too_long(
    limit: str, value: float, says: str, server: ScriptedAirflow, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, limit, value)
    server.told["list changed runs"] = said(200, dag_runs=[run_row()], total_entries=10**9)
    with pytest.raises(AirflowListTooLong, match=says):
        await connect(server).changed_runs(DAY)


async def changed_runs(airflow: Airflow) -> set[str]:
    return {change.run_id for change in await airflow.changed_runs(DAY)}


async def changed_runs_of_backfills(airflow: Airflow) -> set[str]:
    return {change.member.run_id for change in await airflow.backfills.changed(DAY)}


@pytest.mark.parametrize("cursors", [False, True])
@pytest.mark.parametrize(
    ("request_name", "read"),
    [
        ("list changed runs", changed_runs),
        ("list changed runs of backfills", changed_runs_of_backfills),
    ],
)
async def test_run_that_is_too_large_to_read_does_not_hide_other_runs(
    request_name: str,
    read: Callable[[Airflow], Awaitable[set[str]]],
    cursors: bool,
    server: ScriptedAirflow,
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    # A user of Airflow can give a run a huge conf, and a run id that looks like the operator's.
    monkeypatch.setattr(lists, "MAX_PAGE_BYTES", 10_000)
    names = [f"mljob.a.b.aaaaaaaaaa-{number}" for number in range(1, 8)]
    confs = {names[0]: {"x": "x" * 20_000}, names[4]: {"x": "x" * 20_000}}
    marker = backfill_row()["dag_run_conf"]
    every = [run_row(run_id=name, conf=marker | confs.get(name, {})) for name in names]

    def cut(query: Mapping[str, list[str]]) -> Says:
        limit = int(query["limit"][0])
        by_cursor = cursors and "cursor" in query
        first = int(query["cursor"][0] or 0) if by_cursor else int(query["offset"][0])
        rows = every[first : first + limit]
        after = str(first + limit) if first + limit < len(every) else None
        more = {"next_cursor": after} if by_cursor else {"total_entries": len(every)}
        return said(200, dag_runs=rows, **more)

    server.told[request_name] = cut
    airflow = connect(server)
    for _ in range(2):
        assert await read(airflow) == set(names) - confs.keys()
    assert [record.message for record in caplog.records if "too large to be read" in record.message] == [
        f"a row is left out: dag_runs of {server.url}, row {row}: it is too large to be read" for row in (1, 5)
    ]


async def test_page_that_is_too_large_is_requested_in_parts(
    server: ScriptedAirflow, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Airflow 3.1 ignores the prefix of run ids, and also lists the runs of other users.
    monkeypatch.setattr(lists, "MAX_PAGE_BYTES", 10_000)
    every = [run_row(run_id=f"mljob.a.b.aaaaaaaaaa-{number}", conf={"x": "x" * 3000}) for number in range(12)]

    def cut(query: Mapping[str, list[str]]) -> Told:
        first, limit = int(query["offset"][0]), int(query["limit"][0])
        return said(200, dag_runs=every[first : first + limit], total_entries=len(every))

    server.told["list changed runs"] = cut
    assert len(await connect(server).changed_runs(DAY)) == 12


async def test_page_with_too_many_values_is_requested_in_parts(server: ScriptedAirflow, connect: Connect) -> None:
    conf = {"key": [1] * 120_000}

    every = [run_row(run_id=f"mljob.a.b.aaaaaaaaaa-{number}", conf=conf) for number in range(1, 21)]

    def cut(query: Mapping[str, list[str]]) -> Told:
        first, limit = int(query["offset"][0]), int(query["limit"][0])
        return said(200, dag_runs=every[first : first + limit], total_entries=len(every))

    server.told["list changed runs"] = cut
    assert len(await connect(server).changed_runs(DAY)) == 20
