"""What Airflow's answers hold, read field by field: each is of the type and size that Airflow gives it, or the answer is refused."""

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
"""Characters of an id or a word. Airflow's columns have 250."""
MAX_PROSE = 4000
"""Characters that are kept of what people have written."""
MAX_LEVELS = 64
"""How deep what tasks and people put into JSON may be nested. A conf of an MLJob has 32 levels at most."""
_INT32 = 1 << 31
_YEARS = range(FIRST_YEAR, LAST_YEAR + 1)
"""What a status can hold."""


class Row:
    """A JSON object of an answer.

    Args:
        data: Its fields.
        url: Whose answer it is in, for messages.
        size: Bytes of the answer, where this is all of it.

    Raises:
        AirflowUnreadable: By each of its methods: the field is missing, or is not what it should be. Its value is not told.
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

    def text(self, field: str, most: int = MAX_ID) -> str:
        """An id or a word of at most so many characters."""
        value = self._data.get(field)
        if not isinstance(value, str) or len(value) > most or whole(value) != value:
            raise self.odd(field, f"a text of at most {most} characters")
        return value

    def text_or_none(self, field: str, most: int = MAX_ID) -> str | None:
        """The same; None where it is null or absent."""
        return None if self._data.get(field) is None else self.text(field, most)

    def word(self, field: str) -> str | None:
        """A word that may be null, and may not be absent."""
        return self.text_or_none(field) if self.has(field) else self.text(field)

    def prose(self, field: str, most: int | None = MAX_PROSE) -> str:
        """A text of people's, cut to so many characters if they are given; empty where it is null or absent."""
        value = self._data.get(field)
        if value is not None and not isinstance(value, str):
            raise self.odd(field, "a text")
        return whole(value or "") if most is None else cut(value or "", most)

    def number(self, field: str) -> int:
        """A whole number as databases keep it."""
        value = self._data.get(field)
        if not isinstance(value, int) or isinstance(value, bool) or not -_INT32 <= value < _INT32:
            raise self.odd(field, "a whole number of 32 bits")
        return value

    def number_or_none(self, field: str) -> int | None:
        """The same; None where it is null or absent."""
        return None if self._data.get(field) is None else self.number(field)

    def flag(self, field: str) -> bool:
        """True or false."""
        value = self._data.get(field)
        if not isinstance(value, bool):
            raise self.odd(field, "true or false")
        return value

    def time(self, field: str) -> datetime:
        """A time in UTC."""
        value = self._data.get(field)
        try:
            # Airflow's times are ISO 8601, with a zone.
            given = datetime.fromisoformat(value)  # type: ignore[arg-type]
            moment = given.astimezone(UTC)
        except (TypeError, ValueError, OverflowError):
            raise self.odd(field, "a time") from None
        if given.tzinfo is None or moment.year not in _YEARS:
            raise self.odd(field, "a time with a zone")
        return moment

    def time_or_none(self, field: str) -> datetime | None:
        """The same; None where it is null or absent."""
        return None if self._data.get(field) is None else self.time(field)

    def row(self, field: str) -> Row:
        """An object in the object."""
        value = self._data.get(field)
        if not isinstance(value, dict):
            raise self.odd(field, "an object")
        return Row(value, self._url)

    def row_or_none(self, field: str) -> Row | None:
        """The same; None where it is null or absent."""
        return None if self._data.get(field) is None else self.row(field)

    def rows(self, field: str) -> list[Row]:
        """A list of objects."""
        value = self._data.get(field)
        if not isinstance(value, list):
            raise self.odd(field, "a list")
        return [Row(item, self._url) for item in value]

    def texts(self, field: str) -> list[str]:
        """A list of ids; empty where it is null or absent."""
        value = self._data.get(field)
        if value is not None and not (isinstance(value, list) and all(isinstance(item, str) for item in value)):
            raise self.odd(field, "a list of texts")
        return value or []

    def content(self, field: str) -> dict[str, Any]:
        """What people or tasks put into JSON; empty where it is null."""
        value = self.anything(field)
        if value is None:
            return {}
        if not isinstance(value, dict) or not _within(value, MAX_LEVELS):
            raise self.odd(field, f"an object of at most {MAX_LEVELS} levels")
        return value

    def anything(self, field: str) -> Any:
        """A field that has to be there, whatever is in it."""
        if field not in self._data:
            raise self.odd(field, "there")
        return self._data[field]

    def begins(self, field: str, prefix: str) -> bool:
        """Whether a field is a text that begins so; one that is no text does not."""
        value = self._data.get(field)
        return isinstance(value, str) and value.startswith(prefix)

    def has(self, field: str) -> bool:
        """Whether there is such a field."""
        return field in self._data

    def odd(self, field: str, wanted: str) -> AirflowUnreadable:
        """To be raised where a field is not what it should be."""
        found = f"is a {_kind(self._data[field])}" if field in self._data else "is missing"
        return AirflowUnreadable(
            f"{self._url} answered with JSON in which {field} {found}, and should be {wanted}. Is it Airflow's api-server?",
            outcome_unknown=True,
        )


def run_fact(row: Row, seen: datetime) -> RunFact:
    """A dag run."""
    return RunFact(
        state=run_state(row.word("state")),
        source=StatusSource.REST,
        at=seen,
        seen=seen,
        start=row.time_or_none("start_date"),
        end=row.time_or_none("end_date"),
        created=row.time_or_none("queued_at"),
    )


def task_fact(row: Row, seen: datetime) -> TaskFact:
    """A task instance."""
    return TaskFact(
        task_id=row.text("task_id"),
        map_index=row.number("map_index"),
        try_number=row.number("try_number"),
        state=task_state(row.word("state")),
        source=StatusSource.REST,
        at=seen,
        seen=seen,
        max_tries=row.number_or_none("max_tries"),
        start=row.time_or_none("start_date"),
        end=row.time_or_none("end_date"),
    )


def assert_about(row: Row, dag_id: str, run_id: str) -> None:
    """Refuse an answer about another run than the one that was asked for.

    Raises:
        AirflowUnreadable: It is.
    """
    found = row.text("dag_id"), row.text("dag_run_id")
    if found != (dag_id, run_id):
        raise AirflowUnreadable(
            f"Airflow was asked for run {run_id} of DAG {dag_id!r} and answered with run {found[1]} of DAG {found[0]!r}. "
            "Is a cache in front of it?",
            outcome_unknown=True,
        )


def now() -> datetime:
    """When a request is sent."""
    return datetime.now(UTC)


def _kind(value: Any) -> str:
    """What JSON calls a value's type."""
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
    """Whether a value is nested no deeper than this; it looks no further than it has to, for it calls itself."""
    if not isinstance(value, dict | list):
        return True
    items = value.values() if isinstance(value, dict) else value
    return levels > 0 and all(_within(item, levels - 1) for item in items)
