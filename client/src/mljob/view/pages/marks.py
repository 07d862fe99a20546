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
        tone: The class of its colour: good, busy, waiting, bad or neutral.
    """

    icon: str
    word: str
    tone: str


_PHASES: Final = {
    Phase.PENDING: Mark("waiting", "Pending", "waiting"),
    Phase.SUSPENDED: Mark("paused", "Suspended", "neutral"),
    Phase.QUEUED: Mark("queued", "Queued", "waiting"),
    Phase.RUNNING: Mark("running", "Running", "busy"),
    Phase.CANCELLING: Mark("stopping", "Cancelling", "waiting"),
    Phase.SUCCEEDED: Mark("success", "Succeeded", "good"),
    Phase.FAILED: Mark("failed", "Failed", "bad"),
    Phase.CANCELLED: Mark("stopped", "Cancelled", "neutral"),
}
_NEW: Final = Mark("waiting", "New", "waiting")

_TASKS: Final = {
    "success": Mark("success", "success", "good"),
    "running": Mark("running", "running", "busy"),
    "failed": Mark("failed", "failed", "bad"),
    "upstream_failed": Mark("blocked", "upstream failed", "bad"),
    "skipped": Mark("skipped", "skipped", "neutral"),
    "removed": Mark("skipped", "removed", "neutral"),
    "queued": Mark("queued", "queued", "waiting"),
    "scheduled": Mark("queued", "scheduled", "waiting"),
    "deferred": Mark("waiting", "deferred", "waiting"),
    "awaiting_input": Mark("question", "needs an answer", "waiting"),
    "up_for_retry": Mark("retry", "up for retry", "waiting"),
    "up_for_reschedule": Mark("waiting", "up for reschedule", "waiting"),
    "restarting": Mark("retry", "restarting", "busy"),
    "none": Mark("none", "not started", "neutral"),
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
        return Mark("question", phase, "neutral")


def task_mark(state: str) -> Mark:
    """Return the mark of a task's state in Airflow. An unknown state keeps its word."""
    return _TASKS.get(state) or Mark("question", state.replace("_", " "), "neutral")


def condition_mark(status: str, *, good: str = "", bad: str = "") -> Mark:
    """Return the mark of a condition.

    Args:
        status: True, False or Unknown.
        good: The status that says that all is well. Default: none.
        bad: The status that reports a problem. Default: none.
    """
    if status == good:
        return Mark("success", status, "good")
    if status == bad:
        return Mark("failed", status, "bad")
    return Mark("question" if status == "Unknown" else "info", status, "neutral")
