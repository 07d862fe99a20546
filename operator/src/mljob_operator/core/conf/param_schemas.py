"""Which of a DAG's params the operator checks itself, and what is wrong with their values; the rest is for Airflow to check.

A schema is what a DAG's author wrote, or whoever answers in Airflow's place, and the value is a tenant's. Checked in the operator, a pattern may take
years, a comparison of each item with each other one hours, and a reference may lead to any URL or into a circle. So a schema with such keywords is
left to Airflow, which refuses the run then, and so is what exceeds the work that is done for one conf.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jsonschema

MAX_WORK = 50_000
"""Parts of schemas times parts of their values that are compared for one conf, a tenth of a second."""
OF_A_SCHEMA = 50
"""The work that a schema takes whatever the value, for each of its parts: it is checked itself."""
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
"""Keywords whose check may take any time, or leads elsewhere."""


class Checks:
    """The checks of one conf."""

    def __init__(self) -> None:
        self._work = 0

    def problem(self, value: Any, schema: Any) -> jsonschema.ValidationError | None:
        """What is wrong with a param's value; None: nothing, or it is for Airflow to say."""
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
            # The DAG's own mistake; Airflow says what it makes of it.
            pass
        return None


def _parts(value: Any, most: int) -> list[tuple[str | None, Any]]:
    """Everything in a JSON value with its key, the value included; no more than somewhat above ``most``."""
    found: list[tuple[str | None, Any]] = [(None, value)]
    for _, part in found:
        if len(found) > most:
            break
        if isinstance(part, Mapping):
            found += part.items()
        elif isinstance(part, list):
            found += [(None, item) for item in part]
    return found
