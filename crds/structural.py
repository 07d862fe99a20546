"""Converts the pydantic models in ``mljob_contract`` to structural schemas.

A CRD needs a structural schema (kubernetes.io: "Specifying a structural schema"), which has a type
on every level and no ``$ref``. Pydantic makes a JSON schema from a model. This module converts this
JSON schema: the module replaces each ``$ref`` by the definition, replaces ``anyOf [X, null]`` by X,
and removes keywords that the CRDs don't need, such as ``title``.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from mljob_contract.airflow_id import ID_PATTERN

from .docstrings import add_descriptions

PATTERNS_IN_WORDS = {
    ID_PATTERN: "must be an Airflow id: letters and digits of any language, '_', '-' and '.', without spaces and slashes. "
    "The id of a task in a task group begins with the group's id: group.task",
    r"^[a-z0-9]([a-z0-9.\-]*[a-z0-9])?$": "must be the name of a Kubernetes object: lower-case letters, digits, '-' and '.', "
    "beginning and ending with a letter or digit",
    r"^[A-Za-z_][A-Za-z0-9_]*$": "must begin with a letter or '_' and continue with letters, digits and '_': it becomes a field of status.outputs",
}
"""The message for each pattern that the API server checks with a validation rule. With the keyword
``pattern``, the API server would only say "should match '^[\\p{L}\\p{N}_.\\-]+$'".
"""


def structural(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Convert a node of a pydantic JSON schema to a node of a structural schema. ``definitions``
    has the nodes to which a ``$ref`` can refer.
    """
    schema = dict(schema)
    if "$ref" in schema:
        target = definitions[schema.pop("$ref").rsplit("/", 1)[-1]]
        return structural({**target, **schema}, definitions)
    if "anyOf" in schema:
        (choice,) = [option for option in schema.pop("anyOf") if option.get("type") != "null"]
        return structural({**choice, **schema}, definitions)

    out: dict[str, Any] = {}
    if description := schema.get("description"):
        out["description"] = " ".join(str(description).replace("``", "").split())
    for key in (
        "type",
        "enum",
        "format",
        "minimum",
        "maximum",
        "minLength",
        "maxLength",
        "minItems",
        "maxItems",
        "required",
    ):
        if key in schema:
            out[key] = schema[key]
    if pattern := schema.get("pattern"):
        if pattern in PATTERNS_IN_WORDS:
            rule = {"rule": f"self.matches(r'{pattern}')", "message": PATTERNS_IN_WORDS[pattern]}
            out["x-kubernetes-validations"] = [rule]
        else:
            out["pattern"] = pattern
    if schema.get("default") is not None:
        out["default"] = schema["default"]
    return out | _children(schema, definitions)


def _children(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the keywords of a structural schema that describe what a node contains: the fields of
    an object, the values of a map, or the items of a list. If the schema of an object describes
    neither fields nor values, return the keyword that allows any fields. For a type other than
    object and list, return an empty dict.
    """
    if schema.get("type") == "array":
        return {"items": structural(schema["items"], definitions)}
    if schema.get("type") != "object":
        return {}
    if "properties" in schema:
        return {"properties": {name: structural(node, definitions) for name, node in schema["properties"].items()}}
    if isinstance(values := schema.get("additionalProperties"), dict):
        return {"additionalProperties": structural(values, definitions)}
    return {"x-kubernetes-preserve-unknown-fields": True}


def model_schema(model: type[BaseModel]) -> dict[str, Any]:
    """Return the structural schema of a model. The names of the fields are in camelCase, as in
    YAML.
    """
    schema = model.model_json_schema(by_alias=True)
    add_descriptions(schema, model)
    return structural(schema, schema.pop("$defs", {}))


def without_defaults(node: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a status without the defaults of the fields. With a default, the API
    server would add a field to a status in which the operator has not set the field.
    """
    node = {key: value for key, value in node.items() if key != "default"}
    if "properties" in node:
        node["properties"] = {name: without_defaults(child) for name, child in node["properties"].items()}
    if "items" in node:
        node["items"] = without_defaults(node["items"])
    return node
