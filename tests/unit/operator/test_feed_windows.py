"""How old the changes may be that a pass over the change feed requests."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mljob_contract.mljob import Phase
from mljob_operator.core.run.states import TaskState
from mljob_operator.sources.feed_windows import (
    LONGEST_OVERLAP,
    OVERLAP,
    QUICK_OVERLAP,
    REPEATED_CHANGES,
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


def windows(changes: int | None = REPEATED_CHANGES * 100) -> FeedWindows:
    """Return the windows after a first full pass that has requested the changes of 10 minutes."""
    made = FeedWindows(INTERVAL)
    made.passed(Window(NOW + OFFSET - timedelta(minutes=10), is_full=True, started=NOW), OFFSET, changes)
    return made


def test_first_pass_has_no_window() -> None:
    assert FeedWindows(INTERVAL).next(NOW) is None


def test_passes_between_two_full_passes_are_quick() -> None:
    feed = windows()
    for second in (1, 2, 4.9):
        window = feed.next(after(second))
        assert window is not None
        assert not window.is_full
        feed.passed(window, OFFSET, 0)
    assert feed.next(after(4.95)) == Window(after(4.9) + OFFSET - QUICK_OVERLAP, is_full=False, started=after(4.95))
    assert feed.next(after(5)) == Window(NOW + OFFSET - OVERLAP, is_full=True, started=after(5))


def test_full_pass_follows_if_the_clock_was_set_back() -> None:
    window = windows().next(after(-3600))
    assert window is not None
    assert window.is_full


@pytest.mark.parametrize(
    ("changes", "overlap"),
    [
        (None, OVERLAP),
        (0, LONGEST_OVERLAP),
        (REPEATED_CHANGES, LONGEST_OVERLAP),
        (REPEATED_CHANGES * 20, timedelta(seconds=30)),
        (REPEATED_CHANGES * 100, OVERLAP),
    ],
)
def test_overlap_is_as_long_as_a_few_pages_of_changes_allow(changes: int | None, overlap: timedelta) -> None:
    assert windows(changes).next(after(5)) == Window(NOW + OFFSET - overlap, is_full=True, started=after(5))


def test_quick_pass_does_not_change_the_overlap() -> None:
    feed = windows(0)
    quick = feed.next(after(1))
    assert quick is not None
    feed.passed(quick, OFFSET, REPEATED_CHANGES * 100)
    assert feed.next(after(5)) == Window(NOW + OFFSET - LONGEST_OVERLAP, is_full=True, started=after(5))


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
