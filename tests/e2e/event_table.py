"""The rows of the table in docs/spec/events.md, and the tasks and runs on which the test tries them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tests.live.topic import AIRFLOWS, OURS

TABLE = Path(__file__).parents[2] / "docs" / "spec" / "events.md"
DAGS = {
    "events-tasks": "events_tasks",
    "events-task-set": "events_held",
    "events-run-set": "events_held",
    "events-lost": "events_held",
    "events-timeout": "events_timeout",
    "events-no-slot": "events_no_slot",
    "events-cleared": "events_quick",
    "events-deleted": "events_paused",
}
"""The id of each MLJob's DAG, by the name of the MLJob."""


@dataclass(frozen=True)
class Case:
    """The task or the run that one row of the table in docs/spec/events.md is about.

    Attributes:
        job: The name of the MLJob.
        task: The id of the task. None if the row is about the run.
        silent: States without an event. The status must show them within 40 seconds.
        instances: The map indexes of the task's instances. Only -1 for a task that is not mapped.
    """

    job: str
    task: str | None = None
    silent: tuple[str, ...] = ()
    instances: tuple[int, ...] = (-1,)


CASES = {
    "A task succeeds": Case("events-tasks", "succeeds"),
    "A task fails, with no retries left": Case("events-tasks", "fails"),
    "A task skips itself": Case("events-tasks", "skips"),
    "Each instance of a mapped task": Case("events-tasks", "each", instances=(0, 1)),
    "A task exceeds its `execution_timeout`": Case("events-tasks", "too_slow"),
    "A task fails once and then succeeds": Case("events-tasks", "second_time_lucky"),
    "A task is deferred, and comes back": Case("events-tasks", "defers", ("deferred",)),
    "A task waits for a person, and is answered": Case("events-tasks", "asks", ("awaiting_input",)),
    "A task's process is killed, with no retries left": Case("events-tasks", "killed", ("failed",)),
    "A task's process is killed once": Case("events-tasks", "killed_once"),
    "A task's worker is lost": Case("events-lost", "held"),
    "A running task is set failed by a person": Case("events-task-set", "held"),
    "A deferred task is set succeeded by a person": Case("events-task-set", "deferred", ("deferred",)),
    "A run is set failed by a person": Case("events-run-set"),
    "Its running task": Case("events-run-set", "held"),
    "Its deferred task": Case("events-run-set", "deferred", ("deferred",)),
    "Its task that had not begun": Case("events-run-set", "pending", ("skipped",)),
    "A task cannot run because one before it failed": Case("events-tasks", "unreachable", ("upstream_failed",)),
    "A task is not chosen by a branch": Case("events-tasks", "not_chosen", ("skipped",)),
    "A task is cut off by a short circuit": Case("events-tasks", "cut_off", ("skipped",)),
    "An EmptyOperator succeeds": Case("events-tasks", "empty", ("success",)),
    "A task is scheduled and gets no slot": Case("events-no-slot", "no_slot", ("scheduled",)),
    "A run exceeds its `dagrun_timeout`": Case("events-timeout"),
    "Its task that had not ended": Case("events-timeout", "never_begins", ("skipped",)),
    "A run is queued": Case("events-deleted"),
    "A finished run is cleared, and its task runs again": Case("events-cleared", "quick"),
    "A run is deleted": Case("events-deleted"),
}


def rows() -> dict[str, dict[str, re.Pattern[str]]]:
    """Return a dict for each row of the table in docs/spec/events.md, by the row's first cell. The
    dict has a pattern for each producer. The pattern matches the states that the producer reports,
    with a space after each state.
    """
    cells = [[cell.strip() for cell in line.strip("|\n").split("|")] for line in TABLE.read_text().splitlines()]
    table = [row for row in cells if len(row) == 4 and not set(row[0]) <= {"-", " "} and row[0] != "What happens"]
    return {happens: {OURS: _words(ours), AIRFLOWS: _words(airflows)} for happens, ours, airflows, _ in table}


def _words(cell: str) -> re.Pattern[str]:
    """Return a pattern that matches the states in a cell, with a space after each state. A state in
    parentheses may be missing, or come later than its place in the cell.
    """
    found = re.findall(r"(\(?)`(\w+)`", cell)
    orders = {tuple(word for optional, word in found if not optional)}
    before = 0
    for optional, word in found:
        if optional:
            orders |= {(*order[:at], word, *order[at:]) for order in orders for at in range(before, len(order) + 1)}
        else:
            before += 1
    return re.compile("|".join("".join(f"{word} " for word in order) for order in sorted(orders)))
