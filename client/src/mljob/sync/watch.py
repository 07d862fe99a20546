# Generated from mljob.aio by client/generate.py.
"""Lists and watches: what the API server says about a set of objects, as one stream that misses no
object's newest state and tells no state twice.

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
"""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Mapping
from time import monotonic
from typing import Any, Final, TypeVar

from ..changes import Change, ChangeKind, Known
from ..errors import ApiError, BadAnswer, Expired, TooManyRequests, Unavailable, from_status
from ..json_text import parse_json
from ..retries import wait_seconds
from . import runtime
from .transport import Transport, until

Item = TypeVar("Item")

PAGE_SIZE: Final = 500
"""How many objects a page of a list has."""
MAX_ITEMS: Final = 100_000
"""The maximum number of objects in a list."""
WATCH_SECONDS: Final = 300
"""How long one watch request lasts, in seconds. The next one continues where it ended."""
IDLE_SECONDS: Final = 90.0
"""How long a watch may be silent, in seconds. The API server sends a bookmark each minute, so a
longer silence means that the connection is dead, for example after a laptop's sleep.
"""
_SHORT_SECONDS: Final = 1.0
"""A watch that ends sooner counts as a failure."""
_MAX_LISTS_IN_A_ROW: Final = 5
"""How often a list is begun again because its pages have expired."""


def list_objects(
    transport: Transport, path: str, params: Mapping[str, str] | None = None, deadline: float | None = None
) -> tuple[list[dict[str, Any]], str]:
    """Return all objects of a collection, and the resource version to watch from.

    Args:
        transport: The cluster.
        path: The path of the collection.
        params: ``labelSelector`` and ``fieldSelector``.
        deadline: When the caller stops waiting, as ``time.monotonic()``, or None.

    Raises:
        ApiError: The API server refused, or did not answer.
    """
    for attempt in range(1, _MAX_LISTS_IN_A_ROW + 1):
        try:
            return _all_pages(transport, path, dict(params or {}), deadline)
        except Expired:
            if attempt == _MAX_LISTS_IN_A_ROW:
                raise
    raise AssertionError("unreachable")


def _all_pages(
    transport: Transport, path: str, params: dict[str, str], deadline: float | None
) -> tuple[list[dict[str, Any]], str]:
    items: list[dict[str, Any]] = []
    query = {**params, "limit": str(PAGE_SIZE)}
    while True:
        page = transport.request("GET", path, params=query, deadline=deadline)
        found, metadata = page.get("items"), page.get("metadata")
        if not isinstance(found, list) or not isinstance(metadata, dict):
            raise BadAnswer(f"GET {path}: the answer is not a list of objects.")
        items += [item for item in found if isinstance(item, dict)]
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
    """List a collection, then tell its changes for as long as the caller reads.

    A lost connection is made again, and a change that the API server no longer has (410) is found
    by another list. Close the iterator with ``aclosing`` to end the request at once.

    Args:
        transport: The cluster.
        path: The path of the collection.
        convert: Makes the item to tell and to keep from an object as JSON.
        params: ``labelSelector`` and ``fieldSelector``.
        deadline: When the stream ends, as ``time.monotonic()``, or None.

    Raises:
        ApiError: The API server refused, for example because a right is missing, or the first list
            failed. After that, a lost connection is no error.
    """
    known: Known[Item] = Known(convert)
    version, lost, failures = "", True, 0
    while deadline is None or monotonic() < deadline:
        try:
            if not version:
                listed, version = list_objects(transport, path, params, deadline)
                for change in known.replace(listed):
                    yield change
                yield Change(ChangeKind.SYNCED)
                lost = False
            query = _watch_query(params, version, deadline)
            begun = monotonic()
            with transport.lines(path, params=query, idle_seconds=until(deadline, IDLE_SECONDS)) as lines:
                if lost:
                    yield Change(ChangeKind.CONNECTED)
                    lost = False
                for line in lines:
                    failures = 0
                    kind, raw = _parse_event(line, path)
                    changes = _apply(known, kind, raw)
                    version = _version(raw) or version
                    for change in changes:
                        yield change
                    if deadline is not None and monotonic() >= deadline:
                        return
            # A proxy or an API server that ends each watch at once is not asked without a pause.
            failures = failures + 1 if monotonic() - begun < _SHORT_SECONDS else 0
            if failures:
                runtime.sleep(until(deadline, wait_seconds(failures)))
        except Expired:
            version = ""
        except (Unavailable, TooManyRequests) as error:
            if not version and not len(known) and failures == 0:
                raise
            failures += 1
            lost = True
            yield Change(ChangeKind.DISCONNECTED, message=str(error))
            runtime.sleep(until(deadline, wait_seconds(failures, error.retry_after)))


def _watch_query(params: Mapping[str, str] | None, version: str, deadline: float | None) -> dict[str, str]:
    seconds = WATCH_SECONDS * random.uniform(0.8, 1.0)  # noqa: S311 - so that many watches don't end at once
    return {
        **(params or {}),
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
        return known.put(raw)
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
