"""The signs of phases and task states. A sign is an icon, a word and a tone. The word identifies
the state. Several states may have the same icon. The tone only selects a colour.

The words of task states are Airflow's names (``airflow.utils.state.TaskInstanceState``) with
spaces instead of underscores. A task without a state has the words "not started".
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from ..text import plain


class Tone(StrEnum):
    """The meaning of a state for a person: good, in progress, waiting, bad, or none of these."""

    GOOD = "good"
    BUSY = "busy"
    WAITING = "waiting"
    BAD = "bad"
    NEUTRAL = "neutral"


class Sign(NamedTuple):
    """An icon, a word and a tone that display a state.

    Attributes:
        icon: One character, one column wide.
        ascii: The icon for a terminal without Unicode.
        word: The state in words.
        tone: The meaning of the state, which selects the colour.
    """

    icon: str
    ascii: str
    word: str
    tone: Tone


_MAX_WORD = 40

_PHASES = {
    "": Sign("○", "o", "New", Tone.WAITING),
    "Pending": Sign("○", "o", "Pending", Tone.WAITING),
    "Suspended": Sign("‖", "=", "Suspended", Tone.WAITING),
    "Queued": Sign("◔", "o", "Queued", Tone.WAITING),
    "Running": Sign("▶", ">", "Running", Tone.BUSY),
    "Cancelling": Sign("◌", "-", "Cancelling", Tone.WAITING),
    "Succeeded": Sign("✔", "+", "Succeeded", Tone.GOOD),
    "Failed": Sign("✘", "!", "Failed", Tone.BAD),
    "Cancelled": Sign("⊘", "x", "Cancelled", Tone.NEUTRAL),
}
_TASKS = {
    "none": Sign("·", ".", "not started", Tone.NEUTRAL),
    "scheduled": Sign("○", "o", "scheduled", Tone.WAITING),
    "queued": Sign("○", "o", "queued", Tone.WAITING),
    "running": Sign("▶", ">", "running", Tone.BUSY),
    "restarting": Sign("↻", "~", "restarting", Tone.BUSY),
    "deferred": Sign("◔", "~", "deferred", Tone.WAITING),
    "up_for_reschedule": Sign("◔", "~", "up for reschedule", Tone.WAITING),
    "awaiting_input": Sign("?", "?", "awaiting input", Tone.WAITING),
    "up_for_retry": Sign("↻", "~", "up for retry", Tone.WAITING),
    "success": Sign("✔", "+", "success", Tone.GOOD),
    "failed": Sign("✘", "!", "failed", Tone.BAD),
    "upstream_failed": Sign("↑", "^", "upstream failed", Tone.BAD),
    "skipped": Sign("»", "_", "skipped", Tone.NEUTRAL),
    "removed": Sign("⊘", "x", "removed", Tone.NEUTRAL),
}
_RETRY_WAITS = Sign("↻", "~", "Retry waits", Tone.WAITING)


def of_phase(phase: str | None, *, retry_waits: bool = False) -> Sign:
    """Return the sign of an MLJob's phase. For an unknown phase, the word is the phase itself.

    Args:
        phase: The phase of the MLJob. None or empty for a new MLJob.
        retry_waits: Whether a requested retry of an ended MLJob has not begun. If so, ``phase`` has
            no effect.
    """
    if retry_waits:
        return _RETRY_WAITS
    return _PHASES.get(phase or "", Sign("?", "?", plain(phase or "", _MAX_WORD), Tone.NEUTRAL))


def of_task(state: str | None) -> Sign:
    """Return the sign of a task's state. For an unknown state, such as a state of a later Airflow,
    the word is the state itself. ``state`` is None for a task that is not scheduled yet.
    """
    name = state or "none"
    return _TASKS.get(name, Sign("?", "?", plain(name, _MAX_WORD), Tone.NEUTRAL))
