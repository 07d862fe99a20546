"""Checks the values of a conf against the JSON schemas of the DAG's params.

Neither the schemas nor the values can be trusted. Matching a pattern may take years, comparing all
items of a list may take hours, and a reference may lead to any URL or into a cycle. So the operator
skips a schema with a keyword for such a check, and a value whose check would exceed a work limit.
Airflow makes the skipped checks when the run is submitted, and refuses the run if a value is
invalid.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jsonschema

MAX_WORK = 50_000
"""The limit of the work for one conf. This much work takes a tenth of a second. The work for each
param is ``parts of the schema * (OF_A_SCHEMA + parts of the value)``.
"""
OF_A_SCHEMA = 50
"""The work to check one part of the schema itself, before any value is checked."""
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
"""Keywords that the operator doesn't check, because the check may take any time or may load another
document. The operator skips every schema that has such a keyword.
"""


class Checks:
    """Checks the values of one conf against the schemas of their params. All checks of the conf
    share one work limit.
    """

    def __init__(self) -> None:
        self._work = 0

    def problem(self, value: Any, schema: Any) -> jsonschema.ValidationError | None:
        """Return the error in a param's value. Return None if the value is valid, or in one of
        these cases:

        - The schema is not a JSON object, or is not a valid JSON schema.
        - The schema has a keyword of ``LEFT_TO_AIRFLOW``, or ``"format": "regex"``.
        - The checks of this value and of the earlier values of this conf together exceed the work
          limit.
        """
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
            # The schema itself is wrong. Airflow decides what happens to the run.
            pass
        return None


def _parts(value: Any, most: int) -> list[tuple[str | None, Any]]:
    """Return a JSON value and all values nested in it, each as a pair of its key and the value. The
    outermost value and the items of lists have the key None. The search ends when the number of
    values exceeds ``most``.
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
