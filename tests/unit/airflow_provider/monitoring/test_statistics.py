"""The monitoring compares a task's newest durations with a baseline."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mljob_airflow.monitoring.findings.statistics import RECENT, Baseline, exceeded_baseline, quantile

RUNS = 4000
Noise = Callable[[random.Random], float]


def exceeds(values: list[float], min_history: int = 20) -> bool:
    return exceeded_baseline(values, min_history=min_history) is not None


def lognormal(sigma: float) -> Noise:
    return lambda rng: 60 * math.exp(sigma * rng.gauss(0, 1))


def student(sigma: float) -> Noise:
    """Return a function that draws a random duration. The logarithms of the durations follow
    Student's t distribution with three degrees of freedom, scaled by ``sigma``.
    """
    return lambda rng: (
        60 * math.exp(sigma * rng.gauss(0, 1) / math.sqrt(sum(rng.gauss(0, 1) ** 2 for _ in range(3)) / 3))
    )


def two_ways(share: float) -> Noise:
    """Return a function that draws the random duration of a short run, or of a long run, which
    takes about thirty times as long. ``share`` is the probability of a long run.
    """
    return lambda rng: (600 if rng.random() < share else 20) * math.exp(0.1 * rng.gauss(0, 1))


def rate(noise: Noise, history: int) -> float:
    rng = random.Random(f"{history}")
    return sum(exceeds([noise(rng) for _ in range(history + RECENT)]) for _ in range(RUNS)) / RUNS


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
def test_stable_noise_hardly_ever_exceeds_its_baseline(noise: Noise, at_most: float, history: int) -> None:
    assert rate(noise, history) <= at_most


@pytest.mark.parametrize("history", [20, 97])
@pytest.mark.parametrize(("sigma", "factor"), [(0.1, 2), (0.2, 3), (0.3, 6)])
def test_a_clear_shift_is_noticed_after_three_runs(sigma: float, factor: float, history: int) -> None:
    rng, noise = random.Random(1), lognormal(sigma)
    seen = sum(
        exceeds([factor * noise(rng) for _ in range(RECENT)] + [noise(rng) for _ in range(history)]) for _ in range(500)
    )
    assert seen / 500 >= 0.9


pasts = st.lists(st.floats(30, 90), min_size=20, max_size=97)


@given(pasts, st.floats(0.01, 10_000))
def test_the_unit_of_the_values_does_not_matter(past: list[float], factor: float) -> None:
    # The durations are longer than a second, because shorter durations count as one second.
    values = [value * 200 for value in [200.0, 200.0, 200.0, *past]]
    assert exceeds(values) == exceeds([value * max(factor, 0.01) for value in values])


@given(pasts)
def test_a_duration_that_every_tenth_run_reaches_is_no_shift(past: list[float]) -> None:
    usual = sorted(past)[-len(past) // 10 - 1]
    assert not exceeds([usual, usual, usual, *past])


@given(pasts)
def test_a_single_run_far_above_the_longest_is_a_hang(past: list[float]) -> None:
    assert exceeds([max(past) * 1e5, past[0], past[1], *past])


@given(pasts)
def test_outliers_are_no_shift_if_the_newest_run_is_as_usual(past: list[float]) -> None:
    assert not exceeds([min(past), max(past) * 1000, max(past) * 1000, *past])


@given(pasts, st.randoms())
def test_the_order_of_earlier_runs_does_not_matter(past: list[float], rng: random.Random) -> None:
    shuffled = list(past)
    rng.shuffle(shuffled)
    assert exceeds([150.0, 150.0, 150.0, *past]) == exceeds([150.0, 150.0, 150.0, *shuffled])


@given(st.lists(st.floats(1, 100), max_size=19))
def test_too_few_earlier_runs_have_no_baseline(past: list[float]) -> None:
    assert not exceeds([10_000.0, 10_000.0, 10_000.0, *past])


def test_faster_runs_do_not_exceed_the_baseline() -> None:
    assert not exceeds([1.0, 1.0, 1.0] + [600.0] * 50)


def test_outliers_in_the_history_do_not_hide_a_hang() -> None:
    baseline = Baseline.of([60.0] * 60 + [3600.0] * 2)
    assert baseline.median == pytest.approx(60)
    assert baseline.limit < 120


def test_a_shift_that_stays_becomes_the_baseline() -> None:
    runs = [180.0] * 60 + [60.0] * 37
    assert not exceeds(runs)


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0, 1))
def test_a_quantile_is_between_the_extremes(values: list[float], share: float) -> None:
    ordered = sorted(values)
    assert ordered[0] <= quantile(ordered, share) <= ordered[-1] * (1 + 1e-9)
