"""The status of an MLJob as the Kubernetes API server has stored it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mljob_contract.mljob import MLJobStatus

from ...text.bounds import OUTPUTS
from ...text.fitting import fitting
from .packing import packed, unpacked

_LISTS = frozenset({"tasks", "conditions", "history"})
"""The lists of a status. From one version to the next, most of their items stay the same."""


class StoredStatus:
    """The status of an MLJob as the Kubernetes API server has stored it. The content never changes.

    Args:
        value: The status as JSON. A value that is not a mapping counts as an empty status.
        earlier: An earlier version of the status, or None. The earlier version saves time, because
            unchanged values need not be parsed again (:meth:`parse_later_version`).
    """

    __slots__ = ("_content", "_fields", "_packed", "is_invalid")

    def __init__(self, value: object, earlier: StoredStatus | None = None) -> None:
        self._content: Mapping[str, Any] | None = value if isinstance(value, Mapping) else {}
        self._packed: bytes | None = None
        self._fields: MLJobStatus | None
        self._fields, problems = _read(self._content, earlier)
        self.is_invalid = bool(problems)
        """Whether the status has an invalid field, which counts as absent."""

    @classmethod
    def of(cls, fields: MLJobStatus) -> StoredStatus:
        """Return a StoredStatus whose content is ``fields`` as JSON."""
        return cls(fields.model_dump(mode="json", by_alias=True, exclude_none=True))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StoredStatus) and self.content == other.content

    __hash__ = None  # type: ignore[assignment]  # the content is not hashable

    @property
    def content(self) -> Mapping[str, Any]:
        """The status as JSON."""
        if self._content is None:
            assert self._packed is not None
            self._content = unpacked(self._packed)
        return self._content

    @property
    def fields(self) -> MLJobStatus:
        """The parsed status, with only its valid fields."""
        if self._fields is None:
            self._fields, _ = _read(self.content, None)
        return self._fields

    def pack(self) -> None:
        """Compress the status in memory until :attr:`content` or :attr:`fields` is read."""
        if self._packed is None:
            self._packed = packed(self.content)
        self._content = self._fields = None

    def parse_later_version(self, later: Mapping[str, Any]) -> MLJobStatus | None:
        """Return the parsed fields of ``later``, a later version of the status. Only changed fields
        are parsed.

        Return None in these two cases:

        - This version is compressed or has an invalid field.
        - The later version has an invalid field, or lacks a field of this version.

        After None, the caller must parse all fields.
        """
        content, fields = self._content, self._fields
        if content is None or fields is None or self.is_invalid or not content.keys() <= later.keys():
            return None
        changed = {name: value for name, value in later.items() if name not in content or content[name] != value}
        for name in _LISTS & changed.keys() & content.keys():
            changed[name] = _reuse_unchanged(changed[name], content[name], getattr(fields, name))
        read, problems = _fitting(changed)
        if problems:
            return None
        return fields.model_copy(update={name: getattr(read, name) for name in read.model_fields_set})


def _reuse_unchanged(later: object, earlier: Sequence[Any], models: Sequence[Any]) -> object:
    if not isinstance(later, list):
        return later
    read = [model if item == before else item for item, before, model in zip(later, earlier, models, strict=False)]
    return read + later[len(read) :]


def _read(content: Mapping[str, Any], earlier: StoredStatus | None) -> tuple[MLJobStatus, tuple[str, ...]]:
    fields = earlier.parse_later_version(content) if earlier is not None else None
    return (fields, ()) if fields is not None else _fitting(content)


def _fitting(content: Mapping[str, Any]) -> tuple[MLJobStatus, tuple[str, ...]]:
    return fitting(MLJobStatus, content, "status", bounds={"outputs": OUTPUTS}, placeholders={})
