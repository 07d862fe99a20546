"""Answers of Airflow with invalid fields, tokens and headers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from mljob_operator.adapters.airflow.response_headers import MAX_RETRY_AFTER, retry_after
from mljob_operator.errors import AirflowUnauthorized, AirflowUnavailable, AirflowUnreadable
from tests.scripted_airflow import (
    BACKFILL_DAG,
    DAG,
    RUN,
    Says,
    ScriptedAirflow,
    backfill_row,
    page,
    run_row,
    said,
    task_row,
)

from .conftest import Connect

DAY = datetime(2026, 1, 1, tzinfo=UTC)

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
        await connect(server).inputs(DAG, RUN)


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
