"""Parses Airflow Variables whose value is a JSON object.

Airflow's ``Variable.get`` with ``deserialize_json=True`` does not raise an error if the text is not
JSON, but returns the default (``_get_variable`` of Airflow 3.1 to 3.3). A task would then succeed
although the Variable is wrong.
"""

from __future__ import annotations

import json
from typing import Any


def json_object(name: str, text: str | None, *, example: str) -> dict[str, Any]:
    """Return the JSON object in the text of a Variable.

    The result is empty for ``None``, for a blank text and for ``null``.

    Args:
        name: The Variable's name, for the text of an error.
        text: The Variable's text, or ``None`` if the Variable does not exist.
        example: A valid text, for the text of an error.

    Raises:
        ValueError: The text is neither a JSON object nor ``null``.
    """
    if text is None or not text.strip():
        return {}
    way_out = f"it must be a JSON object, for example {example}"
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the Variable {name} is not JSON ({error}): {way_out}") from None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError(f"the Variable {name} is a {type(value).__name__}: {way_out}")
    return value
