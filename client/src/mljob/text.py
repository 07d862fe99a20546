"""Removes unsafe characters from texts of users, tasks and servers, before a terminal or a notebook
shows the texts. Unsafe are control characters, ANSI escape sequences and invisible characters. The
joiners that some scripts and emoji need are kept.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

_ANSI = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]?|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~]?)|\x9b[0-?]*[ -/]*[@-~]?"
)
"""Escape sequences of ECMA-48: CSI, the strings (OSC, DCS, SOS, PM, APC), and sequences of two
characters.
"""
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
"""Categories of Unicode that show nothing, or move other characters."""
_JOINERS = frozenset("\u200c\u200d")
"""Format characters that scripts and emoji need."""
_MAX_COMBINING = 4
"""The maximum number of combining marks in a row that are kept. No script needs more, and a tower
of such marks covers other lines.
"""


def plain(text: str, limit: int | None = None) -> str:
    """Return a text on one line, without escape sequences, control characters and invisible
    characters. Two invisible characters are kept: the zero-width joiner and the zero-width
    non-joiner. Successive line breaks and tabs become one space.

    Args:
        text: Any text.
        limit: The maximum number of characters, or None for no limit. A longer text is cut and ends
            in ``…``.
    """
    begin = _cut(text, limit, 4)
    line = " ".join(clean_line(part) for part in re.split(r"[\r\n\t\v\f\x85\u2028\u2029]+", begin))
    if limit is None or (len(line) <= limit and len(begin) == len(text)):
        return line
    return line[: max(limit - 1, 0)] + "…"


def clean_line(line: str) -> str:
    """Return a line without escape sequences, control characters and invisible characters. Two
    invisible characters are kept: the zero-width joiner and the zero-width non-joiner. A tab
    becomes four spaces. Of more than four combining marks in a row, only the first four are kept.
    """
    if line.isascii() and line.isprintable():
        return line
    kept: list[str] = []
    marks = 0
    for char in _ANSI.sub("", line.replace("\t", "    ")):
        category = unicodedata.category(char)
        if category in _HIDDEN and char not in _JOINERS:
            continue
        marks = marks + 1 if category in ("Mn", "Me") else 0
        if marks <= _MAX_COMBINING:
            kept.append(char)
    return "".join(kept)


def value_text(value: Any, limit: int) -> str:
    """Return a JSON value as a text on one line, at most ``limit`` characters long. A float has at
    most six significant digits, and None becomes an empty text.
    """
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    return plain(value if isinstance(value, str) else json_text(value)[: 4 * limit], limit)


def cell_width(text: str) -> int:
    """Return the number of columns of a terminal that a text takes. Characters of Chinese, Japanese
    and Korean, and most emoji, take two columns. Combining marks and joiners take none.
    """
    return sum(
        0
        if unicodedata.category(char) in ("Mn", "Me", "Cf")
        else 2
        if unicodedata.east_asian_width(char) in "WF"
        else 1
        for char in text
    )


def values_text(values: Mapping[str, Any]) -> str:
    """Return names and values of params on one line: ``epochs=5 lr=0.1``. Names are cut to 63
    characters, and values to 60 characters.
    """
    return " ".join(f"{plain(key, 63)}={value_text(value, 60)}" for key, value in values.items())


def json_text(value: Any) -> str:
    """Return a value as JSON text with sorted keys. A value that JSON can't express, such as a
    time, is converted by ``str()``. If the value is nested too deeply, return ``(nested too
    deeply)``.
    """
    try:
        return json.dumps(value, sort_keys=True, default=str)
    except RecursionError:
        return "(nested too deeply)"


def _cut(text: str, limit: int | None, times: int) -> str:
    return text if limit is None else text[: limit * times]
