"""The line in the note of a task instance that a cancellation has set to failed.

Airflow gives a cancelled task instance the same state as one that has failed by itself: ``failed``.
The monitoring DAGs tell them apart by this line.

Airflow keeps the note of a task instance that is cleared to run again. So the line names the try
that was cancelled.
"""

from __future__ import annotations


def cancellation_line(try_number: int, reason: str) -> str:
    """Return the line for the note of a task instance that is set to failed.

    Args:
        try_number: The task instance's ``try_number`` in Airflow, 0 before the first try.
        reason: Why the run is cancelled.
    """
    return f"{_beginning(try_number)} {reason}"


def is_cancelled(note: str | None, try_number: int) -> bool:
    """Return whether the note of a task instance says that the try was cancelled."""
    return any(line.startswith(_beginning(try_number)) for line in (note or "").splitlines())


def _beginning(try_number: int) -> str:
    return f"Cancelled in try {try_number}:"
