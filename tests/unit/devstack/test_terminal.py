"""Lines that are redrawn in place on a terminal, and whole plain lines in a file."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from devstack import progress, terminal
from devstack.terminal import Lines

ERASED = "\r\x1b[2K"
"""The control sequence that erases the line of the cursor."""


def printed(*, on_terminal: bool) -> str:
    """The output of a line, a line that replaces it, and another line."""
    output = io.StringIO()
    console = Console(
        file=output, force_terminal=on_terminal, width=40, color_system=None, markup=False, soft_wrap=True
    )
    with Lines(console) as lines:
        lines.show("fit 50% " + "x" * 200, in_place=False)
        lines.show("fit 60%", in_place=True)
        lines.show("evaluate", in_place=False)
    return output.getvalue()


def test_on_a_terminal_a_line_replaces_the_previous_line() -> None:
    rows = [row.rpartition(ERASED)[2] for row in printed(on_terminal=True).split("\n")]
    assert rows == ["fit 60%", "evaluate", "\x1b[?25h"], "the last shows the cursor again"


def test_a_redrawn_line_takes_one_row_of_the_terminal() -> None:
    first = printed(on_terminal=True).partition(ERASED)[0]
    assert len(first.removeprefix("\x1b[?25l")) == 40
    assert first.endswith("…")


def test_a_file_receives_every_line_in_full() -> None:
    assert printed(on_terminal=False) == f"fit 50% {'x' * 200}\nfit 60%\nevaluate\n"


def test_text_with_brackets_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.show("  Running [######......] 50% :smile: /logs/[kafka]")
    assert capsys.readouterr().out == "  Running [######......] 50% :smile: /logs/[kafka]\n"


def test_progress_goes_to_standard_error_in_a_whole_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_print", terminal.show_progress)
    progress.say(f"  kafka  starting {'x' * 300}")
    assert capsys.readouterr().err == f"  kafka  starting {'x' * 300}\n"
