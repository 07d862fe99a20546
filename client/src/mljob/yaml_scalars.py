"""A YAML loader that resolves unquoted scalars as kubectl does, and a dumper that quotes the texts
that kubectl would not read as texts.

kubectl uses go-yaml v2, which deviates from YAML 1.1: ``1e-3`` is a number, ``1:30`` is a text, and
``y`` is a boolean. A date or time is a text, because kubectl converts YAML to JSON.

Source: ``goyaml.v2/resolve.go`` and ``yaml.go`` of github.com/kubernetes-sigs/yaml
"""

from __future__ import annotations

import json
import re
from typing import Any, ClassVar

import yaml
from yaml.nodes import ScalarNode

_TAG = "tag:yaml.org,2002:"
_REPLACED = frozenset(f"{_TAG}{name}" for name in ("bool", "int", "float", "timestamp"))
_OCTAL = re.compile(r"^([-+]?)0(?=\d)")
"""The beginning of an octal number without an ``o``, such as ``017``."""
_MAX_WHOLE = 2.0**63
"""Smaller floats without a fraction are integers in Kubernetes."""


class Loader(yaml.CSafeLoader):
    """Loads YAML as kubectl does."""

    bool_values: ClassVar[dict[str, bool]] = {**yaml.CSafeLoader.bool_values, "y": True, "n": False}

    def construct_integer(self, node: ScalarNode) -> int:
        """Return the integer that a scalar writes.

        Raises:
            ValueError: The scalar is not an integer.
        """
        return int(_OCTAL.sub(r"\g<1>0o", str(node.value).replace("_", "")), 0)


class Dumper(yaml.SafeDumper):
    """Dumps YAML that kubectl and YAML 1.1 read alike."""


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
    return value if isinstance(value, str) else json.dumps(whole(value))


def whole(value: Any) -> Any:
    """Replace floats without a fraction by integers, also within objects and lists, as kubectl and the
    API server do: 1e3 is 1000.
    """
    if isinstance(value, dict):
        return {key: whole(item) for key, item in value.items()}
    if isinstance(value, list):
        return [whole(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < _MAX_WHOLE else value
