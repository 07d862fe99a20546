"""When a task has left its own past: never on noise that is stable, always on a shift that is clear."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mljob_airflow.monitoring.findings.statistics import RECENT, Baseline, exceeded_baseline, quantile

LOOKS = 4000
Noise = Callable[[random.Random], float]


def left(values: list[float], min_history: int = 20) -> bool:
    return exceeded_baseline(values, min_history=min_history) is not None


def lognormal(sigma: float) -> Noise:
    return lambda rng: 60 * math.exp(sigma * rng.gauss(0, 1))


def student(sigma: float) -> Noise:
    """Three degrees of freedom: oddities that a normal distribution does not have."""
    return lambda rng: (
        60 * math.exp(sigma * rng.gauss(0, 1) / math.sqrt(sum(rng.gauss(0, 1) ** 2 for _ in range(3)) / 3))
    )


def two_ways(share: float) -> Noise:
    """Mostly nothing to do; sometimes thirty times as much."""
    return lambda rng: (600 if rng.random() < share else 20) * math.exp(0.1 * rng.gauss(0, 1))


def rate(noise: Noise, history: int) -> float:
    rng = random.Random(f"{history}")
    return sum(left([noise(rng) for _ in range(history + RECENT)]) for _ in range(LOOKS)) / LOOKS


@pytest.mark.parametrize("history", [20, 97])
@pytest.mark.parametrize(
    ("noise", "at_most"),
    [
        (lambda rng: 60 + rng.random(), 0.0),
        (lognormal(0.2), 0.001),
        (lognormal(1.0), 0.003),
        (lambda rng: 300 * rng.expovariate(1), 0.001),
        (two_ways(0.3), 0.004),
        (student(0.3), 0.012),
    ],
    ids=["constant", "lognormal", "very-skewed", "exponential", "two-ways", "heavy-tails"],
)
def test_stable_noise_is_hardly_ever_taken_for_a_shift(noise, at_most, history):
    """The rate for each look at a new run, as docs/monitoring.md states it."""
    assert rate(noise, history) <= at_most


@pytest.mark.parametrize("history", [20, 97])
@pytest.mark.parametrize(("sigma", "factor"), [(0.1, 2), (0.2, 3), (0.3, 6)])
def test_a_clear_shift_is_seen_when_three_runs_had_it(sigma, factor, history):
    rng, noise = random.Random(1), lognormal(sigma)
    seen = sum(
        left([factor * noise(rng) for _ in range(RECENT)] + [noise(rng) for _ in range(history)]) for _ in range(500)
    )
    assert seen / 500 >= 0.9


pasts = st.lists(st.floats(30, 90), min_size=20, max_size=97)


@given(pasts, st.floats(0.01, 10_000))
def test_the_unit_does_not_matter(past, factor):
    """Hours instead of seconds change nothing, as long as all is above Airflow's own jitter."""
    values = [value * 200 for value in [200.0, 200.0, 200.0, *past]]
    assert left(values) == left([value * max(factor, 0.01) for value in values])


@given(pasts)
def test_what_every_tenth_run_does_is_no_shift(past):
    usual = sorted(past)[-len(past) // 10 - 1]
    assert not left([usual, usual, usual, *past])


@given(pasts)
def test_a_run_far_beyond_the_longest_is_enough_by_itself(past):
    assert left([max(past) * 1e5, past[0], past[1], *past])


@given(pasts)
def test_one_odd_run_among_the_last_is_no_shift_when_the_newest_is_as_usual(past):
    assert not left([min(past), max(past) * 1000, max(past) * 1000, *past])


@given(pasts, st.randoms())
def test_the_order_of_the_past_does_not_matter(past, rng):
    shuffled = list(past)
    rng.shuffle(shuffled)
    assert left([150.0, 150.0, 150.0, *past]) == left([150.0, 150.0, 150.0, *shuffled])


@given(st.lists(st.floats(1, 100), max_size=19))
def test_with_too_little_past_there_is_nothing_to_leave(past):
    assert not left([10_000.0, 10_000.0, 10_000.0, *past])


def test_faster_is_no_trouble():
    assert not left([1.0, 1.0, 1.0] + [600.0] * 50)


def test_half_of_the_past_may_be_odd_without_hiding_a_hang():
    baseline = Baseline.of([60.0] * 60 + [3600.0] * 2)
    assert baseline.median == pytest.approx(60)
    assert baseline.limit < 120


def test_a_shift_that_stays_becomes_the_past():
    runs = [180.0] * 60 + [60.0] * 37
    assert not left(runs)


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0, 1))
def test_a_quantile_is_between_the_extremes(values, share):
    ordered = sorted(values)
    assert ordered[0] <= quantile(ordered, share) <= ordered[-1] * (1 + 1e-9)
