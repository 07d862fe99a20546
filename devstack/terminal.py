"""Prints coloured and redrawn lines on a terminal, and plain whole lines to a file or a pipe.

The package rich detects a terminal, and follows the environment variables `NO_COLOR`, `FORCE_COLOR`
and `TERM`. `devstack.progress` does not need this module, because `bootstrap` prints before rich is
installed.
"""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.highlighter import RegexHighlighter
from rich.live import Live
from rich.text import Text
from rich.theme import Theme

_THEME = Theme(
    {"state.good": "green", "state.busy": "yellow", "state.bad": "bold red", "state.command": "bold", "state.title": "bold cyan"}
)  # fmt: skip


class _States(RegexHighlighter):
    """Colours the words for the state of a component or an MLJob, the lines with commands, and the
    lines with titles.
    """

    base_style = "state."
    highlights = (
        r"\b(?P<good>ready|is up|done|Succeeded|succeeded)\b",
        r"\b(?P<busy>running|starting|installing|Pending|Submitting|Submitted|Queued|Running|Suspended|Cancelling)\b",
        r"\b(?P<bad>failed|error|Failed|Cancelled|Warning)\b",
        r"^(?P<command>\$ .*)$",
        r"^(?P<title>=== .*)$",
    )


def _console(*, stderr: bool = False) -> Console:
    return Console(stderr=stderr, highlighter=_States(), theme=_THEME, markup=False, emoji=False, soft_wrap=True)


_OUT, _ERR = _console(), _console(stderr=True)


def show(text: str) -> None:
    """Print the result of a command on standard output."""
    _OUT.print(text)


def show_progress(text: str) -> None:
    """Print one line on standard error. The line is written as a whole, even if several threads
    print at the same time.
    """
    _ERR.print(text)


class Lines:
    """Prints lines within a `with` block. On a terminal, a line can replace the line before. In a
    file or a pipe, every line is kept.

    Args:
        console: The output; by default standard output.
    """

    def __init__(self, console: Console = _OUT) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self._last: Text | None = None

    def __enter__(self) -> Lines:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, line: str, *, in_place: bool) -> None:
        """Print a line.

        Args:
            line: One line. On a terminal the last line is cut at the terminal's width, because a
                line of two rows can't be redrawn.
            in_place: Whether this line replaces the line before.
        """
        if self._live is None:
            self._console.print(line)
            return
        if self._last is not None and not in_place:
            self._console.print(self._last)
        self._last = _States()(Text(line, no_wrap=True, overflow="ellipsis"))
        self._live.update(self._last, refresh=True)
