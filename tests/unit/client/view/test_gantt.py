from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mljob.view.pages.gantt import Gantt, gantt
from mljob_contract.history import TaskChange
from mljob_contract.mljob import StatusSource, TaskStatus

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
NOW = BEGIN + timedelta(seconds=100)


def at(seconds: float) -> datetime:
    return BEGIN + timedelta(seconds=seconds)


def task(name: str, state: str, start: float | None = None, end: float | None = None, **fields: Any) -> TaskStatus:
    return TaskStatus(
        task_id=name,
        state=state,
        try_number=fields.pop("try_number", 1),
        start_time=None if start is None else at(start),
        end_time=None if end is None else at(end),
        **fields,
    )


def change(name: str, state: str, seconds: float, try_number: int = 1, **times: float) -> TaskChange:
    found = {f"{which}_time": at(value) for which, value in times.items()}
    return TaskChange(
        time=at(seconds), source=StatusSource.KAFKA, task_id=name, try_number=try_number, state=state, **found
    )


def bars(found: Gantt, row: int = 0) -> list[tuple[float, float, str]]:
    return [(bar.left, bar.width, bar.tone) for bar in found.rows[row].bars]


def test_status_alone_gives_a_bar_for_each_task_that_has_started() -> None:
    found = gantt([task("a", "success", 0, 50), task("b", "running", 50), task("c", "none", try_number=0)], [], NOW)

    assert bars(found, 0) == [(0, 50, "good")]
    assert bars(found, 1) == [(50, 50, "busy")]
    assert bars(found, 2) == []
    assert found.ticks == ((0, "0s"), (30, "30s"), (60, "1m"), (90, "1m30s"))


@pytest.mark.parametrize(
    ("seconds", "ticks"),
    [
        (0, ["0s", "1s"]),
        (1, ["0s", "1s"]),
        (18, ["0s", "5s", "10s", "15s"]),
        (262, ["0s", "1m", "2m", "3m", "4m"]),
        (7 * 3600, ["0s", "2h", "4h", "6h"]),
        (40 * 86400, ["0s", "8d", "16d", "24d", "32d", "40d"]),
    ],
)
def test_ticks_are_round_durations(seconds: float, ticks: list[str]) -> None:
    found = gantt([task("a", "success", 0, seconds)], [], NOW)

    assert [text for _, text in found.ticks] == ticks


def test_history_adds_waits_and_earlier_tries() -> None:
    history = [
        change("a", "queued", 0),
        change("a", "running", 10, start=10),
        change("a", "up_for_retry", 30, start=10, end=30),
        change("a", "queued", 40, 2),
        change("a", "running", 50, 2, start=50),
    ]

    found = gantt([task("a", "running", 50, try_number=2)], history, NOW)

    assert bars(found) == [(0, 10, "queued"), (10, 20, "waiting"), (40, 10, "queued"), (50, 50, "busy")]
    assert found.rows[0].bars[1].title == "try 1: up for retry 20s"


def test_order_of_the_history_does_not_matter() -> None:
    history = [
        change("a", "queued", 0),
        change("a", "running", 10, start=10),
        change("a", "success", 30, start=10, end=30),
    ]
    tasks = [task("a", "success", 10, 30)]

    assert gantt(tasks, history, NOW) == gantt(tasks, list(reversed(history)), NOW)


def test_clocks_that_differ_break_no_bar() -> None:
    found = gantt([task("a", "success", 50, 20), task("b", "running", 200)], [], NOW)

    assert all(0 <= left <= 100 and width > 0 for row in (0, 1) for left, width, _ in bars(found, row))


def test_mapped_task_is_one_row_with_its_counts() -> None:
    mapped = {"total": 40, "states": {"success": 11, "skipped": 1, "running": 2}}

    found = gantt([task("score", "running", 0, mapped=mapped)], [change("score", "running", 1)], NOW)

    assert found.rows[0].counts == "12/40"
    assert len(found.rows[0].bars) == 1


def test_no_tasks_is_no_axis() -> None:
    assert gantt([], [], NOW) == Gantt((), ())
