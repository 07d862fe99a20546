"""Splits the lines of a log into pieces. A piece has one style, as CSS classes, and may be a link.

The terminal's control sequences are removed. Only sequences for colours and for bold, dim or
underlined text have an effect. The template escapes the text.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from .outside_text import WEB_LINK, cut

MAX_LINE: Final = 4_000
"""The maximum number of characters of a line, escape sequences included."""
MAX_PARTS: Final = 100
"""The maximum number of parts of a line. The rest of the line loses its colours and links. Each
part takes time in the process that all viewers share, and the writer of a log decides how many
parts there are.
"""
_TOKEN = re.compile(
    r"\x1b\[(?P<codes>[0-9;]{0,64})m"
    r"|\x1b(?:\[[0-?]{0,64}[ -/]{0,16}[@-~]?|[\]PX^_][^\x07\x1b]{0,4000}(?:\x07|\x1b\\)?|[ -/]?[0-~]?)"
    rf"|(?P<link>{WEB_LINK})",
    re.IGNORECASE,
)
"""A change of colour, another escape sequence (ECMA-48), or a link."""
_COLOURS: Final = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")
_CLOSING: Final = {")": "(", "]": "[", "}": "{"}
"""Brackets that a link holds if they are balanced, as in Markdown's autolinks."""


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a line in one style. ``classes`` are CSS classes separated by spaces, or an empty
    text. ``link`` is an http or https URL, or an empty text.
    """

    text: str
    classes: str = ""
    link: str = ""


@dataclass(slots=True)
class AnsiStyle:
    """The style that the log's control sequences have set so far. A style may last for several
    lines, so one object is used for all lines of a log.
    """

    colour: str = ""
    switches: set[str] = field(default_factory=set)

    def apply(self, codes: str) -> None:
        """Change the style by the control sequence ``ESC [ codes m``. For example, the codes
        ``1;31`` mean bold and red. Unknown numbers change nothing. Codes of 64 characters or more
        reset the style.
        """
        numbers = iter([int(code or 0) for code in codes.split(";")] if len(codes) < 64 else [0])
        for number in numbers:
            if number == 0:
                self.colour, self.switches = "", set()
            elif number in (38, 48):
                _skip_colour(numbers)
            elif number in _SWITCHES:
                self.switches.add(_SWITCHES[number])
            elif number in (22, 24):
                self.switches -= {"bold", "dim"} if number == 22 else {"underline"}
            elif 30 <= number <= 37 or 90 <= number <= 97:
                self.colour = _COLOURS[number % 10]
            elif number == 39:
                self.colour = ""

    @property
    def classes(self) -> str:
        """The CSS classes of the style, separated by spaces, or an empty text."""
        return " ".join(f"ansi-{name}" for name in sorted({*self.switches, self.colour} - {""}))


_SWITCHES: Final = {1: "bold", 2: "dim", 4: "underline"}


def _skip_colour(numbers: Iterator[int]) -> None:
    """Skip the numbers after 38 or 48, which choose one of 256 or of 16 million colours. The view
    shows no such colours.
    """
    for _ in range({5: 1, 2: 3}.get(next(numbers, 0), 0)):
        next(numbers, None)


def parts_of(line: str, style: AnsiStyle) -> tuple[Part, ...]:
    """Split a line of a log into at most :data:`MAX_PARTS` parts, each with one style. A link is a
    separate part. If the line has too many parts, the last part is the whole rest of the line,
    without style and links.

    Args:
        line: The line without its line break. A line longer than :data:`MAX_LINE` is cut.
        style: The style at the beginning of the line. The function changes this object to the style
            at the end of the line.
    """
    text = cut(line, MAX_LINE)
    found: list[Part] = []
    rest: list[str] = []
    at = 0

    def add(piece: str, link: str = "") -> None:
        if len(found) < MAX_PARTS - 1:
            found.append(Part(piece, style.classes, link))
        else:
            rest.append(piece)

    for token in _TOKEN.finditer(text):
        link = _trimmed(token["link"] or "")
        begin, end = token.start(), token.start() + len(link) if link else token.end()
        if begin > at:
            add(text[at:begin])
        at = end
        if link:
            add(link, link)
        elif token["codes"] is not None:
            style.apply(token["codes"])
    if at < len(text):
        add(text[at:])
    if rest:
        found.append(Part("".join(rest)))
    return tuple(found)


def _trimmed(link: str) -> str:
    """Return a link without the punctuation at its end. A closing bracket at the end stays if the
    link has an opening bracket for it.
    """
    counts = Counter(link)
    end = len(link)
    while end:
        last = link[end - 1]
        opening = _CLOSING.get(last)
        if last not in ".,;:!?" and (opening is None or counts[opening] >= counts[last]):
            break
        counts[last] -= 1
        end -= 1
    return link[:end]
