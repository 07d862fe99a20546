from __future__ import annotations

import fcntl
import io
import os
import pty
import struct
import sys
import termios
from collections.abc import Iterator

import pytest

from mljob.cli.screen import Screen


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.TextIOWrapper]:
    """A terminal of 60 columns and 12 rows. Standard output is no terminal."""
    for name in ("COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "__stdout__", io.StringIO())
    controller, other_end = pty.openpty()
    resize(other_end, columns=60, rows=12)
    with os.fdopen(other_end, "w") as stream:
        yield stream
    os.close(controller)


def resize(terminal: int, *, columns: int, rows: int) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def test_screen_on_standard_error_has_the_size_of_its_own_terminal(terminal: io.TextIOWrapper) -> None:
    screen = Screen(terminal)
    assert (screen.width, screen.height) == (60, 12)
    resize(terminal.fileno(), columns=100, rows=30)
    assert (screen.width, screen.height) == (100, 30)


def test_environment_variables_take_precedence_over_the_size_of_the_terminal(
    terminal: io.TextIOWrapper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "72")
    assert (Screen(terminal).width, Screen(terminal).height) == (72, 12)


def test_terminal_without_a_size_has_80_columns_and_24_rows(terminal: io.TextIOWrapper) -> None:
    resize(terminal.fileno(), columns=0, rows=0)
    assert (Screen(terminal).width, Screen(terminal).height) == (80, 24)
