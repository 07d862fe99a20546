"""Prints coloured lines on a terminal, and plain lines to a file or a pipe.

The package rich detects a terminal, and follows the environment variables `NO_COLOR`, `FORCE_COLOR`
and `TERM`. `devstack.progress` does not need this module, because `bootstrap` prints before rich is
installed.
"""

from __future__ import annotations

from rich.console import Console
from rich.highlighter import RegexHighlighter
from rich.theme import Theme

_THEME = Theme(
    {"state.good": "green", "state.busy": "yellow", "state.bad": "bold red", "state.command": "bold", "state.title": "bold cyan"}
)  # fmt: skip


class _States(RegexHighlighter):
    """Selects colours for the words that name the state of a component or an MLJob, for lines with
    commands, and for lines with titles.
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
