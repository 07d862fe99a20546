"""Options and arguments that several commands share. The options except ``--yes`` have the names of
kubectl's options.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import is_dataclass
from enum import StrEnum
from typing import Annotated, Any

import typer

from . import completion


class Format(StrEnum):
    """An output format of the option ``-o``."""

    JSON = "json"
    YAML = "yaml"
    NAME = "name"


Name = Annotated[
    str,
    typer.Argument(metavar="NAME", help="The name of an MLJob.", autocompletion=completion.jobs, show_default=False),
]
Names = Annotated[
    list[str] | None,
    typer.Argument(metavar="NAME", help="Names of MLJobs.", autocompletion=completion.jobs, show_default=False),
]
Selector = Annotated[
    str | None,
    typer.Option(
        "--selector",
        "-l",
        metavar="LABELS",
        help="A label selector, such as team=vision,stage!=test.",
        show_default=False,
    ),
]
AllNamespaces = Annotated[bool, typer.Option("--all-namespaces", "-A", help="MLJobs of all namespaces.")]
Output = Annotated[
    Format | None,
    typer.Option(
        "--output", "-o", metavar="FORMAT", help="Print the objects as json, yaml or name.", show_default=False
    ),
]
Timeout = Annotated[
    str | None,
    typer.Option(
        "--timeout",
        metavar="DURATION",
        help="How long to wait, such as 90s, 30m or 2h. Default: until the end.",
        show_default=False,
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")]


def with_groups(command: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that typer can use as a command. The function calls ``command``.

    A parameter of ``command`` whose type is a dataclass is a group of options. Typer sees an option
    for each field of the dataclass, and ``command`` gets an object of the dataclass. If the object
    is a context manager, ``command`` runs in the object's ``with`` block, and gets the value of
    ``__enter__`` instead of the object.
    """
    signature = inspect.signature(command, eval_str=True)
    annotations: dict[str, Any] = {name: given.annotation for name, given in signature.parameters.items()}
    groups: dict[str, Any] = {name: kind for name, kind in annotations.items() if is_dataclass(kind)}
    members = {name: _members(group) for name, group in groups.items()}

    @functools.wraps(command)
    def run(**given: Any) -> Any:
        with ExitStack() as opened:
            for name, group in groups.items():
                value: Any = group(**{option.name: given.pop(option.name) for option in members[name]})
                given[name] = opened.enter_context(value) if hasattr(value, "__enter__") else value
            return command(**given)

    own = [given for name, given in signature.parameters.items() if name not in groups]
    shown = [given.replace(kind=inspect.Parameter.KEYWORD_ONLY) for given in own]
    shown += [option for options in reversed(members.values()) for option in options]
    run.__signature__ = signature.replace(parameters=shown)  # type: ignore[attr-defined]
    run.__annotations__ = {option.name: option.annotation for option in shown}
    del run.__wrapped__
    return run


def _members(group: type[Any]) -> list[inspect.Parameter]:
    return [
        given.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for given in inspect.signature(group, eval_str=True).parameters.values()
    ]


def seconds(duration: str | None) -> float | None:
    """Convert a duration such as ``1h30m`` to seconds. The units are h, m, s and ms. A whole number
    without a unit is in seconds. For None, return None.

    Raises:
        typer.BadParameter: ``duration`` is not a duration.
    """
    import re

    if duration is None:
        return None
    units = {"h": 3600, "m": 60, "s": 1, "ms": 0.001}
    text = f"{duration}s" if re.fullmatch(r"\d{1,9}", duration) else duration
    parts = re.findall(r"(\d{1,9}(?:\.\d{1,9})?)(ms|h|m|s)", text[:100])
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise typer.BadParameter(
            f"{duration[:100]!r} is not a duration such as 90s, 30m or 1h30m", param_hint="--timeout"
        )
    return sum(float(number) * units[unit] for number, unit in parts)
