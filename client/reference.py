"""Writes the reference of the commands of ``kubectl mljob`` into ``docs/kubectl-mljob.md``, between
the comments "commands" and "end of commands". With ``--check``, the program fails if the page is
outdated.

The reference consists of the help texts of the commands and of their options.
"""

from __future__ import annotations

import inspect
import re
import sys
import textwrap
from pathlib import Path
from typing import Any

from typer.main import get_command

from mljob.cli.app import PROGRAM, application

PAGE = Path(__file__).resolve().parents[1] / "docs" / "kubectl-mljob.md"
MARKED = re.compile(r"(<!-- commands -->\n).*(<!-- end of commands -->)", re.DOTALL)
SHARED = ("namespace", "context", "kubeconfig", "help")
"""Options that all commands have, and that the page explains once."""


def filled(page: str) -> str:
    """Return ``page``, the text of the page, with the current reference."""
    commands: dict[str, Any] = get_command(application()).commands  # type: ignore[attr-defined]
    return MARKED.sub(lambda mark: f"{mark[1]}\n{''.join(map(_section, commands.values()))}{mark[2]}", page)


def _section(command: Any) -> str:
    words = [f"{PROGRAM} {command.name}", *(_argument(each) for each in command.params if _is_argument(each))]
    paragraphs = inspect.cleandoc(command.help).split("\n\n")
    told = "\n\n".join(textwrap.fill(" ".join(each.split()), 100, break_on_hyphens=False) for each in paragraphs)
    options = [_row(each) for each in command.params if not _is_argument(each) and each.name not in SHARED]
    table = f"| Option | Meaning |\n|---|---|\n{''.join(options)}\n" if options else ""
    return f"### `{command.name}`\n\n```text\n{' '.join([*words, '[OPTIONS]'])}\n```\n\n{told}\n\n{table}"


def _argument(argument: Any) -> str:
    name = (argument.metavar or argument.name.upper()).strip("[]{}")
    shown = name if argument.required else f"[{name}]"
    return f"{shown}..." if argument.nargs == -1 else shown


def _row(option: Any) -> str:
    names = ", ".join(f"`{name}`" for name in sorted([*option.opts, *option.secondary_opts], key=len))
    value = "" if option.is_flag else f" `{option.metavar}`"
    return f"| {names}{value} | {option.help} |\n"


def _is_argument(parameter: Any) -> bool:
    return bool(parameter.param_type_name == "argument")


def main(arguments: list[str]) -> int:
    """Write the page, and return 0. With ``--check``, write nothing, and return 1 if the page is
    outdated.
    """
    current = PAGE.read_text()
    wanted = filled(current)
    if "--check" not in arguments:
        PAGE.write_text(wanted)
    elif wanted != current:
        print(f"{PAGE.name} is not what the commands say. Run make generate.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
