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

    from .options import Format

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
        return max(self._size().columns, MIN_WIDTH) if self.is_terminal else None

    @property
    def height(self) -> int:
        """The number of rows of the terminal, at least 10."""
        return max(self._size().lines, 10)

    def _size(self) -> os.terminal_size:
        """Return the size that the environment variables ``COLUMNS`` and ``LINES`` say, or else the
        size of the terminal, or else 80 columns and 24 rows.
        """
        try:
            own = os.get_terminal_size(self.stream.fileno())
        except (OSError, ValueError):  # The stream has no file descriptor, or is no terminal.
            own = os.terminal_size((0, 0))
        # The function of shutil only knows the terminal of standard output.
        return shutil.get_terminal_size((own.columns or 80, own.lines or 24))

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


def beside(output: Format | None) -> Screen:
    """Return the screen for what a command prints besides objects: standard error if the option
    ``-o`` prints objects to standard output, otherwise standard output.
    """
    return Screen(sys.stdout if output is None else sys.stderr)


def as_text(line: Line) -> Text:
    """Convert a line to a ``Text`` of the library rich."""
    from rich.text import Text

    text = Text(no_wrap=True, overflow="ellipsis")
    for piece in line:
        tone = STYLES[piece.tone] if piece.tone is not None else ""
        text.append(piece.text, f"{tone} bold" if piece.is_strong and "bold" not in tone else tone)
    return text


def wrapped(text: str, width: int) -> list[str]:
    """Split a text into lines, between words where possible. No line is wider than ``width`` columns
    of a terminal. A character of Chinese, Japanese or Korean takes two columns.
    """
    from rich.console import Console
    from rich.text import Text

    lines = Text(text).wrap(Console(), width, overflow="fold")
    return [line.plain.rstrip() for line in lines if line]


def columns(
    rows: Sequence[Sequence[Piece]],
    titles: Sequence[str] | None = None,
    *,
    width: int | None = None,
    visible: int = 0,
) -> list[Line]:
    """Return rows as lines with aligned columns. A column with only empty cells is left out,
    together with its title.

    Args:
        rows: The cells of each row.
        titles: The titles of the columns, or None.
        width: The number of columns of the terminal. The columns before ``visible`` are cut, the
            widest first, so that the lines show ``visible``. None cuts nothing.
        visible: The index of a column.
    """
    from rich.cells import cell_len

    shown = [index for index in range(max(map(len, rows), default=0)) if any(_text(row, index) for row in rows)]
    head = [[Piece(titles[index], Tone.NEUTRAL) for index in range(len(titles))]] if titles else []
    lines = [*head, *rows]
    widths = {index: max(cell_len(_text(line, index)) for line in lines) for index in shown}
    if width is not None:
        before = [index for index in shown if index < visible]
        end = widths.get(visible, 0) + 1  # and the ellipsis of what follows
        room = width - len(GAP) * len(before) - end
        widths |= _shrunk({index: widths[index] for index in before}, room)
    made: list[Line] = []
    for line in lines:
        pieces: list[Piece] = []
        for index in shown:
            piece = line[index] if index < len(line) else Piece("")
            piece = piece._replace(text=_cut(piece.text, widths[index]))
            is_last = index == shown[-1]
            pad = "" if is_last else " " * (widths[index] - cell_len(piece.text)) + GAP
            pieces += [piece, Piece(pad)]
        made.append(pieces)
    return made


def _shrunk(widths: dict[int, int], room: int) -> dict[int, int]:
    """Reduce the largest widths, until their sum is at most ``room``."""
    most = max(widths.values(), default=0)
    while sum(min(width, most) for width in widths.values()) > room and most > 1:
        most -= 1
    return {index: min(width, most) for index, width in widths.items()}


def _cut(text: str, width: int) -> str:
    """Cut a text of several words at its end, and a name in its middle, because the names of a sweep's
    MLJobs differ at their end.
    """
    from rich.cells import cell_len, set_cell_size

    if cell_len(text) <= width:
        return text
    tail = 0 if " " in text else (width - 1) // 2
    end = set_cell_size(text[::-1], tail)[::-1]
    return f"{set_cell_size(text, width - 1 - tail)}…{end}"


def _text(row: Sequence[Piece], index: int) -> str:
    return row[index].text if index < len(row) else ""
