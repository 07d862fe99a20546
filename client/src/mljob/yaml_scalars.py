"""A YAML loader that resolves unquoted scalars as kubectl does, and a dumper that quotes the texts
that kubectl would not read as texts.

kubectl uses go-yaml v2, which deviates from YAML 1.1: ``1e-3`` is a number, ``1:30`` is a text, and
``y`` is a boolean. A number that Go can't represent is a text: ``123e4567`` can be a Git commit. A
date or time is a text, because kubectl converts YAML to JSON.

Source: ``goyaml.v2/resolve.go`` and ``yaml.go`` of github.com/kubernetes-sigs/yaml
"""

from __future__ import annotations

import json
import math
import re
import struct
from typing import Any, ClassVar

import yaml
from yaml.nodes import Node, ScalarNode

_TAG = "tag:yaml.org,2002:"
_REPLACED = frozenset(f"{_TAG}{name}" for name in ("bool", "int", "float", "timestamp", "value"))
_OCTAL = re.compile(r"^([-+]?)0(?=\d)")
"""The beginning of an octal number without an ``o``, such as ``017``."""
_MAX_WHOLE = 2.0**63
"""Smaller floats without a fraction are integers in Kubernetes."""
_PREFIX = re.compile(r"[-+]?0[bBoOxX]")
"""The beginning of an integer that is a text if the integer has more than 64 bits. Other integers with
more than 64 bits are floats.
"""


class Loader(yaml.CSafeLoader):
    """Loads YAML as kubectl does."""

    bool_values: ClassVar[dict[str, bool]] = {**yaml.CSafeLoader.bool_values, "y": True, "n": False}

    def resolve(self, kind: type[Node], value: str, implicit: tuple[bool, bool]) -> str:
        """Return the YAML tag of a node without a tag. ``value`` is the text of a scalar."""
        tag: str = super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]
        return f"{_TAG}str" if _is_out_of_range(tag, value) else tag

    def construct_integer(self, node: ScalarNode) -> int:
        """Return the integer that a scalar writes.

        Raises:
            ValueError: The scalar is not an integer.
        """
        return _integer(str(node.value))


class Dumper(yaml.SafeDumper):
    """Dumps YAML that kubectl and YAML 1.1 read alike."""


def _integer(text: str) -> int:
    return int(_OCTAL.sub(r"\g<1>0o", text.replace("_", "")), 0)


def _is_out_of_range(tag: str, text: str) -> bool:
    """Return whether Go has no number for a scalar that is written as a number."""
    if tag == f"{_TAG}float":
        is_finite = text.lstrip("+-").lower() not in (".inf", ".nan")
        return is_finite and math.isinf(float(text.replace("_", "")))
    if tag == f"{_TAG}int" and _PREFIX.match(text):
        return not -(2**63) <= _integer(text) < (2**63 if text[0] in "+-" else 2**64)
    return False


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _REPLACED]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}
Loader.add_constructor(f"{_TAG}int", Loader.construct_integer)
for _name, _pattern, _first in (
    ("bool", r"[yYnN]|yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF", "yYnNtTfFoO"),
    (
        "int",
        r"[-+]?(?:0[bB]_*[01][01_]*|0[oO]_*[0-7][0-7_]*|0[xX]_*[0-9a-fA-F][0-9a-fA-F_]*|0[0-7_]*|[1-9][0-9_]*)",
        "-+0123456789",
    ),
    (
        "float",
        r"[-+]?(?:\.[0-9][0-9_]*|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9][0-9_]*)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        "-+.0123456789",
    ),
):
    for _class in (Loader, Dumper):
        _class.add_implicit_resolver(f"{_TAG}{_name}", re.compile(rf"(?:{_pattern})\Z"), list(_first))


def stored_key(loader: Loader, node: ScalarNode) -> str | None:
    """Return the key that kubectl sends to the API server for the key ``node`` of a mapping, such as
    ``true`` for ``on``. Return None if kubectl refuses the key.
    """
    try:
        value: Any = loader.construct_object(node)
    except (yaml.YAMLError, ValueError):
        return None
    if value is None:
        return None
    if isinstance(value, float):
        return _float_key(value)
    return value if isinstance(value, str) else json.dumps(value)


def _float_key(number: float) -> str:
    """Return the text of the nearest number with 32 bits, as kubectl writes the keys of mappings."""
    try:
        single = _single(number)
    except OverflowError:
        single = math.copysign(math.inf, number)
    if not math.isfinite(single):
        return {math.inf: ".inf", -math.inf: "-.inf"}.get(single, ".nan")
    written = (f"{single:.{digits}e}" for digits in range(9))
    shortest = next(text for text in written if _single(float(text)) == single)
    exponent = int(shortest.partition("e")[2])
    return f"{float(shortest):.9g}" if -4 <= exponent < 6 else shortest


def _single(number: float) -> float:
    """Return the nearest number with 32 bits.

    Raises:
        OverflowError: The number is too large for 32 bits.
    """
    [single] = struct.unpack("f", struct.pack("f", number))
    return float(single)


def whole(value: Any) -> Any:
    """Replace floats without a fraction by integers, also within objects and lists, as kubectl and the
    API server do: 1e3 is 1000.
    """
    if isinstance(value, dict):
        return {key: whole(item) for key, item in value.items()}
    if isinstance(value, list):
        return [whole(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < _MAX_WHOLE else value
