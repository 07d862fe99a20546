"""The parts that the routes of the simulated REST API share: the request, the pages of a list, and
the error for an answer with an error status.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from .runs import Json, Run, TaskInstance

MAXIMUM_PAGE = 100
"""The maximum number of rows in an answer: Airflow's default of ``[api] maximum_page_limit``."""


class Refused(Exception):
    """Makes the simulated Airflow answer with an error status. The error's text becomes the field
    ``detail`` of the answer.

    Attributes:
        status: The HTTP status.
    """

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


@dataclass(frozen=True)
class Request:
    """A request to the simulated REST API.

    Attributes:
        path: The variable segments of the path by name, without percent-encoding.
        query: The values of each query parameter, by name.
        body: The body, parsed from JSON, or None without a body.
    """

    path: Mapping[str, str]
    query: Mapping[str, list[str]] = field(default_factory=dict)
    body: Any = None

    def one(self, name: str) -> str | None:
        """Return the first value of a query parameter, or None without the parameter."""
        values = self.query.get(name)
        return values[0] if values else None

    def time(self, name: str) -> datetime | None:
        """Return a query parameter as a time, or None if the parameter is missing or empty.

        Raises:
            Refused: The value is not a time with a time zone.
        """
        text = self.one(name)
        return moment(name, text) if text else None

    def number(self, name: str, default: int) -> int:
        """Return a query parameter as a whole number, or ``default`` if the parameter is missing or
        empty.

        Raises:
            Refused: The value is not a whole number, has a sign, or has more than 18 digits.
        """
        text = self.one(name)
        if not text:
            return default
        if not text.isdecimal() or len(text) > 18:
            raise Refused(422, f"{name}: {text[:50]!r} is no whole number")
        return int(text)

    def content(self, *required: str) -> Json:
        """Return the body as a JSON object.

        Raises:
            Refused: The body is not an object, or a field named in ``required`` is missing.
        """
        if not isinstance(self.body, dict):
            raise Refused(422, "body: has to be an object")
        for name in required:
            if name not in self.body:
                raise Refused(422, f"body.{name}: Field required")
        return self.body


Answer = tuple[int, Any]
Row = TypeVar("Row", Run, TaskInstance)


def moment(name: str, text: str) -> datetime:
    """Convert a text to a time. ``name`` is the name of the parameter or field, for the error.

    Raises:
        Refused: The text is not a time with a time zone.
    """
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise Refused(422, f"{name}: {text[:50]!r} is no time") from None
    if at.tzinfo is None:
        raise Refused(422, f"{name}: {text[:50]!r} has no time zone")
    return at


def page(request: Request, name: str, rows: list[Json]) -> Json:
    """Return one page of ``rows`` as the body of an answer, with at most ``MAXIMUM_PAGE`` rows.

    Args:
        request: The request, with the query parameters ``offset`` and ``limit``.
        name: The name of the body's field for the rows.
        rows: All rows of the list.
    """
    limit = min(request.number("limit", MAXIMUM_PAGE), MAXIMUM_PAGE)
    begin = request.number("offset", 0)
    return {name: rows[begin : begin + limit], "total_entries": len(rows)}


def numbered_page(request: Request, name: str, found: Iterable[Row], fits: Callable[[Row], bool]) -> Json:
    """Return one page of runs or task instances as the body of an answer, oldest first.

    Each run and each task instance has a number, which grows in the order of creation. The query
    parameter ``cursor`` is the number of the last row on the previous page, or empty for the first
    page. So a row that enters or leaves the list between two requests does not shift the next page.
    Without ``cursor``, the query parameter ``offset`` is how many rows to skip.

    Args:
        request: The request.
        name: The name of the body's field for the rows.
        found: All runs or task instances.
        fits: Returns whether a run or task instance belongs to the list.
    """
    limit = min(request.number("limit", MAXIMUM_PAGE), MAXIMUM_PAGE)
    if request.one("cursor") is None:
        rows = sorted(filter(fits, found), key=_number)
        begin = request.number("offset", 0)
        return {name: [row.row() for row in rows[begin : begin + limit]], "total_entries": len(rows)}
    after = request.number("cursor", 0)
    rows = sorted((row for row in found if row.number > after and fits(row)), key=_number)
    more = len(rows) > limit
    rows = rows[:limit]
    return {
        name: [row.row() for row in rows],
        "next_cursor": str(rows[-1].number) if more else None,
        "previous_cursor": None,
    }


def _number(row: Run | TaskInstance) -> int:
    return row.number
