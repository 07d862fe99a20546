"""Makes the JSON Schemas of a DAG's params from a pydantic model, and instances of the model from a
run's conf.

Airflow stores one JSON Schema for each param. Pydantic makes one schema with shared definitions for
the whole model. So this module converts the schema of each field:

- References are resolved in place, so that Airflow's form shows which values are valid. References
  to recursive models stay, and the schema of the field gets the ``$defs`` of these models.
- If ``X`` has a single type, the schema of ``X | None`` becomes the schema of ``X`` with
  ``type: [<type of X>, "null"]``, the form that Airflow's UI supports.
- The default and the description move from the schema to the :class:`ParamSpec`.

The schemas lack some rules of the model: its validators, rules about several fields, and formats
that jsonschema does not check, such as date-time. Only pydantic checks these rules, when a task of
the run makes an instance of the model.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Literal, TypeVar

from pydantic import BaseModel, RootModel, ValidationError
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import to_jsonable_python

from mljob_airflow.jobs import value_hints

Schema = Mapping[str, Any]
Model = TypeVar("Model", bound=BaseModel)


class _Required(Enum):
    REQUIRED = "required"


REQUIRED: Final = _Required.REQUIRED
"""Stands for the missing default of a required param. Every run must have a value for such a param.
"""


class DeclarationError(ValueError):
    """The declaration of a job is invalid. Airflow's UI shows the message as the import error of
    the DAG file.
    """


class ConfError(ValueError):
    """A run's conf is not valid for the pydantic model of the DAG's params. A retry would fail too,
    because the conf stays the same.
    """


@dataclass(frozen=True, slots=True)
class ParamSpec:
    """A param of a DAG, or an output that a DAG declares."""

    name: str
    schema: Schema
    """A JSON Schema (2020-12), with all definitions that it refers to."""
    description: str | None = None
    default: Any | Literal[_Required.REQUIRED] = REQUIRED
    """A JSON value, or ``REQUIRED``. An output always has ``REQUIRED``, because it has no default.
    """

    @property
    def required(self) -> bool:
        """Whether every run must have a value for the param. For an output, this property is always
        True and has no meaning.
        """
        return self.default is REQUIRED


def params_of(model: type[BaseModel]) -> tuple[ParamSpec, ...]:
    """Return a param for each field of ``model``, in the order of the fields.

    Raises:
        DeclarationError: The model is a ``RootModel``, a field has no JSON Schema, or a default is
            invalid. A default must be a JSON value that the field accepts. A default factory must
            always return the same value.
    """
    if issubclass(model, RootModel):
        raise DeclarationError(f"{model.__name__} has no fields: use a model with a field for each param")
    schema = _schema_of(model)
    definitions = schema.get("$defs", {})
    specs = []
    defaults = {}
    for name, (field, required) in _fields(model, schema).items():
        own = dict(schema["properties"][name])
        default: Any = REQUIRED
        if not required:
            default = defaults[name] = _default(model, name, field, own)
        own.pop("default", None)
        inlined = dict(_inlined(own, definitions))
        specs.append(ParamSpec(name, inlined, inlined.pop("description", None), default))
    for name, why in refused(model, defaults).items():
        raise DeclarationError(
            f"the default of {model.__name__}.{name} is {json.dumps(defaults[name])}, which the field refuses: {why}"
        )
    return tuple(specs)


def outputs_of(model: type[BaseModel]) -> tuple[ParamSpec, ...]:
    """Return an output for each field of ``model``, in the order of the fields. Defaults are
    ignored.

    Raises:
        DeclarationError: A field has no JSON Schema.
    """
    schema = _schema_of(model)
    specs = []
    for name, own in schema.get("properties", {}).items():
        inlined = dict(_inlined({**own}, schema.get("$defs", {})))
        inlined.pop("default", None)
        specs.append(ParamSpec(name, inlined, inlined.pop("description", None)))
    return tuple(specs)


def parse(model: type[Model], conf: Mapping[str, Any]) -> Model:
    """Make an instance of ``model`` from a conf. The conf is validated as JSON, so a strict model
    accepts a string for a date.

    Raises:
        ConfError: The model refuses the conf. The message lists each invalid value as
            ``conf.<path>: <reason>``.
    """
    try:
        return model.model_validate_json(json.dumps(conf))
    except ValidationError as error:
        raise ConfError(f"the conf does not fit {model.__name__}: {'; '.join(_errors(error))}") from error


def refused(model: type[BaseModel], values: Mapping[str, Any]) -> dict[str, str]:
    """Return the fields whose values ``model`` refuses: the reason by field name. Errors that are
    about several fields together are ignored.

    Args:
        model: The model.
        values: JSON values by field name. Fields without a value are not checked.
    """
    try:
        model.model_validate_json(json.dumps(values))
    except ValidationError as error:
        return {
            str(problem["loc"][0]): problem["msg"]
            for problem in error.errors(include_url=False, include_context=False)
            # An error without a location is about several fields. It is ignored, because the values
            # may lack some of these fields.
            if problem["loc"] and problem["loc"][0] in values
        }
    return {}


def problems(value: Any, schema: Schema) -> list[str]:
    """Return the reasons why a JSON value does not fit a param's schema. The value is validated
    with jsonschema, as in Airflow.
    """
    # Imported here, because parsing a DAG file validates no value.
    from jsonschema import FormatChecker, validators

    validator = validators.validator_for(schema)(schema, format_checker=FormatChecker())
    return [_with_hint(error) for error in validator.iter_errors(value)]


def _with_hint(error: Any) -> str:
    hint = ""
    if error.validator == "format":
        hint = value_hints.for_format(error.validator_value)
    elif error.validator == "type" and {"integer", "number"} & {*_as_list(error.validator_value)}:
        hint = value_hints.for_number(error.instance)
    text = f"{error.json_path[2:]}: {error.message}".removeprefix(": ")
    return f"{text}: {hint}" if hint else text


def _as_list(kinds: str | list[str]) -> list[str]:
    return [kinds] if isinstance(kinds, str) else kinds


class _Generator(GenerateJsonSchema):
    """Makes JSON Schemas without the titles that pydantic derives from field names. Airflow's form
    would show these titles instead of the names of the params.
    """

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def emit_warning(self, kind: Any, detail: str) -> None:
        """Emit no warning. Pydantic warns if a default is not JSON, but :func:`_default` raises an
        error for such a default.
        """


def _schema_of(model: type[BaseModel]) -> dict[str, Any]:
    try:
        return model.model_json_schema(schema_generator=_Generator)
    except Exception as error:
        # Every exception is caught, because pydantic raises PydanticInvalidForJsonSchema, and the
        # hook of a type may raise any exception.
        raise DeclarationError(f"{model.__name__} has no JSON Schema: {error}") from error


def _fields(model: type[BaseModel], schema: Schema) -> dict[str, tuple[Any, bool]]:
    required = set(schema.get("required", ()))
    # The schema's properties have the order of the model's fields, and the names that a conf uses.
    names = schema.get("properties", {})
    return {name: (field, name in required) for name, field in zip(names, model.model_fields.values(), strict=True)}


def _default(model: type[BaseModel], name: str, field: Any, schema: Schema) -> Any:
    way_out = "use a fixed JSON value, or None and choose the value in the task"
    if "default" in schema:
        default = schema["default"]
    elif field.default_factory is None or field.default_factory_takes_validated_data:
        raise DeclarationError(f"the default of {model.__name__}.{name} is not a JSON value: {way_out}")
    else:
        default = _made(field)
        if default != _made(field):
            # With such a default, Airflow would store a new version of the DAG each time it parses
            # the file.
            raise DeclarationError(f"the default of {model.__name__}.{name} changes with each call: {way_out}")
    try:
        json.dumps(default, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise DeclarationError(
            f"the default of {model.__name__}.{name} is not a JSON value ({error}): {way_out}"
        ) from error
    return default


def _made(field: Any) -> Any:
    made = field.get_default(call_default_factory=True)
    try:
        return to_jsonable_python(made, by_alias=True)
    except Exception:
        return made


def _errors(error: ValidationError) -> Iterator[str]:
    for problem in error.errors(include_url=False, include_context=False):
        path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in problem["loc"])
        hint = value_hints.for_problem(problem["type"], problem["input"])
        yield f"conf{path}: {problem['msg']}" + (f": {hint}" if hint else "")


_OF_SCHEMAS_BY_NAME = frozenset({"properties", "patternProperties", "dependentSchemas"})
_OF_SCHEMAS = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
_OF_A_SCHEMA = frozenset({"items", "additionalProperties", "propertyNames", "contains", "not", "if", "then", "else"})
_REFERENCE = "#/$defs/"


def _inlined(schema: Schema, definitions: Schema) -> Schema:
    """Resolve the references in ``schema``. References to recursive definitions stay, and the
    result has these definitions in ``$defs``.
    """
    kept: dict[str, Schema] = {}

    def resolve(node: Any) -> Any:
        if not isinstance(node, Mapping):
            return node  # JSON Schema has the schemas true and false, too
        reference = node.get("$ref")
        if isinstance(reference, str):
            name = reference.removeprefix(_REFERENCE)
            if not _is_recursive(name, definitions):
                definition = dict(definitions[name])
                if definition.get("title") == name.rsplit("__", 1)[-1]:
                    # The title is the name of the class. Airflow's form would show it as the name
                    # of the param.
                    del definition["title"]
                return resolve({**definition, **{key: value for key, value in node.items() if key != "$ref"}})
            if name not in kept:
                kept[name] = {}
                kept[name] = resolve(definitions[name])
        return _nullable({key: _under(key, value) for key, value in node.items() if key != "discriminator"})

    def _under(key: str, value: Any) -> Any:
        if key in _OF_SCHEMAS_BY_NAME:
            return {name: resolve(child) for name, child in value.items()}
        if key in _OF_SCHEMAS:
            return [resolve(child) for child in value]
        return resolve(value) if key in _OF_A_SCHEMA else value

    resolved = dict(resolve(schema))
    return {**resolved, "$defs": kept} if kept else resolved


def _is_recursive(name: str, definitions: Schema) -> bool:
    seen: set[str] = set()
    ahead = list(_references(definitions[name]))
    while ahead:
        reached = ahead.pop()
        if reached == name:
            return True
        if reached not in seen:
            seen.add(reached)
            ahead += _references(definitions[reached])
    return False


def _references(node: Any) -> Iterator[str]:
    if not isinstance(node, Mapping):
        return
    if isinstance(reference := node.get("$ref"), str):
        yield reference.removeprefix(_REFERENCE)
    for key, value in node.items():
        if key in _OF_SCHEMAS_BY_NAME:
            children = list(value.values())
        elif key in _OF_SCHEMAS:
            children = value
        else:
            children = [value] if key in _OF_A_SCHEMA else []
        for child in children:
            yield from _references(child)


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    """Turn ``anyOf: [X, null]`` into X with the type ``[X's type, "null"]``. Return the schema
    unchanged if X has no single type, or contains ``anyOf``, ``oneOf`` or ``not``.
    """
    null = {"type": "null"}
    choices = schema.get("anyOf", ())
    if len(choices) != 2 or null not in choices:
        return schema
    [other] = [choice for choice in choices if choice != null] or [null]
    if (
        not isinstance(other.get("type"), str)
        or other == null
        or "anyOf" in other
        or "oneOf" in other
        or "not" in other
    ):
        return schema
    merged = {**other, **{key: value for key, value in schema.items() if key != "anyOf"}}
    merged["type"] = [other["type"], "null"]
    if "const" in merged:
        merged["enum"] = [merged.pop("const")]
    if "enum" in merged:
        merged["enum"] = [*merged["enum"], None]
    return merged
