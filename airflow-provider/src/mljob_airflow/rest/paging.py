"""Lists that Airflow gives in pages, in a way that 3.1 to 3.3 understand.

Airflow 3.1 knows no cursors: it ignores the one that is asked for and follows the offset, which later versions ignore in turn. So every
page is asked for by both, and no version has to be known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

PAGE_SIZE = 100
"""``[api] maximum_page_limit``'s default; a server with a smaller one answers smaller pages, which is fine."""

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Page:
    """Rows of a list, and whether they are its last."""

    rows: Sequence[Row]
    is_last: bool


def pages(field: str, ask: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> Iterator[Page]:
    """The pages of a list, each asked for when the one before it has been used.

    Args:
        field: Where an answer has its rows.
        ask: Makes the request for a page, whose place it gets as query parameters (``cursor``, ``offset``, ``limit``), and returns the
            answer's JSON. A list that has no cursors in any version may leave the first out.
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
