"""Reads lists that Airflow returns in pages, for Airflow 3.1 to 3.3.

A request for a page has both a cursor and an offset. Airflow 3.1 ignores the cursor. In later
versions, the lists that have cursors ignore the offset. So the code doesn't need to know the
version.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

PAGE_SIZE = 100
"""The number of rows that a request asks for. 100 is the default of Airflow's option ``[api]
maximum_page_limit``. A server with a lower limit returns smaller pages.
"""

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a list.

    Attributes:
        rows: The rows, as JSON objects.
        is_last: Whether no page follows.
    """

    rows: Sequence[Row]
    is_last: bool


def pages(field: str, ask: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> Iterator[Page]:
    """Yield the pages of a list. Each page is requested when the caller needs it.

    Args:
        field: The name of the answer's field that contains the rows.
        ask: A function that requests a page, and returns the answer's JSON object. This function
            gets the query parameters ``cursor``, ``offset`` and ``limit`` as a dict.
    """
    cursor: str | None = ""
    seen = 0
    while cursor is not None:
        answer = ask({"cursor": cursor, "offset": seen, "limit": PAGE_SIZE})
        rows = answer[field]
        seen += len(rows)
        more = answer.get("next_cursor", "" if seen < (answer.get("total_entries") or 0) else None)
        cursor = more if rows else None
        yield Page(rows, is_last=cursor is None)
