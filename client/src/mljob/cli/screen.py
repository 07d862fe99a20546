"""The output of commands. Lines on a terminal have colours, unless ``NO_COLOR`` is set. Lines in a
file or a pipe have no colours and are never cut.

Colours only repeat what words and icons say. So a reader without colours loses no information.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple, TextIO

from ..render.states import Sign, Tone

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

STYLES = {
    Tone.GOOD: "green",
    Tone.BUSY: "cyan",
    Tone.WAITING: "yellow",
    Tone.BAD: "bold red",
    Tone.NEUTRAL: "bright_black",
}
GAP = "  "
MIN_WIDTH = 40


class Piece(NamedTuple):
    """A part of a line, in one colour.

    Attributes:
        text: Text on one line, without control characters.
        tone: Selects the colour of the text. None means the default colour.
        is_strong: Whether the text is bold. A text with ``Tone.BAD`` is always bold.
    """

    text: str
    tone: Tone | None = None
    is_strong: bool = False


Line = Sequence[Piece]


class Screen:
    """The output of a command: a terminal, a file or a pipe. A terminal with ``TERM=dumb`` counts
    as a pipe.

    Args:
        stream: The stream. Default: standard output.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stdout
        self.is_terminal = self.stream.isatty() and os.environ.get("TERM") != "dumb"
        self.has_unicode = (self.stream.encoding or "").lower().replace("-", "").startswith("utf")

    @property
    def width(self) -> int | None:
        """The number of columns of the terminal, at least 40. None for a file or a pipe."""
        return max(shutil.get_terminal_size().columns, MIN_WIDTH) if self.is_terminal else None

    @property
    def height(self) -> int:
        """The number of rows of the terminal, at least 10."""
        return max(shutil.get_terminal_size().lines, 10)

    def sign(self, sign: Sign) -> Piece:
        """Return a :class:`Piece` with the icon and the word that display a state."""
        return Piece(f"{sign.icon if self.has_unicode else sign.ascii} {sign.word}", sign.tone)

    def show(self, lines: Iterable[Line]) -> None:
        """Print lines. On a terminal, each line is cut at the width of the terminal."""
        if not self.is_terminal:
            self.stream.writelines("".join(piece.text for piece in line).rstrip() + "\n" for line in lines)
            return
        console = self.console()
        for line in lines:
            console.print(as_text(line), no_wrap=True, overflow="ellipsis", crop=True)

    def wrap(self, lines: Iterable[Line]) -> None:
        """Print lines, without cutting them. A terminal wraps long lines."""
        if not self.is_terminal:
            self.show(lines)
            return
        console = self.console()
        for line in lines:
            text = as_text(line)
            text.no_wrap = False
            console.print(text, soft_wrap=True)

    def say(self, *texts: str) -> None:
        """Print texts, each on a line of its own."""
        for text in texts:
            self.stream.write(f"{text}\n")

    def console(self) -> Console:
        """Return a ``Console`` of the library rich that prints to this screen."""
        from rich.console import Console

        return Console(file=self.stream, highlight=False, markup=False, emoji=False)


def as_text(line: Line) -> Text:
    """Convert a line to a ``Text`` of the library rich."""
    from rich.text import Text

    text = Text(no_wrap=True, overflow="ellipsis")
    for piece in line:
        tone = STYLES[piece.tone] if piece.tone is not None else ""
        text.append(piece.text, f"{tone} bold" if piece.is_strong and "bold" not in tone else tone)
    return text


def columns(rows: Sequence[Sequence[Piece]], titles: Sequence[str] | None = None) -> list[Line]:
    """Return rows as lines with aligned columns. A column with only empty cells is left out,
    together with its title.
    """
    from rich.cells import cell_len

    shown = [index for index in range(max(map(len, rows), default=0)) if any(_text(row, index) for row in rows)]
    head = [[Piece(titles[index], Tone.NEUTRAL) for index in range(len(titles))]] if titles else []
    lines = [*head, *rows]
    widths = {index: max(cell_len(_text(line, index)) for line in lines) for index in shown}
    made: list[Line] = []
    for line in lines:
        pieces: list[Piece] = []
        for index in shown:
            piece = line[index] if index < len(line) else Piece("")
            is_last = index == shown[-1]
            pad = "" if is_last else " " * (widths[index] - cell_len(piece.text)) + GAP
            pieces += [piece, Piece(pad)]
        made.append(pieces)
    return made


def _text(row: Sequence[Piece], index: int) -> str:
    return row[index].text if index < len(row) else ""
