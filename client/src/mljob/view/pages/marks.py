"""States as an icon and a word. Colour helps, and never tells a state alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mljob_contract.mljob import Phase


@dataclass(frozen=True, slots=True)
class Mark:
    """How a state looks.

    Attributes:
        icon: The name of a symbol in the template ``icons.svg``.
        word: The state in a word or two.
        tone: The class of its colour: good, busy, wait, warn, bad or quiet.
    """

    icon: str
    word: str
    tone: str


_PHASES: Final = {
    Phase.PENDING: Mark("waiting", "Pending", "wait"),
    Phase.SUSPENDED: Mark("paused", "Suspended", "quiet"),
    Phase.QUEUED: Mark("queued", "Queued", "wait"),
    Phase.RUNNING: Mark("running", "Running", "busy"),
    Phase.CANCELLING: Mark("stopping", "Cancelling", "warn"),
    Phase.SUCCEEDED: Mark("success", "Succeeded", "good"),
    Phase.FAILED: Mark("failed", "Failed", "bad"),
    Phase.CANCELLED: Mark("stopped", "Cancelled", "quiet"),
}
_NEW: Final = Mark("waiting", "New", "wait")

_TASKS: Final = {
    "success": Mark("success", "success", "good"),
    "running": Mark("running", "running", "busy"),
    "failed": Mark("failed", "failed", "bad"),
    "upstream_failed": Mark("blocked", "upstream failed", "bad"),
    "skipped": Mark("skipped", "skipped", "quiet"),
    "removed": Mark("skipped", "removed", "quiet"),
    "queued": Mark("queued", "queued", "wait"),
    "scheduled": Mark("queued", "scheduled", "wait"),
    "deferred": Mark("waiting", "deferred", "wait"),
    "awaiting_input": Mark("question", "needs an answer", "warn"),
    "up_for_retry": Mark("retry", "up for retry", "warn"),
    "up_for_reschedule": Mark("waiting", "up for reschedule", "wait"),
    "restarting": Mark("retry", "restarting", "busy"),
    "none": Mark("none", "not started", "quiet"),
}

TASK_STATES: Final = frozenset(_TASKS)
"""Airflow's states of tasks that have a mark."""


def phase_mark(phase: str) -> Mark:
    """Return the mark of an MLJob's phase. An empty phase is that of a new MLJob."""
    if not phase:
        return _NEW
    try:
        return _PHASES[Phase(phase)]
    except ValueError:
        return Mark("question", phase, "quiet")


def task_mark(state: str) -> Mark:
    """Return the mark of a task's state in Airflow. An unknown state keeps its word."""
    return _TASKS.get(state) or Mark("question", state.replace("_", " "), "quiet")


def condition_mark(status: str, *, is_problem: bool = False) -> Mark:
    """Return the mark of a condition.

    Args:
        status: True, False or Unknown.
        is_problem: Whether the condition reports a problem when it is True, as Stalled does.
    """
    if status == "Unknown":
        return Mark("question", "Unknown", "quiet")
    is_good = (status == "True") != is_problem
    return Mark("success" if is_good else "failed", status, "good" if is_good else "bad")
