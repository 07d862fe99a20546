"""The changes of a set of objects, as a watch yields them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")


class ChangeKind(StrEnum):
    """The kind of a change: of an object, or of the connection to the API server."""

    ADDED = "Added"
    """The object is new to the reader."""
    MODIFIED = "Modified"
    """The object was changed."""
    DELETED = "Deleted"
    """The object was deleted, or no longer matches the selector."""
    SYNCED = "Synced"
    """The reader is up to date: all objects were listed. Comes after each list."""
    DISCONNECTED = "Disconnected"
    """The client has lost the connection, and makes a new one. Until the next change of the kind
    Connected or Synced, the last states of the objects may be out of date.
    """
    CONNECTED = "Connected"
    """The connection was made again, and continues where it was lost."""


@dataclass(frozen=True, slots=True)
class Change(Generic[Item]):
    """One change of an object, or of the connection to the API server.

    Attributes:
        kind: What happened.
        item: The object after the change; for a deletion, its last state. None for the kinds
            Synced, Disconnected and Connected.
        message: Why the connection was lost, for the kind Disconnected. Otherwise empty.
    """

    kind: ChangeKind
    item: Item | None = None
    message: str = ""


class Known(Generic[Item]):
    """The objects that a reader of a watch has seen. Decides which changes are new to the reader.

    Args:
        convert: Converts an object from JSON to the item that is kept, and that changes have.
    """

    def __init__(self, convert: Callable[[dict[str, Any]], Item]) -> None:
        self._convert = convert
        self._items: dict[tuple[str, str], tuple[str, str, Item]] = {}

    def __len__(self) -> int:
        return len(self._items)

    def put(self, raw: dict[str, Any]) -> list[Change[Item]]:
        """Store a state of an object. Return its changes for the reader: none if the state is
        known, and a deletion and an addition if the object has another uid than before.
        """
        key, uid, version = _identity(raw)
        known = self._items.get(key)
        if known is not None and known[:2] == (uid, version):
            return []
        item = self._convert(raw)
        self._items[key] = (uid, version, item)
        if known is None:
            return [Change(ChangeKind.ADDED, item)]
        if known[0] != uid:  # deleted and created again in between
            return [Change(ChangeKind.DELETED, known[2]), Change(ChangeKind.ADDED, item)]
        return [Change(ChangeKind.MODIFIED, item)]

    def remove(self, raw: dict[str, Any]) -> list[Change[Item]]:
        """Remove a deleted object, given in its last state. Return its deletion, or nothing if the
        object is not known.
        """
        key, uid, _ = _identity(raw)
        known = self._items.get(key)
        if known is None or known[0] != uid:
            return []
        del self._items[key]
        return [Change(ChangeKind.DELETED, self._convert(raw))]

    def replace(self, listed: list[dict[str, Any]]) -> list[Change[Item]]:
        """Replace the known objects by those of a list. Return the changes for the reader,
        beginning with the deletions of the objects that the list lacks.
        """
        there = {_identity(raw)[0] for raw in listed}
        changes = [Change(ChangeKind.DELETED, self._items.pop(key)[2]) for key in self._items.keys() - there]
        for raw in listed:
            changes += self.put(raw)
        return changes


def _identity(raw: dict[str, Any]) -> tuple[tuple[str, str], str, str]:
    metadata = raw.get("metadata")
    found = metadata if isinstance(metadata, dict) else {}
    key = (str(found.get("namespace", "")), str(found.get("name", "")))
    return key, str(found.get("uid", "")), str(found.get("resourceVersion", ""))
