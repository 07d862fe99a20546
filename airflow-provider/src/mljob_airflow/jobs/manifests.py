"""Writes the manifest of an MLJob for a DAG. The user then fills in the values that are missing.

The manifest has a line for every param, with comments about the valid values:

- If the user has given a value for the param, the line sets this value.
- If the user has given no value for a required param, the line has the first valid example in the
  param's schema. The user should check this value. Without a valid example, the line has ``null``,
  and the user has to replace ``null``.
- If the user has given no value for a param with a default, the line is commented out, and shows
  the default.

Explanations start with ``##``. A line that starts with a single ``#`` can be uncommented to set the
param.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from mljob_airflow.jobs.catalog import DagEntry
from mljob_airflow.jobs.explanations import bounds, type_name, wrapped
from mljob_airflow.jobs.param_schema import ParamSpec, problems
from mljob_airflow.jobs.suggestions import unknown
from mljob_contract.mljob import MAX_CONF_LEVELS

API_VERSION, KIND = "mljob.dev/v1alpha1", "MLJob"
WIDTH = 100
MAX_NAME_LENGTH = 140
"""The maximum number of characters of an MLJob's name, as in the CRD."""

_LABEL = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?"
_NAME = re.compile(rf"{_LABEL}(\.{_LABEL})*")


class ManifestError(ValueError):
    """The given name or values would make the manifest invalid. The message says what to change."""


def manifest(
    entry: DagEntry, *, name: str | None = None, namespace: str | None = None, conf: Mapping[str, Any] | None = None
) -> str:
    """Return the manifest of an MLJob for a DAG, as YAML with comments.

    Args:
        entry: The DAG.
        name: The MLJob's name, by default made from the DAG's id (:func:`default_name`).
        namespace: The MLJob's namespace. With ``None``, ``kubectl`` uses the namespace of its
            context.
        conf: The values of params, by name.

    Raises:
        ManifestError: The name is not valid for an MLJob, or the conf has a param that the DAG
            lacks, a value that the DAG refuses, or a value that is not JSON or nested too deeply.
    """
    conf = conf or {}
    for given, value in conf.items():
        spec = entry.param(given)
        if spec is None:
            raise ManifestError(unknown(entry.dag_id, "param", given, [param.name for param in entry.params]))
        if _levels(value) >= MAX_CONF_LEVELS:
            raise _too_deep(given)
        if not _is_json(value):
            raise ManifestError(
                f"{given}={json.dumps(value)}: JSON has neither NaN nor Infinity; use a finite number, or a string in quotes"
            )
        if found := problems(value, spec.schema):
            raise ManifestError(f"{given}={json.dumps(value)}: {'; '.join(found)}")
    return "\n".join(_lines(entry, _checked_name(name or default_name(entry.dag_id)), namespace, conf)) + "\n"


def default_name(dag_id: str) -> str:
    """Make a name for an MLJob from the DAG's id. The name is valid for an MLJob, and has at most
    140 characters. If the id has no ASCII letter or digit, the name is ``mljob``.
    """
    parts = (part.strip("-") for part in re.sub(r"[^a-z0-9.]+", "-", dag_id.lower()).split("."))
    return ".".join(filter(None, parts))[:MAX_NAME_LENGTH].strip("-.") or "mljob"


def missing(entry: DagEntry, conf: Mapping[str, Any]) -> list[str]:
    """Return the names of the required params that ``conf`` lacks."""
    return [spec.name for spec in entry.params if spec.required and spec.name not in conf]


def set_values(entry: DagEntry, assignments: Mapping[str, str]) -> dict[str, Any]:
    """Make a conf from assignments. ``epochs=20`` sets a param, and ``optimizer.rate=0.1`` sets the
    field ``rate`` of the param ``optimizer``. The values are not validated.

    If the schema of the param or field allows a string, the value is the text itself. But if this
    schema also allows null, the text ``null`` becomes None. If the schema allows no string, the
    text is parsed as JSON. A text that is not valid JSON becomes a string.

    Args:
        entry: The DAG.
        assignments: A dict from paths such as ``optimizer.rate`` to texts such as ``0.1``.

    Raises:
        ManifestError: An assignment sets a field of a value that has no fields, or a value is
            nested too deeply to be parsed.
    """
    conf: dict[str, Any] = {}
    for path, text in assignments.items():
        first, *rest = path.split(".")
        spec = entry.param(path)
        if spec is not None:
            # The whole path is the name of a param, which may have dots. So the path names no
            # field.
            first, rest = path, []
        spec = spec or entry.param(first)
        schema: Any = spec.schema if spec else {}
        target, key = conf, first
        for part in rest:
            schema = (schema.get("properties") or {}).get(part) or {}
            target = target.setdefault(key, _object_default(spec, conf, key, first))
            if not isinstance(target, dict):
                raise ManifestError(f"can't set {path}: {key} is {json.dumps(target)}, which has no fields")
            key = part
        try:
            target[key] = _value(text, schema)
        except RecursionError as error:
            raise _too_deep(path) from error
    return conf


def _object_default(spec: ParamSpec | None, conf: Mapping[str, Any], key: str, first: str) -> dict[str, Any]:
    """Return a new object, to which the caller adds a field. If ``key`` names a param whose default
    is an object, the new object is a copy of this default, so the default's other fields are kept.
    Otherwise the new object is empty.
    """
    if key == first and first not in conf and spec is not None and isinstance(spec.default, dict):
        return json.loads(json.dumps(spec.default))  # type: ignore[no-any-return]
    return {}


def _value(text: str, schema: Mapping[str, Any]) -> Any:
    kinds = schema.get("type", ())
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if "string" in kinds and not (text == "null" and "null" in kinds):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def _levels(value: Any) -> int:
    """Return how deep lists and objects are nested in ``value``. The function does not recurse."""
    levels, layer = 0, [value]
    while layer := [node for node in layer if isinstance(node, dict | list)]:
        levels += 1
        layer = [child for node in layer for child in (node.values() if isinstance(node, dict) else node)]
    return levels


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        return False
    return True


def _too_deep(path: str) -> ManifestError:
    return ManifestError(
        f"{path}: the value is nested too deeply; the conf of an MLJob has at most {MAX_CONF_LEVELS} levels, and the conf itself is one"
    )


def _checked_name(name: str) -> str:
    if len(name) > MAX_NAME_LENGTH or not _NAME.fullmatch(name):
        raise ManifestError(
            f"{name!r} is not a valid name for an MLJob: use at most {MAX_NAME_LENGTH} lowercase letters, digits, '-' and '.', "
            "with a letter or digit at both ends and beside each '.'"
        )
    return name


def _lines(entry: DagEntry, name: str, namespace: str | None, conf: Mapping[str, Any]) -> Iterator[str]:
    yield from _comment(entry.description)
    yield from _comment(f"Owner: {entry.owner}." if entry.owner else "")
    yield f"apiVersion: {API_VERSION}"
    yield f"kind: {KIND}"
    yield "metadata:"
    yield f"  name: {in_yaml(name)}"
    if namespace:
        yield f"  namespace: {in_yaml(namespace)}"
    yield "spec:"
    yield f"  type: {entry.type.value}"
    yield f"  dagId: {in_yaml(entry.dag_id)}"
    active = [spec for spec in entry.params if spec.required or spec.name in conf]
    if entry.params:
        # A line "conf:" without any param below it would mean null, which the API server refuses.
        yield "  conf:" if active else "  # conf:"
    for spec in entry.params:
        yield from _param_lines(spec, conf)
    if entry.outputs:
        yield "  ## In status.outputs, when the MLJob has succeeded:"
        for output in entry.outputs:
            what = f": {output.description}" if output.description else ""
            yield from _comment(f"  {output.name} <{type_name(output.schema)}>{what}", indent=2, hang=4)


def _param_lines(spec: ParamSpec, conf: Mapping[str, Any]) -> Iterator[str]:
    facts = [type_name(spec.schema), *bounds(spec.schema)]
    facts.append("required" if spec.required else f"default {in_yaml(spec.default)}")
    yield from _comment(spec.description or "", indent=4)
    yield from _comment(", ".join(facts), indent=4)
    key = in_yaml(spec.name)
    if spec.name in conf:
        yield f"    {key}: {in_yaml(conf[spec.name])}"
    elif spec.required:
        examples = [value for value in spec.schema.get("examples", ()) if not problems(value, spec.schema)]
        # Without an example the value is null, which the DAG refuses. So no run can start before
        # the author has chosen a value.
        yield f"    {key}: {in_yaml(examples[0])}" if examples else f"    {key}: null  # <- fill in"
    else:
        yield f"    # {key}: {in_yaml(spec.default)}"


def _comment(text: str, *, indent: int = 0, hang: int = 0) -> Iterator[str]:
    for number, line in enumerate(wrapped(text, WIDTH - indent - hang)):
        line = _UNPRINTABLE.sub(" ", line)
        yield f"{' ' * indent}## {' ' * (hang if number else 0)}{line}".rstrip()


def in_yaml(value: Any) -> str:
    """Return a JSON value as one line of YAML. Parsers of YAML 1.1 and of YAML 1.2 read the same
    value from this line.
    """
    match value:
        case str():
            plain = _PLAIN.fullmatch(value) and value.lower() not in _WORDS
            return value if plain else _UNPRINTABLE.sub(_escaped, json.dumps(value, ensure_ascii=False))
        case float():
            # YAML 1.1 reads 1e-05 as a string, and 1.0e-05 as a number.
            digits = repr(value)
            return digits.replace("e", ".0e") if "e" in digits and "." not in digits else digits
        case list():
            return f"[{', '.join(in_yaml(item) for item in value)}]"
        case dict():
            return "{" + ", ".join(f"{in_yaml(key)}: {in_yaml(item)}" for key, item in value.items()) + "}"
        case _:
            return json.dumps(value)


_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "y", "n", "null"})
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")
"""Characters that YAML does not allow, or that end a line."""


def _escaped(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"
