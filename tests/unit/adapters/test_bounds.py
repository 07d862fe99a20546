"""The limits for answers of Airflow, such as the maximum size."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from mljob_contract.mljob import OutputSource
from mljob_operator.adapters.airflow import bodies, outputs, session
from mljob_operator.adapters.airflow.client import Airflow
from mljob_operator.adapters.airflow.response_headers import MAX_RETRY_AFTER, retry_after
from mljob_operator.core.run.outputs import Outputs, bounded
from mljob_operator.errors import AirflowUnauthorized, AirflowUnavailable, AirflowUnreadable
from tests.scripted_airflow import (
    AT,
    BACKFILL_DAG,
    DAG,
    DRIPS,
    POURS,
    RUN,
    Says,
    ScriptedAirflow,
    Told,
    backfill_row,
    page,
    run_row,
    said,
    task_row,
)

from .conftest import Connect

DAY = datetime(2026, 1, 1, tzinfo=UTC)

# Redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("request_name", ["version", "login", "get run", "trigger", "list dags", "get xcom"])
async def test_redirect_is_not_followed(
    status: int, request_name: str, server: ScriptedAirflow, connect: Connect
) -> None:
    elsewhere = ScriptedAirflow()
    airflow = connect(server)
    server.told[request_name] = Says(status, "", "", {"Location": f"{elsewhere.url}/api/v2/version"})
    ask = {
        "trigger": lambda: airflow.submit(DAG, RUN, {"key": "value"}, ""),
        "list dags": airflow.paused_dags,
        "get xcom": lambda: airflow.outputs(DAG, RUN, []),
    }.get(request_name, lambda: airflow.get(DAG, RUN))
    with pytest.raises(AirflowUnavailable, match=rf"answered {status}, a redirect to 127\.0\.0\.1"):
        await ask()
    assert elsewhere.asked == []
    elsewhere.close()


@pytest.mark.parametrize(
    ("location", "where"), [("", "the same host"), ("/login", "the same host"), ("http://[::", "no host")]
)
async def test_redirect_without_a_valid_target_is_an_error(
    location: str, where: str, server: ScriptedAirflow, connect: Connect
) -> None:
    server.told["get run"] = Says(302, "", "", {"Location": location})
    with pytest.raises(AirflowUnavailable, match=f"a redirect to {where}"):
        await connect(server).get(DAG, RUN)


# Bytes


async def test_endless_answer_is_read_up_to_the_limit(server: ScriptedAirflow, connect: Connect) -> None:
    server.told["get run"] = POURS
    with pytest.raises(AirflowUnreadable, match="answered with more than 4194304 bytes"):
        await connect(server).get(DAG, RUN)


@pytest.mark.parametrize("filling", ["[],", "{},", "1,", '{"a":1},', '"",'])
async def test_answer_with_too_many_values_is_refused(filling: str, server: ScriptedAirflow, connect: Connect) -> None:
    many = filling * (4_000_000 // len(filling))
    server.told["get run"] = Says(200, f'{{"conf": [{many}1]}}')
    with pytest.raises(AirflowUnreadable, match="answered with more than 419430 values"):
        await connect(server).get(DAG, RUN)


async def test_page_with_too_many_values_is_requested_in_parts(server: ScriptedAirflow, connect: Connect) -> None:
    conf = {"key": [1] * 120_000}

    every = [run_row(run_id=f"mljob.a.b.aaaaaaaaaa-{number}", conf=conf) for number in range(1, 21)]

    def cut(query: Mapping[str, list[str]]) -> Told:
        first, limit = int(query["offset"][0]), int(query["limit"][0])
        return said(200, dag_runs=every[first : first + limit], total_entries=len(every))

    server.told["list changed runs"] = cut
    assert len(await connect(server).changed_runs(DAY)) == 20


async def test_answer_that_arrives_too_slowly_is_given_up(
    server: ScriptedAirflow, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "MAX_BODY_SECONDS", 0.1)
    server.told["get run"] = DRIPS
    with pytest.raises(AirflowUnavailable, match="had not sent its whole answer") as caught:
        await connect(server).get(DAG, RUN)
    assert caught.value.outcome_unknown


async def test_large_error_page_is_reported_by_its_status(server: ScriptedAirflow, connect: Connect) -> None:
    server.told["get run"] = Says(500, "<html>" + "x" * 1_000_000, "text/html")
    with pytest.raises(AirflowUnavailable, match="answered 500") as caught:
        await connect(server).get(DAG, RUN)
    assert len(str(caught.value)) < 500


# Outputs


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


async def test_deeply_nested_output_is_omitted_from_the_status(server: ScriptedAirflow, connect: Connect) -> None:
    server.told["get xcom"] = said(200, value='{"deep": ' + "[" * 500 + "]" * 500 + ', "a": 1}')
    found = await connect(server).outputs(DAG, RUN, [])
    assert bounded(found.values, found.omitted) == Outputs({"a": 1}, ("deep",))


# Pages


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
    monkeypatch.setattr(session, "MAX_PAGES", 20)
    server.told["list changed runs"] = said(200, **answer)
    with pytest.raises(AirflowUnreadable, match=says):
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
    monkeypatch.setattr(session, "MAX_PAGE_BYTES", 10_000)
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
    monkeypatch.setattr(session, "MAX_PAGE_BYTES", 10_000)
    every = [run_row(run_id=f"mljob.a.b.aaaaaaaaaa-{number}", conf={"x": "x" * 3000}) for number in range(12)]

    def cut(query: Mapping[str, list[str]]) -> Told:
        first, limit = int(query["offset"][0]), int(query["limit"][0])
        return said(200, dag_runs=every[first : first + limit], total_entries=len(every))

    server.told["list changed runs"] = cut
    assert len(await connect(server).changed_runs(DAY)) == 12


# Fields

ODD_RUNS: dict[str, list[Any]] = {
    "state": [5, {}, "x" * 2000, "\ud800"],
    "queued_at": ["yesterday", "2026-01-02T03:04:05", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00", 5],
    "start_date": [[], True],
    "end_date": ["3000-01-01T00:00:00Z", "1899-12-31T23:59:59Z"],
    "dag_run_id": ["another-run", None, 5],
    "dag_id": ["another-dag"],
}
ODD_TASKS: dict[str, list[Any]] = {
    "task_id": [None, 5, "x" * 2000],
    "map_index": [None, "0", 2**31, True],
    "try_number": [2**70, 1.5, None],
    "max_tries": [2**31],
    "state": [["running"]],
    "end_date": ["+277000-01-01T00:00:00Z"],
    "dag_run_id": ["another-run"],
}


def odd(fields: Mapping[str, list[Any]]) -> list[tuple[str, Any]]:
    return [(name, value) for name, values in fields.items() for value in values]


@pytest.mark.parametrize(("name", "value"), odd(ODD_RUNS), ids=lambda value: ascii(value)[:30])
async def test_run_with_an_invalid_field_is_an_error_and_omitted_from_the_feed(
    name: str, value: Any, server: ScriptedAirflow, connect: Connect
) -> None:
    airflow = connect(server)
    row = run_row(**{name: value})
    server.told["get run"] = server.told["trigger"] = said(200, **row)
    with pytest.raises(
        AirflowUnreadable, match=name if value not in ("another-run", "another-dag") else "was asked for"
    ):
        await airflow.get(DAG, RUN)
    with pytest.raises(AirflowUnreadable) as caught:
        await airflow.submit(DAG, RUN, {}, "")
    assert caught.value.outcome_unknown
    good = run_row(run_id="mljob.a.b.aaaaaaaaaa-2")
    server.told["list changed runs"] = page("dag_runs", row, good)
    changes = {(change.dag_id, change.run_id) for change in await airflow.changed_runs(DAY)}
    assert (DAG, "mljob.a.b.aaaaaaaaaa-2") in changes
    assert (DAG, RUN) not in changes


@pytest.mark.parametrize(("name", "value"), odd(ODD_TASKS), ids=lambda value: ascii(value)[:30])
async def test_task_with_an_invalid_field_is_an_error_and_omitted_from_the_feed(
    name: str, value: Any, server: ScriptedAirflow, connect: Connect
) -> None:
    airflow = connect(server)
    row = task_row(**{name: value})
    server.told["list tasks of a run"] = page("task_instances", row)
    with pytest.raises(AirflowUnreadable):
        await airflow.tasks(DAG, RUN)
    server.told["list changed tasks"] = page("task_instances", row, task_row(task_id="good"))
    assert "good" in {change.fact.task_id for change in await airflow.changed_tasks(DAY)}
    await airflow.cancel(DAG, RUN)
    assert "patch run" in server.asked, "a run whose tasks can't be read is cancelled all the same"


async def test_fields_and_states_of_a_later_airflow_are_accepted(server: ScriptedAirflow, connect: Connect) -> None:
    server.told["get run"] = said(200, **run_row(state="contemplating", from_the_future={}))
    assert await connect(server).get(DAG, RUN) is not None


@pytest.mark.parametrize(
    "conf", [5, [], "text", json.loads("[" * 100 + "]" * 100), {"a": json.loads("[" * 90 + "]" * 90)}]
)
async def test_conf_that_is_not_a_json_object_of_bounded_depth_is_an_error(
    conf: Any, server: ScriptedAirflow, connect: Connect
) -> None:
    server.told["get run"] = said(200, **run_row(conf=conf))
    with pytest.raises(AirflowUnreadable, match="conf"):
        await connect(server).conf(DAG, RUN)


@pytest.mark.parametrize("conf", [5, [], "text", {"mljob": 5}, {"a": json.loads("[" * 90 + "]" * 90)}, None])
async def test_backfills_with_an_unknown_conf_are_skipped(conf: Any, server: ScriptedAirflow, connect: Connect) -> None:
    server.told["list backfills"] = page("backfills", backfill_row(dag_run_conf=conf), backfill_row(id=6))
    found = await connect(server).backfills.find(BACKFILL_DAG, RUN)
    assert found is not None
    assert found.id == 6


@pytest.mark.parametrize("version", [5, None, {}, "x" * 2000, ["3.3.2"]])
async def test_invalid_version_is_an_error(version: Any, server: ScriptedAirflow, connect: Connect) -> None:
    server.told["version"] = said(200, version=version)
    with pytest.raises(AirflowUnreadable, match="version"):
        await connect(server).probe()


@pytest.mark.parametrize("token", [5, None, {}, "", "a-secret\nof two lines", "x" * 20_000, "ümlaut-secret"])
async def test_invalid_token_of_a_login_is_an_error_that_does_not_quote_it(
    token: Any, server: ScriptedAirflow, connect: Connect
) -> None:
    server.told["login"] = said(201, access_token=token)
    with pytest.raises(AirflowUnreadable) as caught:
        await connect(server).get(DAG, RUN)
    assert "secret" not in str(caught.value)
    assert server.asked == ["login"]


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", ""])
async def test_error_of_a_truncated_login_does_not_quote_the_token(
    content_type: str, server: ScriptedAirflow, connect: Connect
) -> None:
    server.told["login"] = Says(201, '{"access_token": "a-secret', content_type)
    with pytest.raises(AirflowUnavailable) as caught:
        await connect(server).get(DAG, RUN)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("token", ["", "   ", "a-secret\nof two lines", "a-secret\x00"])
async def test_invalid_configured_token_is_reported_as_wrong_credentials(
    token: str, server: ScriptedAirflow, connect: Connect
) -> None:
    with pytest.raises(AirflowUnauthorized, match="Check the Secret") as caught:
        await connect(server, token=token).get(DAG, RUN)
    assert "secret\n" not in str(caught.value)


async def test_newline_at_the_end_of_a_token_is_removed(server: ScriptedAirflow, connect: Connect) -> None:
    assert await connect(server, token="a-token\n").get(DAG, RUN) is not None


# Headers


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7),
        (" 7 ", 7),
        ("0", 0),
        ("Thu, 01 Jan 2026 00:00:09 GMT", 9),
        ("Wed, 31 Dec 2025 00:00:00 GMT", 0),
        ("Thu, 01 Jan 2099 00:00:00 GMT", MAX_RETRY_AFTER),
        ("86400", MAX_RETRY_AFTER),
        ("9" * 400, 0),
        ("-5", 0),
        ("1.5", 0),
        ("soon", 0),
        ("", 0),
        ("Thu, 99 Jan 2026 00:00:00 GMT", 0),
        ("Thu, 01 Jan 99999 00:00:00 GMT", 0),
        ("Fri, 31 Dec 9999 23:59:59 -2359", 0),
    ],
)
def test_retry_after_is_bounded_and_ignored_if_invalid(header: str, seconds: float) -> None:
    assert retry_after(header, DAY) == seconds


async def test_clock_offset_comes_from_valid_dates_of_airflow_only(server: ScriptedAirflow, connect: Connect) -> None:
    airflow = connect(server)
    ahead = datetime.now(UTC) + timedelta(minutes=10)

    def dated(answer: Says, date: str) -> Says:
        return Says(answer.status, answer.body, answer.content_type, {"Date": date})

    server.told["list dags"] = dated(page("dags"), format_datetime(ahead, usegmt=True))
    await airflow.paused_dags()
    offset = airflow.clock_offset
    assert timedelta(minutes=9) < offset <= timedelta(minutes=10)
    for date in (
        "now",
        "Thu, 99 Jan 2026 00:00:00 GMT",
        "Thu, 01 Jan 2099 00:00:00 GMT",
        "Mon, 01 Jan 0001 00:00:00 +1200",
    ):
        server.told["list dags"] = dated(page("dags"), date)
        await airflow.paused_dags()
        assert airflow.clock_offset == offset, date
    server.told["list dags"] = dated(Says(502, "", "text/plain"), format_datetime(DAY, usegmt=True))
    with pytest.raises(AirflowUnavailable):
        await airflow.paused_dags()
    assert airflow.clock_offset == offset
