from __future__ import annotations

import pytest

from mljob_contract.cancellation_note import cancellation_line, is_cancelled


def test_the_line_names_the_try_and_the_reason() -> None:
    assert cancellation_line(2, "the MLJob was deleted") == "Cancelled in try 2: the MLJob was deleted"


@pytest.mark.parametrize(
    ("note", "try_number", "cancelled"),
    [
        (None, 1, False),
        ("", 1, False),
        ("Cancelled in try 1: deleted", 1, True),
        ("seen by ada\nCancelled in try 1: deleted", 1, True),
        ("Cancelled in try 1: a\nCancelled in try 2: b", 2, True),
        ("Cancelled in try 1: deleted", 2, False),
        ("Cancelled in try 1: deleted", 11, False),
        ("Cancelled in try 11: deleted", 1, False),
        ("not Cancelled in try 1: deleted", 1, False),
    ],
    ids=["no note", "empty", "alone", "with others", "again", "cleared since", "11 of 1", "1 of 11", "in a sentence"],
)
def test_a_note_says_which_try_was_cancelled(note: str | None, try_number: int, cancelled: bool) -> None:
    assert is_cancelled(note, try_number) is cancelled
