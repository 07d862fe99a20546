"""The changes that a watch reports, a store of each object's last state, and the watch's outages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Generic, TypeVar

from .text import plain

Item = TypeVar("Item")


class ChangeKind(StrEnum):
    """The kind of a :class:`Change`."""

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
    """The client has made a new connection. The changes continue after the last change before the
    connection was lost.
    """


@dataclass(frozen=True, slots=True)
class Change(Generic[Item]):
    """A change of an object, a change of the connection to the API server, or the report that all
    objects were listed.

    Attributes:
        kind: What happened.
        item: The object after the change, or the last state of a deleted object. None for the kinds
            Synced, Disconnected and Connected.
        message: Why the connection was lost, for the kind Disconnected. Empty for all other kinds.
        lacks_credentials: Whether the exec credential plugin has failed, for the kind Disconnected.
            False for all other kinds.
    """

    kind: ChangeKind
    item: Item | None = None
    message: str = ""
    lacks_credentials: bool = False


@dataclass(frozen=True, slots=True)
class Outage:
    """A time without a connection to the API server. The last states of the objects may be out of
    date until the end of the outage. ``str()`` returns a line for people.

    Attributes:
        since: When the connection was lost, in UTC.
        cause: Why the connection was lost, or an empty text. If the exec credential plugin has
            failed since, why the plugin failed.
        lacks_credentials: Whether the exec credential plugin has failed during the outage. Then the
            outage may go on until the person logs in again.
    """

    since: datetime
    cause: str
    lacks_credentials: bool = False

    def __str__(self) -> str:
        return f"Not live since {self.since:%H:%M:%S} UTC: {plain(self.cause, 1_000)}".rstrip(": ")


class Outages:
    """Finds the outages of a watch in its changes.

    Attributes:
        current: The outage that has not ended, or None while the connection works.
    """

    def __init__(self) -> None:
        self.current: Outage | None = None

    def take(self, change: Change[Any]) -> bool:
        """Update ``current`` after a change. Return whether an outage begins or ends, or whether the
        exec credential plugin fails for the first time during the outage. Any other failed attempt
        to connect again changes nothing.
        """
        before = self.current
        if change.kind is ChangeKind.DISCONNECTED:
            if before is None or (change.lacks_credentials and not before.lacks_credentials):
                since = before.since if before else datetime.now(UTC)
                self.current = Outage(since, change.message, change.lacks_credentials)
        elif change.item is None:
            self.current = None
        return self.current is not before


@dataclass(frozen=True)
class State(Generic[Item]):
    """One state of an object.

    Attributes:
        key: The namespace and the name of the object.
        uid: The uid of the object.
        version: The resource version of the state.
        item: The object, converted from JSON.
    """

    key: tuple[str, str]
    uid: str
    version: str
    item: Item


class Known(Generic[Item]):
    """Stores the last state of each watched object, and compares new states with the stored states.

    Args:
        convert: Converts an object from JSON to the attribute ``item`` of a :class:`State` and of a
            :class:`Change`.
    """

    def __init__(self, convert: Callable[[dict[str, Any]], Item]) -> None:
        self._convert = convert
        self._states: dict[tuple[str, str], State[Item]] = {}

    def __len__(self) -> int:
        return len(self._states)

    def state(self, raw: dict[str, Any]) -> State[Item]:
        """Convert a JSON object to a state. If this version of the object is already stored, return
        the stored state.
        """
        key, uid, version = _identity(raw)
        known = self._states.get(key)
        if known is not None and (known.uid, known.version) == (uid, version):
            return known
        return State(key, uid, version, self._convert(raw))

    def put(self, state: State[Item]) -> list[Change[Item]]:
        """Store a state, and return what has changed:

        - no change, if this version of the object is already stored
        - a deletion and an addition, if the object was created again with another uid
        - otherwise, one addition or one modification
        """
        known = self._states.get(state.key)
        if known is not None and (known.uid, known.version) == (state.uid, state.version):
            return []
        self._states[state.key] = state
        if known is None:
            return [Change(ChangeKind.ADDED, state.item)]
        if known.uid != state.uid:  # deleted and created again in between
            return [Change(ChangeKind.DELETED, known.item), Change(ChangeKind.ADDED, state.item)]
        return [Change(ChangeKind.MODIFIED, state.item)]

    def remove(self, raw: dict[str, Any]) -> list[Change[Item]]:
        """Remove a deleted object, and return a list with the deletion. The list is empty if the
        object is not stored. ``raw`` is the object's last state as JSON.
        """
        key, uid, _ = _identity(raw)
        known = self._states.get(key)
        if known is None or known.uid != uid:
            return []
        del self._states[key]
        return [Change(ChangeKind.DELETED, self._convert(raw))]

    def replace(self, listed: list[State[Item]]) -> list[Change[Item]]:
        """Replace all stored states by the states in ``listed``. Return the deletions of the stored
        objects that ``listed`` lacks, then the changes that :meth:`put` returns for each state.
        """
        there = {state.key for state in listed}
        changes = [Change(ChangeKind.DELETED, self._states.pop(key).item) for key in self._states.keys() - there]
        for state in listed:
            changes += self.put(state)
        return changes


def _identity(raw: dict[str, Any]) -> tuple[tuple[str, str], str, str]:
    metadata = raw.get("metadata")
    found = metadata if isinstance(metadata, dict) else {}
    key = (str(found.get("namespace", "")), str(found.get("name", "")))
    return key, str(found.get("uid", "")), str(found.get("resourceVersion", ""))
