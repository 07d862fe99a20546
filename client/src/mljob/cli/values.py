"""Values of a conf on a command line: ``--set optimizer.lr=0.1``, ``--grid epochs=5,10`` and
``--conf FILE``. A value is YAML: 20 is a number, true is a boolean.

The parameter ``option`` of these functions is the command-line option that an error names.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import typer

MAX_ASSIGNMENTS = 200
"""The maximum number of options ``--set``, ``--grid`` or ``--label`` in a command."""
MAX_LENGTH = 64 * 1024
"""The maximum number of characters of one value."""
MAX_FILE_BYTES = 1024 * 1024
"""The maximum size of a file for ``--conf``, in bytes."""
_PART = re.compile(r"(?:\\.|[^.\\]|\\$)+", re.DOTALL)
_PATH = re.compile(rf"{_PART.pattern}(?:\.{_PART.pattern})*", re.DOTALL)


def assigned(texts: Iterable[str], option: str = "--set") -> dict[str, Any]:
    """Convert texts such as ``optimizer.lr=0.1`` to a conf. A dot in the key begins a nested
    object: ``{"optimizer": {"lr": 0.1}}``. A dot after a backslash is part of the key.

    Raises:
        typer.BadParameter: A text is not ``KEY=VALUE``, a key has an empty part, a value can't be
            parsed, there are more than :data:`MAX_ASSIGNMENTS` texts, or two texts contradict each
            other, such as ``a=1`` and ``a.b=1``.
    """
    conf: dict[str, Any] = {}
    for key, value in _split(texts, option):
        steps = path_of(key, option)
        place = conf
        for step in steps[:-1]:
            place = place.setdefault(step, {})
            if not isinstance(place, dict):
                raise typer.BadParameter(f"{key!r} contradicts an earlier value of {step!r}", param_hint=option)
        if isinstance(place.get(steps[-1]), dict):
            raise typer.BadParameter(f"{key!r} contradicts earlier values below it", param_hint=option)
        place[steps[-1]] = parsed(value, key, option)
    return conf


def grid_of(texts: Iterable[str], option: str = "--grid") -> dict[str, list[Any]]:
    """Convert texts such as ``epochs=5,10`` to a grid: a list of values for each param. A param is a
    top-level key of the conf. A dot in the key must come after a backslash.

    Raises:
        typer.BadParameter: A text is not ``KEY=VALUES``, a key is not a top-level key, a value
            can't be parsed, there are more than :data:`MAX_ASSIGNMENTS` texts, or two texts name
            the same param.
    """
    grid: dict[str, list[Any]] = {}
    for key, value in _split(texts, option):
        param = _top_level_key(key, option)
        if param in grid:
            raise typer.BadParameter(f"{key!r} is there twice; write all its values once", param_hint=option)
        listed = value if value.lstrip().startswith("[") else f"[{value}]"
        found = parsed(listed, key, option)
        grid[param] = found if isinstance(found, list) else [found]
    return grid


def conf_file(path: str) -> dict[str, Any]:
    """Return the conf in a YAML or JSON file. The path ``-`` means standard input.

    Raises:
        typer.BadParameter: The file can't be read or parsed, has more than :data:`MAX_FILE_BYTES`
            bytes, or its content is not one object.
    """
    text = read(path, MAX_FILE_BYTES, "--conf")
    value = _one_document(text, path, "--conf")
    if not isinstance(value, dict):
        raise typer.BadParameter(f"{path}: the file holds no object of keys and values", param_hint="--conf")
    return value


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return a conf with the keys of both confs. Values in ``over`` have priority. Nested objects
    are merged too.
    """
    both = dict(base)
    for key, value in over.items():
        known = both.get(key)
        both[key] = merged(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
    return both


def labels_of(texts: Iterable[str]) -> dict[str, str]:
    """Convert texts such as ``team=vision`` to labels by key.

    Raises:
        typer.BadParameter: A text is not ``KEY=VALUE``, or there are more than
            :data:`MAX_ASSIGNMENTS` texts.
    """
    return dict(_split(texts, "--label"))


def read(path: str, limit: int, option: str) -> str:
    """Return the text of a file. The path ``-`` means standard input.

    Raises:
        typer.BadParameter: The file can't be read, is larger than ``limit`` bytes, or is not UTF-8.
    """
    try:
        if path == "-":
            content = sys.stdin.buffer.read(limit + 1)
        else:
            with Path(path).open("rb") as file:
                content = file.read(limit + 1)
    except OSError as error:
        raise typer.BadParameter(f"{path}: {error.strerror or error}", param_hint=option) from None
    if len(content) > limit:
        raise typer.BadParameter(f"{path}: the file has more than {limit} bytes", param_hint=option)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise typer.BadParameter(f"{path}: the file is not UTF-8, at byte {error.start}", param_hint=option) from None


def path_of(key: str, option: str) -> list[str]:
    """Split a dotted key, such as ``optimizer.lr``. A dot after a backslash does not separate
    parts.

    Raises:
        typer.BadParameter: A part is empty.
    """
    if not _PATH.fullmatch(key):
        raise typer.BadParameter(f"{key[:100]!r} is not a key such as epochs or optimizer.lr", param_hint=option)
    return [re.sub(r"\\([.\\])", r"\1", part) for part in _PART.findall(key)]


def _top_level_key(key: str, option: str) -> str:
    """Return a key without the backslashes before its dots.

    Raises:
        typer.BadParameter: The key has a dot without a backslash.
    """
    first, *below = path_of(key, option)
    if below:
        escaped = r"\.".join(_PART.findall(key))
        values = ["VALUE1", "VALUE2"]
        for part in reversed(below):
            values = [f"{{{part}: {value}}}" for value in values]
        raise typer.BadParameter(
            f"{key[:100]!r} is not a top-level key of the conf. If the dot is part of the key, write '{escaped[:100]}'. "
            f"To vary a value inside an object, write the whole objects: {option} '{first}=[{', '.join(values)}]'"[
                :1000
            ],
            param_hint=option,
        )
    return first


def parsed(text: str, key: str, option: str) -> Any:
    """Parse a text as YAML. For an empty or blank text, return an empty string.

    Raises:
        typer.BadParameter: The text has more than :data:`MAX_LENGTH` characters, is not one YAML
            document, or contains a value that JSON can't represent.
    """
    if len(text) > MAX_LENGTH:
        raise typer.BadParameter(
            f"{key}: the value has more than {MAX_LENGTH} characters; use --conf", param_hint=option
        )
    return _one_document(text, key, option) if text.strip() else ""


def _one_document(text: str, what: str, option: str) -> Any:
    from ..documents import DocumentError, documents

    try:
        found = list(documents(text))
    except DocumentError as error:
        raise typer.BadParameter(f"{what}: {error}", param_hint=option) from None
    if len(found) > 1:
        raise typer.BadParameter(f"{what}: more than one YAML document", param_hint=option)
    if found and found[0].findings:
        raise typer.BadParameter(f"{what}: {found[0].findings[0]}", param_hint=option)
    return found[0].value if found else None


def _split(texts: Iterable[str], option: str) -> list[tuple[str, str]]:
    pairs = []
    for text in texts:
        key, is_one, value = text.partition("=")
        if not is_one or not key.strip():
            raise typer.BadParameter(f"{text[:100]!r} is not KEY=VALUE", param_hint=option)
        pairs.append((key.strip(), value))
    if len(pairs) > MAX_ASSIGNMENTS:
        raise typer.BadParameter(f"{len(pairs)} are more than {MAX_ASSIGNMENTS}; use --conf", param_hint=option)
    return pairs
