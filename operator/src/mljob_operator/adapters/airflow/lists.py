"""Reads the lists of Airflow's REST API, page by page."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from ...errors import AirflowListTooLong, AirflowUnreadable
from .absence import NEVER, Absence
from .bodies import MAX_PAGE_BYTES, TooLarge
from .rows import Row

log = logging.getLogger(__name__)

T = TypeVar("T")

PAGE = 100
"""The number of objects (rows) per page of a list: the default of Airflow's ``[api]
maximum_page_limit``. An Airflow with a lower limit returns fewer rows, so a page with fewer rows
need not be the last page."""
MAX_PAGES = 2_000
"""The maximum number of pages of one list. So many pages have 200,000 rows, which take more than
100 MB of memory. A longer list raises AirflowListTooLong."""
MAX_LIST_SECONDS = 300.0
"""The longest time in seconds for reading the pages of one list. A list that takes longer raises
AirflowListTooLong. This is less than the time after which the caller gives up
(:data:`.lanes.OPERATION_TIMEOUT`), so the caller learns the reason, and the thread becomes free."""
MAX_CURSOR = 4096
"""The maximum number of characters of a page's cursor."""

_REPEATED = 100
"""The maximum number of different messages about rows that are left out. Others are not logged."""


class ListReader:
    """Reads the lists of one Airflow. Threads may share the reader.

    Args:
        ask: Sends a request (:meth:`.Session.ask`).
        url: The base URL of Airflow, for error messages.

    Attributes:
        rows_read: How many rows were read so far. The number may be a little too low, because
            threads don't wait for each other to count.
    """

    def __init__(self, ask: Callable[..., Row], url: str) -> None:
        self._ask = ask
        self._url = url
        self.rows_read = 0
        self._logged: set[str] = set()

    def rows(
        self,
        field: str,
        method: Callable[..., Any],
        *args: Any,
        cursors: bool = False,
        absent: Absence = NEVER,
        skip_too_large: bool = False,
        **query: Any,
    ) -> Iterator[Row]:
        """Request all pages of a list, and yield their rows.

        Args:
            field: The field of a page that holds the rows.
            method: A method of apache-airflow-client's API classes, as for :meth:`.Session.ask`.
            args: The method's positional arguments.
            cursors: Whether this list has cursors in Airflow 3.2 and later. Requests then have a
                cursor and an offset, because 3.1 ignores the cursor.
            absent: The texts by which Airflow says that the object to which the list belongs
                does not exist, for example the run of a list of task instances.
            skip_too_large: Whether to leave out a row that is too large to be read. Set this for a
                list of many runs, so that one large conf does not hide the other runs.
            query: The method's keyword arguments.

        Raises:
            AirflowListTooLong: The list has more than ``MAX_PAGES`` (2,000) pages, or has not ended
                after ``MAX_LIST_SECONDS`` (300).
            AirflowUnreadable: A page gives its own cursor as the cursor of the next page, or a page
                holds more rows than requested.
            TooLarge: One row is too large, and ``skip_too_large`` is false.
            Exception: The other exceptions of :meth:`.Session.ask`.
        """
        rows_of = f"{field} of {self._url}"
        position: dict[str, Any] = {"limit": PAGE, "offset": 0} | ({"cursor": ""} if cursors else {})
        late = time.monotonic() + MAX_LIST_SECONDS
        for _ in range(MAX_PAGES):
            if time.monotonic() > late:
                raise AirflowListTooLong(f"The list of {rows_of} has not ended after {MAX_LIST_SECONDS:.0f} s.")
            try:
                page = self._ask(method, *args, absent=absent, max_bytes=MAX_PAGE_BYTES, **position, **query)
            except TooLarge:
                if position["limit"] > 1:
                    # The page has a large row, for example because of a run's conf. A page with
                    # fewer rows may fit the limit.
                    position["limit"] = max(1, position["limit"] // 10)
                    continue
                if not skip_too_large:
                    raise
                self._log_once(f"{rows_of}, row {position['offset'] + 1}: it is too large to be read")
                # The cursor for the rows after this row is in the page that can't be read. If a
                # request has no cursor, Airflow uses the offset.
                position = {"limit": PAGE, "offset": position["offset"] + 1}
                continue
            rows = page.rows(field)
            if len(rows) > position["limit"]:
                raise AirflowUnreadable(
                    f"Airflow answered with {len(rows)} {field} where {position['limit']} were asked for."
                )
            self.rows_read += len(rows)
            yield from rows
            position["offset"] += len(rows)
            position["limit"] = PAGE
            if cursors and page.has("next_cursor"):
                next_cursor = page.text_or_none("next_cursor", MAX_CURSOR)
                if next_cursor is not None and next_cursor == position.get("cursor"):
                    raise AirflowUnreadable(f"The pages of {rows_of} lead back to themselves.")
                position["cursor"] = next_cursor
                more = next_cursor is not None
            else:
                more = position["offset"] < page.number("total_entries")
            if not rows or not more:
                return
        raise AirflowListTooLong(f"The list of {rows_of} has not ended after {MAX_PAGES} pages.")

    def each(self, rows: Iterable[Row], read: Callable[[Row], T]) -> Iterator[T]:
        """Call ``read`` with each row, and yield the results. A row for which ``read`` raises
        AirflowUnreadable is left out, and the error is logged. A reader logs equal errors once, and
        at most 100 different errors (``_REPEATED``).
        """
        for row in rows:
            try:
                yield read(row)
            except AirflowUnreadable as error:
                self._log_once(str(error))

    def _log_once(self, why: str) -> None:
        if why not in self._logged and len(self._logged) < _REPEATED:
            self._logged.add(why)
            log.warning("a row is left out: %s", why)
