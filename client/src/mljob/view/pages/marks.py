"""Marks that show states by an icon, a word and a colour. The colour is never the only sign of a
state.

For phases and task states, :mod:`mljob.render.states` determines the word and the colour, as on the
command line.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ...render.states import Sign, of_phase, of_task


@dataclass(frozen=True, slots=True)
class Mark:
    """The icon, the word and the colour that show a state.

    Attributes:
        icon: The name of a symbol in the template ``icons.svg``.
        word: The state in a word or two.
        tone: The CSS class of the colour: good, busy, waiting, bad or neutral.
    """

    icon: str
    word: str
    tone: str


_PHASE_ICONS: Final = {
    "": "waiting",
    "Pending": "waiting",
    "Suspended": "paused",
    "Queued": "queued",
    "Running": "running",
    "Cancelling": "stopping",
    "Succeeded": "success",
    "Failed": "failed",
    "Cancelled": "stopped",
}
_TASK_ICONS: Final = {
    "": "none",
    "none": "none",
    "scheduled": "queued",
    "queued": "queued",
    "running": "running",
    "restarting": "retry",
    "deferred": "waiting",
    "up_for_reschedule": "waiting",
    "awaiting_input": "question",
    "up_for_retry": "retry",
    "success": "success",
    "failed": "failed",
    "upstream_failed": "blocked",
    "skipped": "skipped",
    "removed": "skipped",
}


def phase_mark(phase: str, *, retry_waits: bool = False) -> Mark:
    """Return the mark of an MLJob's state.

    Args:
        phase: The phase of the MLJob. A new MLJob has an empty phase.
        retry_waits: Whether the MLJob has ended, and a requested retry has not begun.
    """
    icon = "retry" if retry_waits else _PHASE_ICONS.get(phase, "question")
    return _mark(icon, of_phase(phase, retry_waits=retry_waits))


def task_mark(state: str) -> Mark:
    """Return the mark of a task's state. ``state`` is Airflow's name of the state. For an unknown
    state, the word of the mark is this name.
    """
    return _mark(_TASK_ICONS.get(state, "question"), of_task(state))


def condition_mark(status: str, *, good: str = "", bad: str = "") -> Mark:
    """Return the mark of a Kubernetes condition.

    Args:
        status: True, False or Unknown.
        good: The status with which this condition reports that all is well. An empty text, the
            default, means that no status does so.
        bad: The status with which this condition reports a problem. An empty text, the default,
            means that no status does so.
    """
    if status == good:
        return Mark("success", status, "good")
    if status == bad:
        return Mark("failed", status, "bad")
    return Mark("question" if status == "Unknown" else "info", status, "neutral")


def _mark(icon: str, sign: Sign) -> Mark:
    return Mark(icon, sign.word, sign.tone)
