"""The check of a conf's values against the JSON schemas of the DAG's params. Some schemas are left
for Airflow to check.

The author of a DAG, or anybody who answers in Airflow's place, writes the schema, and a tenant
writes the value. In the operator, matching a pattern may take years, comparing all items with each
other may take hours, and a reference may lead to any URL or into a cycle. So Airflow checks schemas
with such keywords and refuses the run if a value is wrong. Airflow also checks what exceeds the
operator's work limit for one conf.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jsonschema

MAX_WORK = 50_000
"""The work limit for one conf: the parts of each schema times the parts of its value, in sum. This
takes a tenth of a second.
"""
OF_A_SCHEMA = 50
"""The fixed work for each part of a schema, because the schema itself is checked too."""
LEFT_TO_AIRFLOW = frozenset(
    {
        "$dynamicRef",
        "$recursiveRef",
        "$ref",
        "$schema",
        "pattern",
        "patternProperties",
        "unevaluatedItems",
        "unevaluatedProperties",
        "uniqueItems",
    }
)
"""Keywords whose check may take any time, or may lead to another document."""


class Checks:
    """The checks of one conf, within its work limit."""

    def __init__(self) -> None:
        self._work = 0

    def problem(self, value: Any, schema: Any) -> jsonschema.ValidationError | None:
        """What is wrong with a param's value; None: nothing, or Airflow checks it."""
        if not isinstance(schema, dict) or not schema:
            return None
        rules = _parts(schema, MAX_WORK)
        if any(name in LEFT_TO_AIRFLOW or (name == "format" and rule == "regex") for name, rule in rules):
            return None
        self._work += len(rules) * (OF_A_SCHEMA + len(_parts(value, MAX_WORK)))
        if self._work > MAX_WORK:
            return None
        try:
            jsonschema.validate(
                value, schema, cls=jsonschema.Draft202012Validator, format_checker=jsonschema.FormatChecker()
            )
        except jsonschema.ValidationError as error:
            return error
        except jsonschema.SchemaError:
            # The schema of the DAG is wrong. Airflow decides what that means.
            pass
        return None


def _parts(value: Any, most: int) -> list[tuple[str | None, Any]]:
    """All parts of a JSON value with their keys, including the value itself; about ``most`` parts
    at the most.
    """
    found: list[tuple[str | None, Any]] = [(None, value)]
    for _, part in found:
        if len(found) > most:
            break
        if isinstance(part, Mapping):
            found += part.items()
        elif isinstance(part, list):
            found += [(None, item) for item in part]
    return found
