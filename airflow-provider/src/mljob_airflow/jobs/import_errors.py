"""A DAG file that Airflow can't import, told in a line: where in the file, and the error. Pure."""

from __future__ import annotations

import re

MAX_LENGTH = 500
"""Characters of the error: a model's has many lines."""

_FRAME = re.compile(r'^ *File "(?P<file>[^"]*)", line (?P<line>\d+)', re.MULTILINE)
_NOT_THE_ERROR = ("Traceback (most recent call last)", "During handling of", "The above exception")


def gist(file: str, traceback: str) -> str:
    """``line 2: ZeroDivisionError: division by zero``.

    Args:
        file: The DAG file's path.
        traceback: What Airflow keeps of the import: a traceback, perhaps cut at its beginning, or a text of its own.
    """
    inside = [frame["line"] for frame in _FRAME.finditer(traceback) if file.endswith(frame["file"])]
    where = f"line {inside[-1]}: " if inside else ""
    return where + _error(traceback)


def _error(traceback: str) -> str:
    lines = traceback.strip().splitlines()
    frames = [number for number, line in enumerate(lines) if _FRAME.match(line)]
    after = lines[frames[-1] + 1 :] if frames else lines
    # What follows the last frame: its source, indented, and then the error, whose further lines may be indented as well.
    begin = next((number for number, line in enumerate(after) if line.strip() and not line.startswith(" ")), 0)
    text = " ".join(" ".join(after[begin:]).split()) or "no reason is told"
    if text.startswith(_NOT_THE_ERROR):
        text = " ".join(lines[-1].split())
    return text if len(text) <= MAX_LENGTH else text[: MAX_LENGTH - 1] + "…"
