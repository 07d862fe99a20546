"""The code blocks in the pages of the documentation.

The comment ``<!-- not checked: REASON -->`` above a block excludes the block from all tests. The
comment ``<!-- not run: REASON -->`` says why no test runs some commands of the block.
"""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from docs.build import PAGES, ROOT

__all__ = ["PAGES", "ROOT", "Block", "blocks", "commands", "commands_in", "typed"]

FENCED = re.compile(
    r"(?:^ *<!-- not (?P<lacks>checked|run): (?P<why>[^\n]+?) -->\n+)?"
    r"^(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^(?P=indent)```",
    re.DOTALL | re.MULTILINE,
)
SEPARATORS = frozenset({"|", "&&", "||", ";", "do", "then"})
"""Tokens that end a command within a line of a shell."""


@dataclass(frozen=True)
class Block:
    """A code block of a documentation page.

    Attributes:
        where: The page and the line of the block, for messages.
        why_unchecked: The reason in the comment ``not checked``; empty if there is no such comment.
        why_not_run: The reason in the comment ``not run``; empty if there is no such comment.
    """

    where: str
    language: str
    text: str
    why_unchecked: str = ""
    why_not_run: str = ""


def blocks(page: Path, *languages: str) -> Iterator[Block]:
    """Yield the blocks of the page whose language is in ``languages``, except blocks with the
    comment ``not checked``. Without ``languages``, yield all blocks of the page, including blocks
    with this comment.
    """
    text = page.read_text()
    for found in FENCED.finditer(text):
        line = text.count("\n", 0, found.start("language")) + 1
        block = Block(
            f"{page.relative_to(ROOT)}:{line}",
            found["language"],
            textwrap.dedent(found["text"]),
            why_unchecked=found["why"] if found["lacks"] == "checked" else "",
            why_not_run=found["why"] if found["lacks"] == "run" else "",
        )
        if not languages or (block.language in languages and not block.why_unchecked):
            yield block


def typed(block: Block) -> list[str]:
    """Return the commands in a console block, without the prompt ``$`` and without the output. A
    command may have several lines.
    """
    commands_so_far: list[str] = []
    goes_on = False
    for line in block.text.splitlines():
        if goes_on:
            commands_so_far[-1] += f"\n{line}"
        elif line.startswith("$ "):
            commands_so_far.append(line.removeprefix("$ "))
        goes_on = bool(commands_so_far) and (line.endswith("\\") or _has_open_loop(commands_so_far[-1]))
    return commands_so_far


def _has_open_loop(text: str) -> bool:
    return len(re.findall(r"\bdo$", text, re.MULTILINE)) > len(re.findall(r"\bdone\b", text))


def commands(block: Block) -> Iterator[Sequence[str]]:
    yield from commands_in("\n".join(typed(block)))


def commands_in(text: str) -> Iterator[Sequence[str]]:
    """Yield each simple command of a shell text as a list of words. ``a | b`` contains two simple
    commands, and ``NAME=$(a)`` contains the simple command ``a``.
    """
    text = text.replace("\\\n", " ")
    text = re.sub(r"^\w+=\$\((.*)\)$", r"\1", text, flags=re.MULTILINE)
    for line in text.splitlines():
        words: list[str] = []
        for word in [*_words(line), ";"]:
            if word not in SEPARATORS:
                words.append(word.removesuffix(";"))
            if word in SEPARATORS or word.endswith(";"):
                if words:
                    yield words
                words = []


def _words(line: str) -> list[str]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars="")
    lexer.whitespace_split = True
    return list(lexer)
