"""Prints lines in colour on a terminal, and without colour to a file or a pipe. The environment
variables `NO_COLOR`, `FORCE_COLOR` and `TERM` change this default.
"""

from __future__ import annotations

from rich.console import Console
from rich.highlighter import RegexHighlighter
from rich.theme import Theme

_THEME = Theme(
    {"state.good": "green", "state.busy": "yellow", "state.bad": "bold red", "state.command": "bold", "state.title": "bold cyan"}
)  # fmt: skip


class _States(RegexHighlighter):
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
    """Print a text on standard output, in colour on a terminal."""
    _OUT.print(text)


def show_progress(text: str) -> None:
    """Print a line on standard error, in colour on a terminal. Lines of several threads don't
    mix.
    """
    _ERR.print(text)
