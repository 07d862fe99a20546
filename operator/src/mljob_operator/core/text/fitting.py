"""Reads the spec and the status of objects from the Kubernetes API server into Pydantic models. A
field that doesn't fit the Pydantic model is left out and reported.

Such fields occur if an object was stored under an older or a hand-edited CRD, or if a field exceeds
a limit that a CRD can't express. Even then, the operator must be able to complete the deletion of
the object, and to report the state of an MLJob's run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from .bounds import Bounds
from .spelling import of_field
from .storable import cut

M = TypeVar("M", bound=BaseModel)

MAX_PROBLEMS = 3
"""The maximum number of fields that a message names."""
MAX_SHOWN = 80
"""The maximum length of a value in a message, in characters."""


def fitting(
    model: type[M], value: object, path: str, *, bounds: Mapping[str, Bounds], placeholders: Mapping[str, Any]
) -> tuple[M, tuple[str, ...]]:
    """Read a spec or status into a Pydantic model, and leave out the fields that don't fit.

    Args:
        model: The Pydantic class for the spec or status.
        value: The spec or status, as the Kubernetes API server sent it.
        path: ``spec`` or ``status``, for messages.
        bounds: The limits of each field that may hold any JSON, by the name of the field.
        placeholders: By the name of a required field, the value to use if the field is missing or
            doesn't fit.

    Returns:
        tuple: An object of the class ``model``, and a text for each problem, such as ``spec.conf is
            nested 300 levels deep, over the limit of 32``. A field of the spec or status is left
            out as a whole, even if only a part of the field has a problem.
    """
    fields = dict(value) if isinstance(value, Mapping) else {}
    problems = []
    for name, allowed in bounds.items():
        if name in fields and (excess := allowed.excess(fields[name])) is not None:
            problems.append(f"{path}.{name} {excess}")
            del fields[name]
    try:
        return model.model_validate(fields), tuple(problems)
    except ValidationError as error:
        found = error.errors(include_url=False)
    problems += [_in_words(path, problem) for problem in found]
    unfit = {str(problem["loc"][0]) for problem in found if problem["loc"]}
    rest = {name: field for name, field in fields.items() if name not in unfit}
    return model.model_validate({**placeholders, **rest}), tuple(problems)


def in_one_sentence(problems: tuple[str, ...]) -> str | None:
    """Return a text with the first ``MAX_PROBLEMS`` (3) problems and the number of the other
    problems. Return None if there are no problems.
    """
    if not problems:
        return None
    more = f"; and {len(problems) - MAX_PROBLEMS} more" if len(problems) > MAX_PROBLEMS else ""
    return "; ".join(problems[:MAX_PROBLEMS]) + more


def _in_words(path: str, problem: Any) -> str:
    field = ".".join([path, *(str(part) for part in problem["loc"])])
    if problem["type"] == "missing":
        return f"{cut(field, 200)} is missing"
    why = str(problem["msg"]).removeprefix("Value error, ")
    shown = problem["input"]
    got = f", not {cut(repr(shown), MAX_SHOWN)}" if isinstance(shown, str | int | float | None) else ""
    hint = of_field(str(problem["loc"][-1]) if problem["loc"] else "", str(problem["type"]))
    return f"{cut(field, 200)}: {why}{got}{f' ({hint})' if hint else ''}"
