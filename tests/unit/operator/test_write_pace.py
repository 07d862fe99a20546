"""How fast the API server answers decides how many concurrent writes the operator sends."""

from __future__ import annotations

import math

import pytest

from mljob_operator.controllers.mljob.write_pace import FASTEST_COUNTS, LATELY, LEAST, MANY, MOST, WritePace


def limit_after(pace: WritePace, seconds: float, *, answers: int = 3000, now: float = 0.0) -> int:
    for _ in range(answers):
        pace.answered(seconds, now)
    return pace.limit


def test_api_server_that_answers_at_once_gets_more_and_more_up_to_a_bound() -> None:
    assert limit_after(WritePace(), 0.01) == MOST


def test_api_server_whose_answers_take_longer_gets_fewer() -> None:
    pace = WritePace()
    pace.answered(0.01, 0.0)
    assert limit_after(pace, 0.1) <= MANY / 0.9 + 1
    assert limit_after(pace, 100.0) == LEAST


@pytest.mark.parametrize("rate", [100.0, 400.0, 4000.0])
def test_few_writes_wait_in_the_api_server(rate: float) -> None:
    pace, now = WritePace(), 0.0
    for _ in range(20_000):
        # The API server stores ``rate`` writes a second, and needs at least 10 ms for a write.
        seconds = max(0.01, pace.limit / rate)
        now += seconds / pace.limit
        pace.answered(seconds, now)
        assert pace.limit <= max(LEAST, 0.01 * rate) + MANY + LEAST
    while now % FASTEST_COUNTS < FASTEST_COUNTS / 2:
        now += 0.1
        pace.answered(max(0.01, pace.limit / rate), now)
    assert pace.limit >= min(MOST, 0.01 * rate)


def test_fastest_answer_counts_for_a_time() -> None:
    pace = WritePace()
    pace.answered(0.001, 0.0)
    low = limit_after(pace, 0.1)
    assert limit_after(pace, 0.1, now=FASTEST_COUNTS) > low


def test_refusal_halves_the_limit() -> None:
    pace = WritePace()
    limit = limit_after(pace, 0.01)
    pace.refused()
    assert pace.limit == limit // 2
    for _ in range(20):
        pace.refused()
    assert pace.limit == LEAST


def test_load_is_the_average_number_of_writes_under_way() -> None:
    pace = WritePace()
    assert pace.load(0.0) == 0.0
    for number in range(1, 401):
        pace.answered(0.1, number * 0.05)
    assert pace.load(20.0) == pytest.approx(2.0, rel=0.05)
    assert pace.load(20.0 + LATELY) == pytest.approx(2.0 / math.e, rel=0.05)
    assert pace.load(3600.0) == pytest.approx(0.0)
