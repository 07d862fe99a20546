"""Checks objects against the schemas in this package's copies of the CRDs, and against the
validation rules in these schemas. The rules are written in CEL (kubernetes.io: "Validation rules").

``make generate`` copies the CRDs from ``crds/`` into this package.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any

import cel
import yaml
from pydantic import AwareDatetime, TypeAdapter, ValidationError

from mljob_contract.times import Time

from ..findings import Finding, meant
from ..misfits import DATE_TIME, quoted

Node = dict[str, Any]
CRDS = files(__package__) / "crds"
_OLD = "oldSelf"
"""The variable of rules about a change of an object. A manifest has no earlier object."""
_TIME_FORMAT = re.compile(r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})", re.ASCII)
"""The format ``date-time`` of RFC 3339, 5.6."""
_TIME = TypeAdapter[datetime](Time | AwareDatetime)
"""A validator of the times that the API server accepts. The validator also accepts a time outside
of the years that the rules allow, so that a rule can report the year.
"""


@cache
def schema_of(kind: str) -> Node:
    """Return the OpenAPI schema in the CRD of a kind.

    Raises:
        KeyError: This package has no CRD of this kind.
    """
    for file in CRDS.iterdir():
        if file.name.endswith(".yaml"):
            definition = yaml.load(file.read_text(encoding="utf-8"), yaml.CSafeLoader)
            if definition["spec"]["names"]["kind"] == kind:
                schema: Node = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
                return schema
    raise KeyError(kind)


def unknown_fields(value: Any, schema: Node, path: str = "") -> Iterator[Finding]:
    """Yield a finding for each field that the schema doesn't have. By default, the API server drops
    such fields.
    """
    if isinstance(value, list) and "items" in schema:
        for index, item in enumerate(value):
            yield from unknown_fields(item, schema["items"], f"{path}[{index}]")
    known = schema.get("properties")
    if not isinstance(value, dict) or known is None:
        return
    for name, child in value.items():
        below = f"{path}.{name}" if path else name
        if name in known:
            yield from unknown_fields(child, known[name], below)
        else:
            yield Finding(below, f"there is no such field{meant(name, known)}; the API server would drop it")


def broken_rules(value: Any, schema: Node, path: str = "") -> Iterator[Finding]:
    """Yield a finding for each validation rule that a value violates. Rules that compare the value
    with an earlier version are skipped. A rule that can't be evaluated, for example because a field
    is missing, is skipped too.
    """
    if value is None:
        return
    yield from _broken_here(value, schema, path)
    if isinstance(value, list) and "items" in schema:
        for index, item in enumerate(value):
            yield from broken_rules(item, schema["items"], f"{path}[{index}]")
    elif isinstance(value, dict):
        for name, child in schema.get("properties", {}).items():
            yield from broken_rules(value.get(name), child, f"{path}.{name}" if path else name)


def _broken_here(value: Any, schema: Node, path: str) -> Iterator[Finding]:
    rules = [rule for rule in schema.get("x-kubernetes-validations", ()) if _OLD not in rule["rule"]]
    if not rules:
        return
    known = {"self": as_the_server_sees(value, schema)}
    for rule in rules:
        try:
            holds = cel.evaluate(rule["rule"], known)
        except (ValueError, TypeError, RuntimeError, KeyError):
            continue
        if holds is not True:
            yield Finding((path + rule.get("fieldPath", "")).removeprefix("."), rule["message"])


def wrong_times(value: Any, schema: Node, path: str = "") -> Iterator[Finding]:
    """Yield a finding for each text in a time field that does not have the format of an RFC 3339
    time. The models of :mod:`mljob_contract` accept some of these texts, such as ``1767225600``.
    """
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from wrong_times(item, schema.get("items", {}), f"{path}[{index}]")
    elif isinstance(value, dict):
        for name, child in schema.get("properties", {}).items():
            yield from wrong_times(value.get(name), child, f"{path}.{name}" if path else name)
    elif isinstance(value, str) and schema.get("format") == "date-time" and not _TIME_FORMAT.fullmatch(value):
        yield Finding(path, f"{quoted(value)} is not a time; {DATE_TIME}")


def as_the_server_sees(value: Any, schema: Node) -> Any:
    """Return a value as the API server gives it to a validation rule: with defaults, with valid
    times as ``datetime``, and without null fields and unknown fields.
    """
    if isinstance(value, list):
        return [as_the_server_sees(item, schema.get("items", {})) for item in value]
    if isinstance(value, dict):
        known = schema.get("properties", {})
        defaults = {name: child["default"] for name, child in known.items() if "default" in child}
        given = {name: item for name, item in value.items() if name in known and item is not None}
        return {name: as_the_server_sees(item, known[name]) for name, item in {**defaults, **given}.items()}
    return _TIME.validate_python(value) if schema.get("format") == "date-time" and is_time(value) else value


def is_time(value: Any) -> bool:
    """Return whether a value is an RFC 3339 date-time that the API server accepts."""
    if not (isinstance(value, str) and _TIME_FORMAT.fullmatch(value)):
        return False
    try:
        _TIME.validate_python(value)
    except ValidationError:
        return False
    return True
