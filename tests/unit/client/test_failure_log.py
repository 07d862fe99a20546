"""Which lines of a failed task's log are shown."""

from __future__ import annotations

import pytest

from mljob.failure_log import LogEnd, end_with_error

AT = "2026-01-01T00:00:00.000Z"
NOISE = [f"{AT} INFO    step {number}" for number in range(50)]
TRACEBACK = [
    f"{AT} ERROR   Task failed with exception",
    "Traceback (most recent call last):",
    '  File "/dags/train.py", line 7, in fit',
    "ValueError: 3 columns missing",
]
OTHER = [
    f"{AT} WARNING The callback failed",
    "Traceback (most recent call last):",
    '  File "/dags/notify.py", line 1, in tell',
    "ConnectionError: no such host",
]
WRITTEN = [
    f"{AT} ERROR   Traceback (most recent call last):",
    f'{AT} ERROR     File "/dags/train.py", line 7, in fit',
    f"{AT} ERROR   ValueError: 3 columns missing",
]
CHAIN = [
    f"{AT} ERROR   Task failed with exception",
    "Traceback (most recent call last):",
    '  File "/dags/train.py", line 3, in load',
    "KeyError: 'age'",
    "",
    "The above exception was the direct cause of the following exception:",
    "",
    *TRACEBACK[1:],
]
ERROR = "ValueError: 3 columns missing"


@pytest.mark.parametrize("lines", [NOISE, [*NOISE, *TRACEBACK], [*NOISE, *TRACEBACK, *NOISE[:3]], TRACEBACK, []])
def test_last_lines_are_shown_where_they_have_the_traceback_or_there_is_none(lines: list[str]) -> None:
    assert end_with_error(lines, 10, ERROR) == LogEnd(lines[-10:])


@pytest.mark.parametrize("traceback", [TRACEBACK, WRITTEN, CHAIN], ids=["structured", "written by the task", "chain"])
def test_lines_end_with_the_traceback_where_noise_follows(traceback: list[str]) -> None:
    found = end_with_error([*NOISE, *traceback, *NOISE], 5, ERROR)
    assert found == LogEnd([*NOISE, *traceback][-5:], len(NOISE))
    assert found.title("its log") == "The 5 lines of its log up to the error, before 50 others:"


def test_traceback_of_the_error_in_the_status_is_shown_and_not_one_of_a_callback() -> None:
    lines = [*TRACEBACK, *NOISE, *OTHER, *NOISE]
    assert end_with_error(lines, 4, ERROR).lines == TRACEBACK
    assert end_with_error(lines, 4, "3 columns missing").lines == TRACEBACK, "of an unknown type"
    assert end_with_error(lines, 4, "ValueError: something else").lines == OTHER
    assert end_with_error(lines, 4, None).lines == OTHER


def test_message_of_several_lines_is_whole() -> None:
    message = ["ValueError: 3 columns missing", "  age", "  sex"]
    assert end_with_error([*TRACEBACK[:-1], *message, *NOISE], 5, ERROR).lines == [*TRACEBACK[1:-1], *message]


def test_colours_do_not_hide_a_traceback() -> None:
    lines = [f"\x1b[31m{line}\x1b[0m" for line in TRACEBACK]
    assert end_with_error([*lines, *NOISE], 4, ERROR).lines == lines


def test_no_line_is_shown_where_none_is_wanted() -> None:
    assert end_with_error([*TRACEBACK, *NOISE], 0, ERROR) == LogEnd([])


def test_traceback_without_an_end_is_none() -> None:
    lines = [*NOISE, "Traceback (most recent call last):", *["  File x"] * 30]
    assert end_with_error(lines, 10, ERROR) == LogEnd(lines[-10:])


def test_time_within_a_line_is_no_begin_of_an_entry() -> None:
    lines = [*TRACEBACK[:-1], f"ValueError: no data since {AT} INFO    here", *NOISE]
    assert end_with_error(lines, 4, f"ValueError: no data since {AT} INFO    here").lines == lines[:4]
