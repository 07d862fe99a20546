"""What stops the stack, said to a person: what is missing or wrong, and what they can do about it."""

from __future__ import annotations

from pathlib import Path


class StackError(Exception):
    """The stack can't go on; the message is meant for the terminal, without a traceback."""


class MissingToolError(StackError):
    """Something this machine needs could neither be found nor fetched."""


class NotReadyError(StackError):
    """A component did not become ready; shows the end of its log, where the reason nearly always is."""

    def __init__(self, name: str, why: str, log: Path, lines: int = 25) -> None:
        tail = log.read_text(errors="replace").splitlines()[-lines:] if log.exists() else ["(no log)"]
        shown = "\n".join(f"    {line}" for line in tail)
        super().__init__(f"{name} {why}. The end of its log:\n{shown}\n  whole log: {log}")
