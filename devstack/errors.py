"""Errors that stop a command of the development stack (``python -m devstack``)."""

from __future__ import annotations

from pathlib import Path


class StackError(Exception):
    """The command can't continue. ``python -m devstack`` prints the message without a traceback."""


class MissingToolError(StackError):
    """A program or library is not on this machine, and can't be downloaded or built."""


class NotReadyError(StackError):
    """A component did not become ready. The message has the end of the component's log."""

    def __init__(self, name: str, why: str, log: Path, lines: int = 25) -> None:
        tail = log.read_text(errors="replace").splitlines()[-lines:] if log.exists() else ["(no log)"]
        shown = "\n".join(f"    {line}" for line in tail)
        super().__init__(f"{name} {why}. The end of its log:\n{shown}\n  whole log: {log}")
