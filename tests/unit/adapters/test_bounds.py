"""The limits for answers of Airflow, such as the maximum size."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mljob_operator.adapters.airflow import bodies
from mljob_operator.errors import AirflowUnavailable, AirflowUnreadable
from tests.scripted_airflow import (
    DAG,
    DRIPS,
    POURS,
    RUN,
    Says,
    ScriptedAirflow,
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
