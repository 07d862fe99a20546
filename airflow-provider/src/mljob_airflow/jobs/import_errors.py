"""The import error of a DAG file in one line: the line of the file, and the error. Pure."""

from __future__ import annotations

import re

from mljob_airflow.truncation import truncated

MAX_LENGTH = 500
"""Characters of the error. A validation error of a pydantic model has many lines."""

_FRAME = re.compile(r'^ *File "(?P<file>[^"]*)", line (?P<line>\d+)', re.MULTILINE)
_NOT_THE_ERROR = ("Traceback (most recent call last)", "During handling of", "The above exception")


def one_line(file: str, traceback: str) -> str:
    """The import error in one line: ``line 2: ZeroDivisionError: division by zero``.

    Args:
        file: The DAG file's path.
        traceback: Airflow's text of the import error: a traceback, which may lack its beginning, or
            a message.
    """
    inside = [frame["line"] for frame in _FRAME.finditer(traceback) if file.endswith(frame["file"])]
    where = f"line {inside[-1]}: " if inside else ""
    return where + _error(traceback)


def _error(traceback: str) -> str:
    lines = traceback.strip().splitlines()
    frames = [number for number, line in enumerate(lines) if _FRAME.match(line)]
    after = lines[frames[-1] + 1 :] if frames else lines
    # The last frame is followed by its source line, which is indented, and then by the error, whose
    # other lines may be indented as well.
    begin = next((number for number, line in enumerate(after) if line.strip() and not line.startswith(" ")), 0)
    text = " ".join(" ".join(after[begin:]).split()) or "Airflow gives no reason"
    if text.startswith(_NOT_THE_ERROR):
        text = " ".join(lines[-1].split())
    return truncated(text, MAX_LENGTH)
