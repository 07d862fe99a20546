"""Shortens the import error of a DAG file to one line."""

from __future__ import annotations

import re

from mljob_airflow.truncation import truncated

MAX_LENGTH = 500
"""The maximum number of characters of the error. Some errors are long, for example the validation
errors of a pydantic model.
"""

_FRAME = re.compile(r'^ *File "(?P<file>[^"]*)", line (?P<line>\d+)', re.MULTILINE)
_NOT_THE_ERROR = ("Traceback (most recent call last)", "During handling of", "The above exception")


def one_line(file: str, traceback: str) -> str:
    """Return the error with its line number in the DAG file, for example ``line 2:
    ZeroDivisionError: division by zero``. The line number is missing if the traceback does not
    mention the file.

    Args:
        file: The DAG file's path.
        traceback: Airflow's text of the import error: a traceback, or only a message. The beginning
            of the traceback may be missing.
    """
    inside = [frame["line"] for frame in _FRAME.finditer(traceback) if file.endswith(frame["file"])]
    where = f"line {inside[-1]}: " if inside else ""
    return where + _error(traceback)


def _error(traceback: str) -> str:
    lines = traceback.strip().splitlines()
    frames = [number for number, line in enumerate(lines) if _FRAME.match(line)]
    after = lines[frames[-1] + 1 :] if frames else lines
    # The line after the last frame is the frame's source line, which is indented. The error
    # follows, and its first line is not indented.
    begin = next((number for number, line in enumerate(after) if line.strip() and not line.startswith(" ")), 0)
    text = " ".join(" ".join(after[begin:]).split()) or "Airflow gives no reason"
    if text.startswith(_NOT_THE_ERROR):
        text = " ".join(lines[-1].split())
    return truncated(text, MAX_LENGTH)
