"""JSON that is nested deeply breaks neither a reader nor a writer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mljob.json_text import MAX_LEVELS, parse_json, shallow


def nested(levels: int) -> Any:
    value: Any = 1
    for level in range(levels):
        value = [value] if level % 2 else {"a": value}
    return value


def levels_of(value: Any) -> tuple[int, Any]:
    """Return the number of levels of nested objects and lists, and the innermost value."""
    levels = 0
    while isinstance(value, dict | list):
        levels += 1
        value = value["a"] if isinstance(value, dict) else value[0]
    return levels, value


@pytest.mark.parametrize("value", [None, 1, "text", [], {}, {"a": [1, {"b": None}], "c": "[[["}])
def test_value_of_few_levels_stays_as_it_is(value: Any) -> None:
    assert shallow(value) == value


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        (MAX_LEVELS, (MAX_LEVELS, 1)),
        (MAX_LEVELS + 1, (MAX_LEVELS, None)),
        (100_000, (MAX_LEVELS, None)),
    ],
)
def test_levels_below_the_limit_are_none_and_the_given_value_is_not_changed(
    levels: int, expected: tuple[int, Any]
) -> None:
    given = nested(levels)
    assert levels_of(shallow(given)) == expected
    assert levels_of(given) == (levels, 1)


def test_printed_json_has_as_many_levels_as_json_that_is_too_deep_to_read() -> None:
    text = b"[" * 100_000 + b"]" * 100_000
    assert shallow(parse_json(text)) == parse_json(text)
    assert json.dumps(parse_json(text)) == "[" * MAX_LEVELS + "null" + "]" * MAX_LEVELS
