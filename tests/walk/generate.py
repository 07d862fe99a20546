"""Generates random values from the schema of a CRD.

Nearly all values match the schema. The values may break its CEL rules, but nearly all values
satisfy the rules of these two kinds:

- ``self.matches(r'...')``
- ``[has(self.a), ...].filter(x, x).size() == 1``: exactly one of the fields is present.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import reduce
from re import _constants as words  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

Schema = Mapping[str, Any]
Choice = Callable[[random.Random], Any]

CLASSES = {r"\p{L}": "a-zA-Zéжλ数", r"\p{N}": "0-9٣"}
"""Some characters of each Unicode class that Python's regular expressions lack."""
HINTED = 0.9
"""The probability that the value of a field is chosen by the field's hint, if the field has one."""
PATTERNED = 0.95
"""The probability that a string is made to match its pattern."""
AT_A_BOUND = 0.1
"""The probability that an integer or a length is the minimum or the maximum that the schema allows.
"""
TOO_DEEP = 0.03
"""The probability that a free-form object is nested more deeply than the operator allows."""
LONG = 40
"""The maximum number of characters of a string, or of items of a list, if the schema has no
maximum.
"""

_ONE_OF = re.compile(r"\[(has\(self\.\w+\)(?:, has\(self\.\w+\))*)\]\.filter\(x, x\)\.size\(\) == 1")
_HAS = re.compile(r"has\(self\.(\w+)\)")
_MATCHES = re.compile(r"self\.matches\(r'(.*)'\)")
_TEXTS = (
    "",
    "a",
    "ü",
    "名前",
    "🙂",
    "a b",
    "line\nbreak",
    "null",
    "0",
    "true",
    "-",
    "'\"\\",
    "{{ ds }}",
    "<b>",
    "%s",
    "é" * 40,
)
_NUMBERS = (0, 1, -1, 2**31, 2**53, -(2**53), 0.5, -1.5e300, 1e-300)


def fixed(*values: Any) -> Choice:
    return lambda rng: rng.choice(values)


class Generator:
    """Generates values from a schema. The same seed of ``rng`` leads to the same values.

    Args:
        rng: The random number generator.
        hints: Functions that return the value of a field, by the path of the field, for example
            ``.cancellation.timeoutSeconds``. With the probability :data:`HINTED`, the value comes
            from the function. Otherwise, the value comes from the schema.
    """

    def __init__(self, rng: random.Random, hints: Mapping[str, Choice] | None = None) -> None:
        self._rng = rng
        self._hints = hints or {}

    def value(self, schema: Schema, path: str = "") -> Any:
        """Return a random value for the field at ``path``. Nearly all values match ``schema``."""
        if path in self._hints and self._rng.random() < HINTED:
            return self._hints[path](self._rng)
        if "enum" in schema:
            return self._rng.choice(schema["enum"])
        match schema.get("type"):
            case "object":
                return self._object(schema, path)
            case "array":
                return self._array(schema, path)
            case "string":
                return self._string(schema)
            case "integer":
                return self._integer(schema)
            case "boolean":
                return self._rng.random() < 0.5
            case "number":
                return self._rng.choice(_NUMBERS)
            case other:
                raise AssertionError(f"{path}: the walk does not know type {other}")

    def some(self, schema: Schema, share: float, path: str = "") -> dict[str, Any]:
        """Return a random object for ``schema``. Each optional field is present with the probability
        ``share``. If a CEL rule demands exactly one of several fields, exactly one of these fields
        is present.
        """
        fields, required = schema.get("properties", {}), set(schema.get("required", ()))
        chosen = {name for name in fields if name in required or self._rng.random() < share}
        for rule in _rules(schema, _ONE_OF):
            alternatives = _HAS.findall(rule[1])
            chosen = chosen - set(alternatives) | {self._rng.choice(alternatives)}
        return {name: self.value(field, f"{path}.{name}") for name, field in fields.items() if name in chosen}

    def json(self, depth: int = 5) -> Any:
        kinds = ["text", "number", "constant", "list", "object"] if depth else ["text", "number", "constant"]
        match self._rng.choice(kinds):
            case "text":
                return self._rng.choice(_TEXTS)
            case "number":
                return self._rng.choice(_NUMBERS)
            case "constant":
                return self._rng.choice((None, True, False))
            case "list":
                return [self.json(depth - 1) for _ in range(self._rng.randint(0, 3))]
            case _:
                return {self._rng.choice(_TEXTS): self.json(depth - 1) for _ in range(self._rng.randint(0, 3))}

    def _object(self, schema: Schema, path: str) -> dict[str, Any]:
        if schema.get("x-kubernetes-preserve-unknown-fields"):
            if self._rng.random() < TOO_DEEP:
                return reduce(lambda inner, _: {"deeper": inner}, range(40), {})
            return {self._rng.choice(_TEXTS): self.json() for _ in range(self._rng.randint(0, 3))}
        if "additionalProperties" in schema:
            of = schema["additionalProperties"]
            return {f"key-{number}": self.value(of, path) for number in range(self._rng.randint(0, 3))}
        return self.some(schema, self._rng.choice((0.2, 0.5, 1.0)), path)

    def _array(self, schema: Schema, path: str) -> list[Any]:
        count = self._between(schema.get("minItems", 0), schema.get("maxItems", LONG), usual=3)
        items = [self.value(schema["items"], f"{path}[]") for _ in range(count)]
        keys = schema.get("x-kubernetes-list-map-keys")
        if keys is None:
            return items
        return list({tuple(item.get(key) for key in keys): item for item in items}.values())

    def _string(self, schema: Schema) -> str:
        least, most = schema.get("minLength", 0), schema.get("maxLength", LONG)
        if schema.get("format") == "date-time":
            return self._time()
        pattern = schema.get("pattern") or next((found[1] for found in _rules(schema, _MATCHES)), None)
        length = self._between(least, min(most, 4096), usual=12)
        if pattern is not None and self._rng.random() < PATTERNED:
            return self._matching(pattern, length)[:most]
        return "".join(self._rng.choice("aZ9_-. /ü🙂") for _ in range(length))

    def _integer(self, schema: Schema) -> int:
        return self._between(schema.get("minimum", -(2**31)), schema.get("maximum", 2**31 - 1), usual=None)

    def _between(self, least: int, most: int, *, usual: int | None) -> int:
        if self._rng.random() < AT_A_BOUND:
            return self._rng.choice((least, most))
        return self._rng.randint(least, most if usual is None else max(least, min(most, usual)))

    def _time(self) -> str:
        at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self._rng.randint(-(10**9), 10**9))
        return at.isoformat().replace("+00:00", self._rng.choice(("Z", "+00:00", "+05:30", "-11:00", ".123456Z")))

    # Patterns

    def _matching(self, pattern: str, length: int) -> str:
        """Return a string that matches ``pattern``. ``length`` is only a rough guide: the string
        may be longer or shorter.
        """
        for unicode_class, some in CLASSES.items():
            pattern = pattern.replace(unicode_class, some)
        return "".join(self._parts(parser.parse(pattern), length))

    def _parts(self, parsed: Sequence[Any], length: int) -> list[str]:
        parts: list[str] = []
        for kind, what in parsed:
            if kind is words.LITERAL:
                parts.append(chr(what))
            elif kind is words.IN:
                parts.append(self._one_of(what))
            elif kind is words.ANY:
                parts.append("a")
            elif kind is words.SUBPATTERN:
                parts += self._parts(what[-1], length)
            elif kind is words.BRANCH:
                parts += self._parts(self._rng.choice(what[1]), length)
            elif kind in (words.MAX_REPEAT, words.MIN_REPEAT):
                least, most, of = what
                for _ in range(max(least, min(int(most), length) if self._rng.random() < 0.8 else least)):
                    parts += self._parts(of, length if most == 1 else 1)
            elif kind is not words.AT:
                raise AssertionError(f"the walk does not know {kind} in a pattern")
        return parts

    def _one_of(self, members: Sequence[Any]) -> str:
        if members[0][0] is words.NEGATE:
            return self._rng.choice("abcXYZ019-_.:ü")
        kind, what = self._rng.choice(members)
        if kind is words.RANGE:
            return chr(self._rng.randint(*what))
        if kind is words.CATEGORY:
            return self._rng.choice("aZ9")
        return chr(what)


def _rules(schema: Schema, kind: re.Pattern[str]) -> Iterator[re.Match[str]]:
    for rule in schema.get("x-kubernetes-validations", ()):
        if (found := kind.fullmatch(rule["rule"])) is not None:
            yield found
