"""Explains a DAG and its params, as ``kubectl explain`` explains a resource.

The functions turn a DAG's entry in the catalog into text, and do no I/O.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mljob_airflow.jobs.catalog import DagEntry
from mljob_airflow.jobs.param_schema import ParamSpec, Schema
from mljob_airflow.jobs.suggestions import unknown

WIDTH = 80


class UnknownPath(LookupError):
    """The path names a param or a field that does not exist. The text of the error suggests a
    similar name, or lists the names that exist.
    """


def explain(entry: DagEntry, path: Sequence[str] = ()) -> str:
    """Return the explanation of a DAG, of one of its params, or of a field in a param's value.

    Args:
        entry: The DAG's entry in the catalog.
        path: Empty for the DAG. Otherwise the parts of a dotted name such as ``optimizer.rate``:
            the param, then a field of its value, and so on.

    Raises:
        UnknownPath: The param or the field does not exist.
    """
    lines = _of_dag(entry) if not path else _of_param(entry, path)
    return "\n".join(lines).rstrip() + "\n"


def wrapped(text: str, width: int) -> list[str]:
    """Split ``text`` into lines of at most ``width`` characters. The line breaks of the text are
    kept. A word that is longer than ``width`` is not split.
    """
    lines: list[str] = []
    for paragraph in text.splitlines():
        lines += textwrap.wrap(paragraph, width, break_long_words=False, break_on_hyphens=False) or [""]
    return lines


def type_name(schema: Schema) -> str:
    """Return the type of the values that a schema allows, in a few words: ``integer``,
    ``[]string``, ``object``, ``string or null``.

    The result is ``any`` if the schema says nothing about the type.
    """
    schema = _resolved(schema, schema) | {"$defs": _other_definitions(schema, schema)}
    kinds = schema.get("type")
    if isinstance(kinds, str):
        kinds = [kinds]
    if kinds:
        return " or ".join(_array_name(schema) if kind == "array" else kind for kind in kinds)
    choices = schema.get("anyOf") or schema.get("oneOf")
    if choices:
        defs = {"$defs": schema.get("$defs", {})}
        return " or ".join(dict.fromkeys(type_name({**defs, **choice}) for choice in choices))
    values = schema.get("enum") or ([schema["const"]] if "const" in schema else [])
    return " or ".join(dict.fromkeys(_JSON_TYPES[type(value)] for value in values)) or "any"


def bounds(schema: Schema) -> list[str]:
    """Return the rules that a schema has for a value in addition to the type, each in a few words.

    Examples are ``1 to 1000``, ``one of a, b`` and ``pattern ^a$``.
    """
    found = []
    if "const" in schema:
        found.append(f"always {_json(schema['const'])}")
    if "enum" in schema:
        found.append(f"one of {', '.join(_json(value) for value in schema['enum'])}")
    found += [
        words for minimum, maximum, unit in _RANGES if (words := _range(schema.get(minimum), schema.get(maximum), unit))
    ]
    found += [f"{words} {_json(schema[key])}" for key, words in _BOUNDS.items() if key in schema]
    found += ["all different"] if schema.get("uniqueItems") else []
    items = schema.get("items")
    if isinstance(items, Mapping) and (of_items := bounds(items)):
        found.append(f"each {', '.join(of_items)}")
    return found


_RANGES = (
    ("minimum", "maximum", ""),
    ("minLength", "maxLength", " characters"),
    ("minItems", "maxItems", " items"),
    ("minProperties", "maxProperties", " fields"),
)

_BOUNDS = {
    "exclusiveMinimum": "more than",
    "exclusiveMaximum": "less than",
    "multipleOf": "a multiple of",
    "pattern": "pattern",
    "format": "format",
}

_JSON_TYPES: Mapping[type, str] = {
    str: "string", bool: "boolean", int: "integer", float: "number", list: "array", dict: "object", type(None): "null",
}  # fmt: skip


def _range(minimum: Any, maximum: Any, unit: str) -> str:
    if minimum is None and maximum is None:
        return ""
    if minimum is None or maximum is None:
        return f"at least {minimum}{unit}" if maximum is None else f"at most {maximum}{unit}"
    return f"{minimum}{unit}" if minimum == maximum else f"{minimum} to {maximum}{unit}"


def _array_name(schema: Schema) -> str:
    items = schema.get("items")
    if not isinstance(items, Mapping) or not items:
        return "array"
    name = type_name({"$defs": schema.get("$defs", {}), **items})
    return f"[]({name})" if " or " in name else f"[]{name}"


def _json(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _of_dag(entry: DagEntry) -> Iterator[str]:
    yield from _head(DAG=entry.dag_id, TYPE=entry.type.value, OWNER=entry.owner)
    yield from _description(entry.description)
    yield "PARAMS:" if entry.params else "PARAMS: none"
    for spec in entry.params:
        default = {} if spec.required else {"default": spec.default}
        yield from _field(spec.name, {**spec.schema, **default}, required=spec.required, description=spec.description)
    if entry.outputs:
        yield "OUTPUTS:"
        for spec in entry.outputs:
            yield from _field(spec.name, spec.schema, required=False, description=spec.description)


def _of_param(entry: DagEntry, path: Sequence[str]) -> Iterator[str]:
    spec, rest = _find(entry, path)
    root, schema = spec.schema, _resolved(spec.schema, spec.schema)
    description, default = spec.description, None if spec.required else spec.default
    required, has_default = spec.required, not spec.required
    seen = [spec.name]
    for part in rest:
        fields = _fields(schema, root)
        if part not in fields:
            raise UnknownPath(unknown(".".join((entry.dag_id, *seen)), "field", part, list(fields)))
        own, required = fields[part]
        description, has_default, default = own.get("description"), "default" in own, own.get("default")
        schema = _resolved(own, root)
        seen.append(part)
    yield from _head(DAG=entry.dag_id, PARAM=f"{'.'.join(seen)} <{_type_in(schema, root)}>{_mark(required)}")
    yield from _description(description or schema.get("description") or "")
    facts = _facts({**schema, **({"default": default} if has_default else {})}, has_default=has_default)
    if facts:
        yield "VALUE:"
        for fact in facts:
            yield from (f"    {line}" for line in wrapped(fact, WIDTH - 4))
        yield ""
    if examples := schema.get("examples"):
        yield "EXAMPLES:"
        yield from (f"    {json.dumps(example, ensure_ascii=False)}" for example in examples)
        yield ""
    if fields := _fields(schema, root):
        yield "FIELDS:"
        for name, (own, required) in fields.items():
            resolved = _resolved(own, root)
            yield from _field(
                name,
                {**resolved, "$defs": root.get("$defs", {})},
                required=required,
                description=own.get("description") or resolved.get("description"),
            )


def _find(entry: DagEntry, path: Sequence[str]) -> tuple[ParamSpec, Sequence[str]]:
    """Return the param that a path begins with, and the rest of the path, which names a field in
    the param's value.

    The name of a param may have dots, so the name may be several parts of the path.

    Raises:
        UnknownPath: The path does not begin with the name of a param.
    """
    for end in range(len(path), 0, -1):
        spec = entry.param(".".join(path[:end]))
        if spec is not None:
            return spec, path[end:]
    raise UnknownPath(unknown(entry.dag_id, "param", path[0], [spec.name for spec in entry.params]))


def _fields(schema: Schema, root: Schema) -> dict[str, tuple[Schema, bool]]:
    """Return the fields of the objects that a schema describes. For each field's name, the result
    has the field's schema, and whether the field is required.

    For a list, return the fields of the list's items. For a choice (``anyOf``, ``oneOf``), return
    the fields of all objects in the choice.
    """
    required = schema.get("required", ())
    fields = {name: (own, name in required) for name, own in schema.get("properties", {}).items()}
    inner = [schema["items"]] if isinstance(schema.get("items"), Mapping) else []
    for choice in [*inner, *schema.get("anyOf", ()), *schema.get("oneOf", ())]:
        fields |= _fields(_resolved(choice, root), {"$defs": _other_definitions(choice, root)})
    return fields


def _resolved(schema: Schema, root: Schema) -> dict[str, Any]:
    """Return ``schema`` with its ``$ref`` replaced. The ``$ref`` names a definition in the
    ``$defs`` of ``root``, and this definition is the replacement.

    If a DAG's params are declared with pydantic models, only the schemas of recursive models still
    have a ``$ref``.
    """
    target = root.get("$defs", {}).get(_referred(schema), {})
    return {**target, **{key: value for key, value in schema.items() if key != "$ref"}}


def _other_definitions(schema: Schema, root: Schema) -> dict[str, Schema]:
    """Return the definitions (``$defs``) of ``root``, without the definition that ``schema`` refers
    to.

    The caller searches ``schema`` with only the remaining definitions. So the search ends, although
    the definitions of a recursive model refer to each other.
    """
    return {name: definition for name, definition in root.get("$defs", {}).items() if name != _referred(schema)}


def _referred(schema: Schema) -> str | None:
    reference = schema.get("$ref")
    return reference.removeprefix("#/$defs/") if isinstance(reference, str) else None


def _type_in(schema: Schema, root: Schema) -> str:
    return type_name({**schema, "$defs": root.get("$defs", {})})


def _head(**facts: str) -> Iterator[str]:
    for name, value in facts.items():
        if value:
            yield f"{name + ':':<10}{value}"
    yield ""


def _description(text: str) -> Iterator[str]:
    if text:
        yield "DESCRIPTION:"
        yield from (f"    {line}".rstrip() for line in wrapped(text, WIDTH - 4))
        yield ""


def _mark(required: bool) -> str:
    return " -required-" if required else ""


def _facts(schema: Schema, *, has_default: bool = True) -> list[str]:
    """Return the rules of the schema (:func:`bounds`) and the schema's default, each in a few
    words.
    """
    shown = has_default and "default" in schema
    return bounds(schema) + ([f"default {json.dumps(schema['default'], ensure_ascii=False)}"] if shown else [])


def _field(name: str, schema: Schema, *, required: bool, description: str | None) -> Iterator[str]:
    yield f"  {name}\t<{type_name(schema)}>{_mark(required)}"
    yield from (f"    {line}" for line in wrapped(", ".join(_facts(schema)), WIDTH - 4))
    yield from (f"    {line}".rstrip() for line in wrapped(description or "", WIDTH - 4))
    yield ""
