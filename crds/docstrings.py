"""Reads the docstrings of the models' fields. The docstrings become the descriptions in the CRDs.

Pydantic could read these docstrings too (``use_attribute_docstrings``). But pydantic would read the
docstrings in each process that imports the models, for example in the process of each Airflow task.
Reading the docstrings of a single model costs a process 0.04 s of CPU time.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, get_args

from pydantic import BaseModel


def add_descriptions(schema: dict[str, Any], model: type[BaseModel]) -> None:
    """Add the docstrings of a model's fields to the JSON schema of the model, as descriptions.
    Descriptions that the schema already has are not changed.

    Args:
        schema: The schema that pydantic made from the model. The schema calls the fields by their
            aliases. ``$defs`` has the schemas of nested models, by class name.
        model: The model.
    """
    definitions = schema.get("$defs", {})
    for found in {model, *_nested(model)}:
        properties = definitions.get(found.__name__, schema)["properties"]
        texts = _docstrings(found)
        for name, field in found.model_fields.items():
            if name in texts:
                properties[field.alias or name].setdefault("description", texts[name])


def _nested(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """Yield the models that occur in the types of a model's fields, and in the types of the fields
    of these models, at every depth.
    """
    for field in model.model_fields.values():
        for found in _models_in(field.annotation):
            yield found
            yield from _nested(found)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


def _docstrings(model: type[BaseModel]) -> dict[str, str]:
    """Return the docstrings of a model's fields, by field name. The fields of the model's base
    classes are included. The docstring of a field is the string literal after the field.
    """
    found: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if issubclass(base, BaseModel) and base is not BaseModel:
            (definition,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
            assert isinstance(definition, ast.ClassDef)
            found |= dict(_of_fields(definition))
    return found


def _of_fields(definition: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for field, behind in pairwise(definition.body):
        match field, behind:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                yield name, inspect.cleandoc(text)
