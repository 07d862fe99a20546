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


AIRFLOW = "/home/airflow/.local/lib/python3.12/site-packages/airflow"
FRAMES = [f'  File "{AIRFLOW}/sdk/execution_time/task_runner.py", line {line}, in run' for line in range(11)]
OWN_FRAME = TRACEBACK[2]


def test_frames_of_airflow_are_one_line() -> None:
    traceback = [*TRACEBACK[:2], *FRAMES, OWN_FRAME, *FRAMES[:2], TRACEBACK[-1]]
    folded = [*TRACEBACK[:2], "  ... 11 frames of Airflow", OWN_FRAME, "  ... 2 frames of Airflow", TRACEBACK[-1]]
    assert end_with_error(traceback, 20, ERROR) == LogEnd(folded)
    assert end_with_error([*NOISE, *traceback], 6, ERROR) == LogEnd(folded)
    assert end_with_error([*NOISE, *traceback, *NOISE], 6, ERROR) == LogEnd(folded, len(NOISE))


def test_sources_of_folded_frames_are_left_out_and_those_of_others_stay() -> None:
    airflow = [line for frame in FRAMES for line in (frame, "    self.run()", "    ^^^^^^^^^^")]
    own = [OWN_FRAME, '    raise ValueError("3 columns missing")']
    assert end_with_error([*TRACEBACK[:2], *airflow, *own, TRACEBACK[-1]], 20, ERROR).lines == [
        *TRACEBACK[:2],
        "  ... 11 frames of Airflow",
        *own,
        TRACEBACK[-1],
    ]


@pytest.mark.parametrize(
    "frame",
    [
        *FRAMES[:1],
        '  File "/opt/airflow/dags/train.py", line 3, in fit',
        '  File "/usr/lib/python3.12/site-packages/airflow_of_ours/train.py", line 3, in fit',
    ],
    ids=["only one", "a DAG", "another package"],
)
def test_other_frames_stay(frame: str) -> None:
    number = 1 if frame == FRAMES[0] else 2
    traceback = [*TRACEBACK[:2], *[frame] * number, *TRACEBACK[2:]]
    assert end_with_error(traceback, 20, ERROR).lines == traceback


def test_frames_that_a_task_has_written_are_folded_too() -> None:
    written = [f"{AT} ERROR  {frame}" for frame in FRAMES]
    lines = [WRITTEN[0], *written, *WRITTEN[1:]]
    assert end_with_error(lines, 20, ERROR).lines == [WRITTEN[0], "  ... 11 frames of Airflow", *WRITTEN[1:]]
