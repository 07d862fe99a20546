"""How old the changes may be that a pass over the change feed requests."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mljob_contract.mljob import Phase
from mljob_operator.core.run.states import TaskState
from mljob_operator.ports import RunChange
from mljob_operator.sources.feed_windows import (
    LONGEST_OVERLAP,
    OVERLAP,
    REPEATED_ROWS,
    FeedWindows,
    Window,
)

from .conftest import World
from .runs import begin, newest

INTERVAL = 5.0
NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
OFFSET = timedelta(seconds=-30)
"""Airflow's clock minus the operator's clock."""


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def windows(rows: int | None = REPEATED_ROWS * 100) -> FeedWindows:
    """Return the windows after a first wide pass that has requested the changes of 10 minutes."""
    made = FeedWindows(INTERVAL)
    made.passed(Window(NOW + OFFSET - timedelta(minutes=10), is_wide=True, started=NOW), OFFSET, rows)
    return made


def passed(feed: FeedWindows, seconds: float, rows: int) -> Window:
    window = feed.next(after(seconds))
    assert window is not None
    feed.passed(window, OFFSET, rows)
    return window


def test_first_pass_has_no_window() -> None:
    assert FeedWindows(INTERVAL).next(NOW) is None


def test_passes_between_two_wide_passes_look_back_as_far_as_usual() -> None:
    feed = windows(0)
    assert passed(feed, 1, 0) == Window(NOW + OFFSET - OVERLAP, is_wide=False, started=after(1))
    assert passed(feed, 4.9, 0) == Window(after(1) + OFFSET - OVERLAP, is_wide=False, started=after(4.9))
    assert passed(feed, 5, 0) == Window(NOW + OFFSET - LONGEST_OVERLAP, is_wide=True, started=after(5))


def test_wide_pass_looks_back_at_least_as_far_as_usual() -> None:
    feed = windows()
    passed(feed, 1, 0)
    assert passed(feed, 60, 0) == Window(NOW + OFFSET - OVERLAP, is_wide=True, started=after(60))


def test_wide_pass_follows_if_the_clock_was_set_back() -> None:
    window = windows().next(after(-3600))
    assert window is not None
    assert window.is_wide


@pytest.mark.parametrize(
    ("rows", "overlap"),
    [
        (None, OVERLAP),
        (0, LONGEST_OVERLAP),
        (REPEATED_ROWS, LONGEST_OVERLAP),
        (REPEATED_ROWS * 20, timedelta(seconds=30)),
        (REPEATED_ROWS * 100, OVERLAP),
    ],
)
def test_overlap_is_as_long_as_a_few_pages_of_rows_allow(rows: int | None, overlap: timedelta) -> None:
    assert windows(rows).next(after(5)) == Window(NOW + OFFSET - overlap, is_wide=True, started=after(5))


def test_usual_pass_does_not_change_the_overlap_of_wide_passes() -> None:
    feed = windows(0)
    passed(feed, 1, REPEATED_ROWS * 100)
    assert passed(feed, 5, 0) == Window(NOW + OFFSET - LONGEST_OVERLAP, is_wide=True, started=after(5))


@pytest.mark.parametrize("waits", [1, 4])
async def test_tasks_are_known_from_the_pass_that_lists_them_first(waits: int, world: World) -> None:
    await world.look()
    await world.apply()
    run = newest(world)
    tasks = dict(run.tasks)
    run.tasks.clear()
    for _ in range(waits):
        world.clock.tick(1)
        await world.look()
    assert world.status.progress is None
    run.tasks.update({key: replace(fact, occurred_at=world.clock()) for key, fact in tasks.items()})
    await begin(world)
    assert world.status.progress == "0/2"


async def test_rows_of_other_runs_bound_the_overlap(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.apply()
    await begin(world)
    since: list[datetime] = []
    real = world.airflow.changed_runs

    async def changed_runs(at: datetime) -> list[RunChange]:
        since.append(at)
        world.airflow.rows_read += REPEATED_ROWS * 100
        return await real(at)

    monkeypatch.setattr(world.airflow, "changed_runs", changed_runs)
    for _ in range(3):
        world.clock.tick(INTERVAL)
        await world.look()
    assert since[-1] == world.clock() - timedelta(seconds=INTERVAL) - OVERLAP


async def test_change_of_a_transaction_that_takes_half_a_minute_is_found(world: World) -> None:
    await world.apply()
    await begin(world)
    run = newest(world)
    task_id, map_index = next(iter(run.tasks))
    transaction_began = world.clock()
    for _ in range(6):
        world.clock.tick(5)
        await world.look()
    # The change becomes visible at the end of its transaction, with the time of its beginning.
    world.airflow.set_task(run, task_id, TaskState.SKIPPED, map_index=map_index)
    change = run.tasks[task_id, map_index]
    run.tasks[task_id, map_index] = replace(change, occurred_at=transaction_began)
    world.clock.tick(5)
    await world.look()
    states = {entry.task_id: entry.state for entry in world.status.tasks or ()}
    assert (world.status.phase, states[task_id]) == (Phase.RUNNING, TaskState.SKIPPED)
