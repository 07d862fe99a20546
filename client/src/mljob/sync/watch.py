# Generated from mljob.aio by client/generate.py.
"""Lists and watches a collection of objects. The results of all requests form one stream of
changes. The stream reports no state of an object twice.

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
"""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Mapping
from time import monotonic
from typing import Any, Final, Generic, TypeVar

from ..changes import Change, ChangeKind, Known
from ..errors import ApiError, BadAnswer, Expired, PluginFailed, TooManyRequests, Unavailable, from_status
from ..json_text import parse_json
from ..retries import wait_seconds
from . import runtime
from .answers import TooLarge
from .transport import Transport, until

Item = TypeVar("Item")

PAGE_SIZE: Final = 500
"""The maximum number of objects in a page of a list. Pages with large objects have fewer."""
MAX_ITEMS: Final = 100_000
"""The maximum number of objects in a list."""
WATCH_SECONDS: Final = 300
"""The maximum duration of one watch request, in seconds. The next watch request continues where the
last one ended.
"""
IDLE_SECONDS: Final = 90.0
"""How long a watch may be silent, in seconds. The API server sends a bookmark each minute, so a
longer silence means that the connection is dead, for example after a laptop's sleep.
"""
_SHORT_SECONDS: Final = 1.0
"""A watch that lasts less than this many seconds counts as a failure."""
_MAX_LISTS_IN_A_ROW: Final = 5
"""The maximum number of times that a list is begun, if its pages expire before the list is
complete.
"""


def list_objects(
    transport: Transport,
    path: str,
    convert: Callable[[dict[str, Any]], Item],
    params: Mapping[str, str] | None = None,
    deadline: float | None = None,
) -> tuple[list[Item], str]:
    """Return all objects of a collection, and the resource version to watch from.

    Args:
        transport: The connections to the API server.
        path: The path of the collection.
        convert: Converts an object from JSON to an item of the result. Only the JSON of one page is
            in memory at a time.
        params: The query parameters ``labelSelector`` and ``fieldSelector``, or None.
        deadline: The time until which the API server must answer, on the clock of
            ``time.monotonic()``, or None.

    Raises:
        ApiError: The API server refused a request or did not answer in time, an answer is not
            valid, or the collection has more than :data:`MAX_ITEMS` objects.
    """
    for attempt in range(1, _MAX_LISTS_IN_A_ROW + 1):
        try:
            return _all_pages(transport, path, convert, dict(params or {}), deadline)
        except Expired:
            if attempt == _MAX_LISTS_IN_A_ROW:
                raise
    raise AssertionError("unreachable")


def _all_pages(
    transport: Transport,
    path: str,
    convert: Callable[[dict[str, Any]], Item],
    params: dict[str, str],
    deadline: float | None,
) -> tuple[list[Item], str]:
    items: list[Item] = []
    query, size = dict(params), PAGE_SIZE
    while True:
        try:
            page = transport.request("GET", path, params={**query, "limit": str(size)}, deadline=deadline)
        except TooLarge:
            if size == 1:
                raise
            # Objects that are so large are rare, so the next page is larger again.
            size = max(1, size // 10)
            continue
        size = min(PAGE_SIZE, 2 * size)
        found, metadata = page.get("items"), page.get("metadata")
        if not isinstance(found, list) or not isinstance(metadata, dict):
            raise BadAnswer(f"GET {path}: the answer is not a list of objects.")
        items += [convert(raw) for raw in found if isinstance(raw, dict)]
        if len(items) > MAX_ITEMS:
            raise BadAnswer(f"GET {path}: more than {MAX_ITEMS} objects. Ask for fewer, for example by a selector.")
        following = metadata.get("continue")
        if not following:
            return items, str(metadata.get("resourceVersion", ""))
        query["continue"] = str(following)


def watch_objects(
    transport: Transport,
    path: str,
    convert: Callable[[dict[str, Any]], Item],
    params: Mapping[str, str] | None = None,
    deadline: float | None = None,
) -> Generator[Change[Item], None]:
    """Yield an addition for each object of a collection, then the later changes. The stream ends at
    the deadline. To end the stream earlier, close the iterator.

    After the first list, a lost connection, a failed exec credential plugin, and the statuses 429
    and 5xx are not errors: the stream yields a change of the kind Disconnected, and connects again.

    Args:
        transport: The connections to the API server.
        path: The path of the collection.
        convert: Converts an object from JSON to the attribute ``item`` of a :class:`.Change`.
        params: The query parameters ``labelSelector`` and ``fieldSelector``, or None.
        deadline: When the stream ends, on the clock of ``time.monotonic()``, or None.

    Raises:
        ApiError: The first list failed, the API server refused a request, or an answer is too large
            or not valid.
        ConfigError: The person's credentials can't be used.
    """
    watch = _Watch(transport, path, convert, dict(params or {}), deadline)
    while not watch.is_over:
        try:
            for change in watch.listed():
                yield change
            with runtime.closing(watch.changes()) as changes:
                for change in changes:
                    yield change
            watch.pause_if_short()
        except Expired:
            watch.forget_version()
        except (Unavailable, TooManyRequests) as error:
            if watch.is_over:
                return
            yield watch.lost(error)
            watch.pause(error.retry_after)


class _Watch(Generic[Item]):
    """The state of a watch between its requests: the objects that the caller knows, the resource
    version to continue from, and the number of failures in a row.
    """

    def __init__(
        self,
        transport: Transport,
        path: str,
        convert: Callable[[dict[str, Any]], Item],
        params: dict[str, str],
        deadline: float | None,
    ) -> None:
        self._transport = transport
        self._path = path
        self._params = params
        self._deadline = deadline
        self._known: Known[Item] = Known(convert)
        self._version = ""
        self._was_synced = False
        self._is_lost = False
        self._failures = 0
        self._begun = 0.0

    @property
    def is_over(self) -> bool:
        return self._deadline is not None and monotonic() >= self._deadline

    def listed(self) -> list[Change[Item]]:
        """If there is no version to watch from, list the collection, and return the changes since
        the last list or watch. Otherwise return an empty list.
        """
        if self._version:
            return []
        self._begun = monotonic()
        found, self._version = list_objects(
            self._transport, self._path, self._known.state, self._params, self._deadline
        )
        self._was_synced, self._is_lost = True, False
        return [*self._known.replace(found), Change(ChangeKind.SYNCED)]

    def changes(self) -> Generator[Change[Item], None]:
        query = _watch_query(self._params, self._version, self._deadline)
        idle = until(self._deadline, IDLE_SECONDS)
        self._begun = monotonic()
        with self._transport.lines(self._path, params=query, idle_seconds=idle) as lines:
            if self._is_lost:
                self._is_lost = False
                yield Change(ChangeKind.CONNECTED)
            for line in lines:
                kind, raw = _parse_event(line, self._path)
                news = _apply(self._known, kind, raw)
                self._failures = 0
                self._version = _version(raw) or self._version
                for change in news:
                    yield change
                if self.is_over:
                    return

    def lost(self, error: ApiError) -> Change[Item]:
        if not self._was_synced:
            raise error
        self._is_lost = True
        self._forgive()
        return Change(ChangeKind.DISCONNECTED, message=str(error), lacks_credentials=isinstance(error, PluginFailed))

    def forget_version(self) -> None:
        """Forget the resource version to continue from, so that the next request is a list. Count a
        failure, and from the second failure in a row on, also wait.
        """
        self._version = ""
        self._failures += 1
        if self._failures > 1:
            runtime.sleep(until(self._deadline, wait_seconds(self._failures)))

    def pause_if_short(self) -> None:
        """Wait if the last watch took less than ``_SHORT_SECONDS``, for example because a proxy
        ends each watch at once.
        """
        self._forgive()
        if monotonic() - self._begun < _SHORT_SECONDS:
            self.pause()

    def _forgive(self) -> None:
        if monotonic() - self._begun >= _SHORT_SECONDS:
            self._failures = 0

    def pause(self, retry_after: float | None = None) -> None:
        """Count a failure, and wait for the time that :func:`.wait_seconds` returns. If the deadline
        is earlier, wait until the deadline. ``retry_after`` is how long the API server asks the
        client to wait, in seconds, or None.
        """
        self._failures += 1
        runtime.sleep(until(self._deadline, wait_seconds(self._failures, retry_after)))


def _watch_query(params: Mapping[str, str], version: str, deadline: float | None) -> dict[str, str]:
    seconds = WATCH_SECONDS * random.uniform(0.8, 1.0)  # noqa: S311 - so that many watches don't end at once
    return {
        **params,
        "watch": "true",
        "allowWatchBookmarks": "true",
        "resourceVersion": version,
        "timeoutSeconds": str(max(int(until(deadline, seconds)), 1)),
    }


def _parse_event(line: bytes, path: str) -> tuple[str, dict[str, Any]]:
    try:
        event = parse_json(line)
    except ValueError:
        event = None
    if not isinstance(event, dict) or not isinstance(raw := event.get("object"), dict):
        raise Unavailable(f"watch {path}: the connection was cut in the middle of an event, or is no watch.")
    return str(event.get("type", "")), raw


def _apply(known: Known[Item], kind: str, raw: dict[str, Any]) -> list[Change[Item]]:
    if kind in ("ADDED", "MODIFIED"):
        return known.put(known.state(raw))
    if kind == "DELETED":
        return known.remove(raw)
    if kind == "ERROR":
        raise _watch_error(raw)
    return []  # a bookmark, or a kind that this version does not know


def _watch_error(status: dict[str, Any]) -> ApiError:
    code = status.get("code")
    return from_status(code if isinstance(code, int) else 500, status, asked="watch")


def _version(raw: dict[str, Any]) -> str:
    metadata = raw.get("metadata")
    version = metadata.get("resourceVersion") if isinstance(metadata, dict) else None
    return version if isinstance(version, str) else ""
