"""An MLJob as the core sees it: the object from the apiserver, read once into types.

The apiserver has validated it against the CRD, so reading does not fail, except for an object that was stored under an older
or a hand-edited CRD: then ``from_object`` raises ``ValueError`` (pydantic's) with the field in the message.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mljob_contract.job_type import JobType
from mljob_contract.mljob import FINALIZER, MLJobSpec, MLJobStatus

from .phases import TERMINAL_PHASES

Key = tuple[str, str]
"""Namespace and name."""


@dataclass(frozen=True, slots=True)
class Job:
    """One MLJob.

    Attributes:
        resource_version: Opaque to others, comparable as a number for us (KEP-5504): a larger one is newer.
        deleted_at: When deletion was asked for; None for a live object.
        stored_status: The status as the apiserver has it, which a patch has to start from.
    """

    namespace: str
    name: str
    uid: str
    generation: int
    resource_version: str
    finalizers: tuple[str, ...]
    deleted_at: datetime | None
    created_at: datetime | None
    spec: MLJobSpec
    status: MLJobStatus
    stored_status: Mapping[str, Any]

    @property
    def key(self) -> Key:
        """Namespace and name."""
        return self.namespace, self.name

    @property
    def deleting(self) -> bool:
        """Whether the object is only held by finalizers."""
        return self.deleted_at is not None

    @property
    def held(self) -> bool:
        """Whether our finalizer holds the object."""
        return FINALIZER in self.finalizers

    @property
    def is_backfill(self) -> bool:
        """Whether it is a range of runs rather than one."""
        return self.spec.type is JobType.BACKFILL

    @property
    def settled(self) -> bool:
        """Whether its story is over, nothing is owed, and the spec is the one that the status speaks of."""
        seen = self.status.observed_generation == self.generation
        return self.status.phase in TERMINAL_PHASES and not self.held and (seen or self.deleting)

    @classmethod
    def from_object(cls, body: Mapping[str, Any]) -> Job:
        """Read an object as the apiserver sends it.

        Raises:
            ValueError: The object does not fit the API; the message names the field.
        """
        meta = body["metadata"]
        return cls(
            namespace=meta["namespace"],
            name=meta["name"],
            uid=meta["uid"],
            generation=meta.get("generation", 1),
            resource_version=meta.get("resourceVersion", "0"),
            finalizers=tuple(meta.get("finalizers") or ()),
            deleted_at=_time(meta.get("deletionTimestamp")),
            created_at=_time(meta.get("creationTimestamp")),
            spec=MLJobSpec.model_validate(body.get("spec") or {}),
            status=MLJobStatus.model_validate(body.get("status") or {}),
            stored_status=body.get("status") or {},
        )

    def newer_than(self, other: Job | None) -> bool:
        """Whether this is a later version than ``other``, or a later MLJob of that name; a watch may deliver what a patch's answer already said."""
        return other is None or int(self.resource_version) > int(other.resource_version)


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
