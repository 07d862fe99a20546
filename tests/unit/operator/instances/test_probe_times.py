"""How soon the operator notices that an Airflow answers again."""

from __future__ import annotations

import asyncio

import pytest

from mljob_operator.controllers.airflow_instance.probe_times import seconds_to_next_probe, until_next_probe


@pytest.mark.parametrize(
    ("problem", "expected"),
    [
        (None, [15, 15, 15, 15, 15]),
        ("AirflowUnavailable", [1, 2, 4, 5, 5]),
        ("AirflowUnauthorized", [1, 2, 4, 8, 15]),
    ],
)
def test_airflow_that_gives_no_answer_is_probed_more_often(problem: str | None, expected: list[int]) -> None:
    assert [seconds_to_next_probe(problem, failures) for failures in range(1, 6)] == expected
    assert seconds_to_next_probe(problem, 10**6) == expected[-1]


async def test_requested_probe_does_not_wait_for_the_interval() -> None:
    loop, requested = asyncio.get_running_loop(), asyncio.Event()
    began = loop.time()
    loop.call_later(0.01, requested.set)
    async with asyncio.timeout(180):
        await until_next_probe(3600, requested)
    assert loop.time() - began >= 1, "many requests for a probe lead to one probe a second"


async def test_probe_follows_after_the_interval_without_a_request() -> None:
    async with asyncio.timeout(180):
        await until_next_probe(0.01, asyncio.Event())
