"""Reads Airflow's answers field by field, and checks the type and the size of each field."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from mljob_contract.mljob import StatusSource
from mljob_contract.times import FIRST_YEAR, LAST_YEAR

from ...core.run.facts import RunFact, TaskFact
from ...core.run.states import run_state, task_state
from ...core.text.storable import cut, whole
from ...errors import AirflowUnreadable

MAX_ID = 1000
"""The maximum number of characters of an id or a word. Airflow's columns have 250."""
MAX_PROSE = 4000
"""The maximum number of characters of a text that people wrote. Longer texts are cut."""
MAX_LEVELS = 64
"""The maximum number of nested levels of a JSON value that tasks or people wrote. The conf of an
MLJob has at most 32 levels."""
_INT32 = 1 << 31
_YEARS = range(FIRST_YEAR, LAST_YEAR + 1)
"""The years that a time in an MLJob's status may have."""


class Row:
    """A JSON object in Airflow's answer, with methods that read and check its fields.

    Args:
        data: The object.
        url: The URL of the request, for error messages.
        size: The number of bytes of the answer, or 0 for an object within an answer.

    Raises:
        AirflowUnreadable: ``data`` is not an object. Each method that returns a field's value also
            raises this error if the field is invalid. A missing field is invalid, unless the
            method's description says otherwise. The message does not quote the value.
    """

    def __init__(self, data: Any, url: str, size: int = 0) -> None:
        if not isinstance(data, dict):
            raise AirflowUnreadable(
                f"{url} answered with a {_kind(data)} where Airflow gives an object. Is it Airflow's api-server?",
                outcome_unknown=True,
            )
        self._data: Mapping[str, Any] = data
        self._url = url
        self.size = size

    def text(self, field: str, max_length: int = MAX_ID) -> str:
        """Return the field's value: a text, such as an id or a state, of at most ``max_length``
        characters. A longer text is an error.
        """
        value = self._data.get(field)
        if not isinstance(value, str) or len(value) > max_length or whole(value) != value:
            raise self.invalid(field, f"a text of at most {max_length} characters")
        return value

    def text_or_none(self, field: str, max_length: int = MAX_ID) -> str | None:
        """Return the result of :meth:`text`, or None if the field is null or absent."""
        return None if self._data.get(field) is None else self.text(field, max_length)

    def text_or_null(self, field: str) -> str | None:
        """Return the result of :meth:`text`, or None if the field is null. An absent field is an
        error.
        """
        return self.text_or_none(field) if self.has(field) else self.text(field)

    def prose(self, field: str, max_length: int | None = MAX_PROSE) -> str:
        """Return the field's value: a text that people wrote, cut to ``max_length`` characters, or
        uncut if ``max_length`` is None. The text is empty if the field is null or absent.
        """
        value = self._data.get(field)
        if value is not None and not isinstance(value, str):
            raise self.invalid(field, "a text")
        return whole(value or "") if max_length is None else cut(value or "", max_length)

    def number(self, field: str) -> int:
        """Return the field's value: a signed integer of 32 bits."""
        value = self._data.get(field)
        if not isinstance(value, int) or isinstance(value, bool) or not -_INT32 <= value < _INT32:
            raise self.invalid(field, "a whole number of 32 bits")
        return value

    def number_or_none(self, field: str) -> int | None:
        """Return the field's value: a signed integer of 32 bits, or None if the field is null or
        absent.
        """
        return None if self._data.get(field) is None else self.number(field)

    def flag(self, field: str) -> bool:
        """Return the field's value: true or false."""
        value = self._data.get(field)
        if not isinstance(value, bool):
            raise self.invalid(field, "true or false")
        return value

    def time(self, field: str) -> datetime:
        """Return the field's value: a time with a zone, converted to UTC."""
        value = self._data.get(field)
        try:
            # Airflow's times are ISO 8601, with a zone.
            given = datetime.fromisoformat(value)  # type: ignore[arg-type]
            moment = given.astimezone(UTC)
        except (TypeError, ValueError, OverflowError):
            raise self.invalid(field, "a time") from None
        if given.tzinfo is None or moment.year not in _YEARS:
            raise self.invalid(field, "a time with a zone")
        return moment

    def time_or_none(self, field: str) -> datetime | None:
        """Return the field's value: a time with a zone, converted to UTC. Return None if the field
        is null or absent.
        """
        return None if self._data.get(field) is None else self.time(field)

    def row(self, field: str) -> Row:
        """Return the Row of the object in the field."""
        value = self._data.get(field)
        if not isinstance(value, dict):
            raise self.invalid(field, "an object")
        return Row(value, self._url)

    def row_or_none(self, field: str) -> Row | None:
        """Return the Row of the object in the field, or None if the field is null or absent."""
        return None if self._data.get(field) is None else self.row(field)

    def rows(self, field: str) -> list[Row]:
        """Return a Row for each object of the list in the field."""
        value = self._data.get(field)
        if not isinstance(value, list):
            raise self.invalid(field, "a list")
        return [Row(item, self._url) for item in value]

    def texts(self, field: str) -> list[str]:
        """Return the field's value: a list of strings, or an empty list if the field is null or
        absent.
        """
        value = self._data.get(field)
        if value is not None and not (isinstance(value, list) and all(isinstance(item, str) for item in value)):
            raise self.invalid(field, "a list of texts")
        return value or []

    def content(self, field: str) -> dict[str, Any]:
        """Return the field's value: a JSON object with any fields, such as a run's conf. Return an
        empty object if the field is null. More than ``MAX_LEVELS`` nested levels are an error.
        """
        value = self.value(field)
        if value is None:
            return {}
        if not isinstance(value, dict) or not _within(value, MAX_LEVELS):
            raise self.invalid(field, f"an object of at most {MAX_LEVELS} levels")
        return value

    def value(self, field: str) -> Any:
        """Return the field's value, of any JSON type."""
        if field not in self._data:
            raise self.invalid(field, "there")
        return self._data[field]

    def starts_with(self, field: str, prefix: str) -> bool:
        """Return whether the field is a string with this prefix."""
        value = self._data.get(field)
        return isinstance(value, str) and value.startswith(prefix)

    def has(self, field: str) -> bool:
        """Return whether the object has this field."""
        return field in self._data

    def invalid(self, field: str, expected: str) -> AirflowUnreadable:
        """Return the error for a missing or invalid field. ``expected`` describes a valid value."""
        found = f"is a {_kind(self._data[field])}" if field in self._data else "is missing"
        return AirflowUnreadable(
            f"{self._url} answered with JSON in which {field} {found}, and should be {expected}. Is it Airflow's api-server?",
            outcome_unknown=True,
        )


def run_fact(row: Row, observed_at: datetime) -> RunFact:
    """Return the RunFact of a dag run in Airflow's answer. ``observed_at`` is the time just before
    the request.
    """
    return RunFact(
        state=run_state(row.text_or_null("state")),
        source=StatusSource.REST,
        occurred_at=observed_at,
        observed_at=observed_at,
        start=row.time_or_none("start_date"),
        end=row.time_or_none("end_date"),
        queued_at=row.time_or_none("queued_at"),
    )


def task_fact(row: Row, observed_at: datetime) -> TaskFact:
    """Return the TaskFact of a task instance in Airflow's answer. ``observed_at`` is the time just
    before the request.
    """
    return TaskFact(
        task_id=row.text("task_id"),
        map_index=row.number("map_index"),
        try_number=row.number("try_number"),
        state=task_state(row.text_or_null("state")),
        source=StatusSource.REST,
        occurred_at=observed_at,
        observed_at=observed_at,
        max_tries=row.number_or_none("max_tries"),
        start=row.time_or_none("start_date"),
        end=row.time_or_none("end_date"),
    )


def assert_about(row: Row, dag_id: str, run_id: str) -> None:
    """Check that an answer is about the requested run.

    Raises:
        AirflowUnreadable: The answer is about another run.
    """
    found = row.text("dag_id"), row.text("dag_run_id")
    if found != (dag_id, run_id):
        raise AirflowUnreadable(
            f"Airflow was asked for run {run_id} of DAG {dag_id!r} and answered with run {found[1]} of DAG {found[0]!r}. "
            "Is a cache in front of it?",
            outcome_unknown=True,
        )


def now() -> datetime:
    """Return the current time in UTC. Call this function just before a request: a state in the
    answer is not older than this time.
    """
    return datetime.now(UTC)


def _kind(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "string"
        case list():
            return "list"
        case _:
            return "object"


def _within(value: Any, levels: int) -> bool:
    """Return whether a value has at most ``levels`` nested levels. Deeper levels are not read,
    because they could exhaust the stack.
    """
    if not isinstance(value, dict | list):
        return True
    items = value.values() if isinstance(value, dict) else value
    return levels > 0 and all(_within(item, levels - 1) for item in items)
