"""Explains a DAG and its params as text, as ``kubectl explain`` explains a resource."""

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
    """The path names a param or a field that does not exist. The message names params or fields
    that exist.
    """


def explain(entry: DagEntry, path: Sequence[str] = ()) -> str:
    """Return the explanation of a DAG, of one of its params, or of a field in a param's value.

    Args:
        entry: The DAG's entry in the catalog.
        path: The parts of a dotted name such as ``optimizer.rate``: a param, and then fields. The
            path of the DAG is empty.

    Raises:
        UnknownPath: The param or the field does not exist.
    """
    lines = _of_dag(entry) if not path else _of_param(entry, path)
    return "\n".join(lines).rstrip() + "\n"


def wrapped(text: str, width: int) -> list[str]:
    """Split ``text`` into lines of at most ``width`` characters. The line breaks of the text are
    kept. Words that are longer than ``width`` are not split.
    """
    lines: list[str] = []
    for paragraph in text.splitlines():
        lines += textwrap.wrap(paragraph, width, break_long_words=False, break_on_hyphens=False) or [""]
    return lines


def type_name(schema: Schema) -> str:
    """Return the type of the values that a schema allows, for example ``integer``, ``[]string`` or
    ``string or null``. Return ``any`` if the schema says nothing about the type.
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
    """Return the rules of a schema in addition to the type, for example ``1 to 1000``, ``one of a,
    b`` and ``pattern ^a$``.
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
    """Return the param at the beginning of a path, and the rest of the path. The name of the param
    may have dots.
    """
    for end in range(len(path), 0, -1):
        spec = entry.param(".".join(path[:end]))
        if spec is not None:
            return spec, path[end:]
    raise UnknownPath(unknown(entry.dag_id, "param", path[0], [spec.name for spec in entry.params]))


def _fields(schema: Schema, root: Schema) -> dict[str, tuple[Schema, bool]]:
    """Return the schema of each field by name, and whether the field is required. The result
    includes the fields of a list's items, and of all choices in ``anyOf`` and ``oneOf``.
    """
    required = schema.get("required", ())
    fields = {name: (own, name in required) for name, own in schema.get("properties", {}).items()}
    inner = [schema["items"]] if isinstance(schema.get("items"), Mapping) else []
    for choice in [*inner, *schema.get("anyOf", ()), *schema.get("oneOf", ())]:
        fields |= _fields(_resolved(choice, root), {"$defs": _other_definitions(choice, root)})
    return fields


def _resolved(schema: Schema, root: Schema) -> dict[str, Any]:
    target = root.get("$defs", {}).get(_referred(schema), {})
    return {**target, **{key: value for key, value in schema.items() if key != "$ref"}}


def _other_definitions(schema: Schema, root: Schema) -> dict[str, Schema]:
    """Return the ``$defs`` of ``root`` without the definition to which the ``$ref`` of ``schema``
    refers. So a caller that follows references does not follow this reference again and again.
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
    shown = has_default and "default" in schema
    return bounds(schema) + ([f"default {json.dumps(schema['default'], ensure_ascii=False)}"] if shown else [])


def _field(name: str, schema: Schema, *, required: bool, description: str | None) -> Iterator[str]:
    yield f"  {name}\t<{type_name(schema)}>{_mark(required)}"
    yield from (f"    {line}" for line in wrapped(", ".join(_facts(schema)), WIDTH - 4))
    yield from (f"    {line}".rstrip() for line in wrapped(description or "", WIDTH - 4))
    yield ""
