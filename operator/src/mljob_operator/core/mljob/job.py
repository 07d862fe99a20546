"""An MLJob as the core sees it: the object from the API server, read once into types.

Reading does not fail. ``ParsedSpec.problem`` names each field of the spec that doesn't fit the API,
and no run is started with such a spec. A run in progress is still followed, and cancelled when the
MLJob is deleted. A field of the status that doesn't fit counts as absent, and the next write corrects it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mljob_contract.job_type import JobType
from mljob_contract.mljob import FINALIZER, MLJobSpec, MLJobStatus

from ..run.run_key import Key
from ..run.states import TERMINAL_PHASES
from ..text.bounds import OUTPUTS
from ..text.fitting import fitting
from .spec import ParsedSpec


@dataclass(frozen=True, slots=True)
class Job:
    """One MLJob.

    Attributes:
        resource_version: The object's version. The larger number is newer (KEP-5504: comparable
            resource versions).
        deleted_at: When the deletion was requested; None: the object is not being deleted.
        parsed: The spec, as far as it fits the API.
        stored_status: The status as the API server has it, from which a patch is computed.
        misread: Whether a field of the stored status doesn't fit and is missing in ``status``.
    """

    namespace: str
    name: str
    uid: str
    generation: int
    resource_version: str
    finalizers: tuple[str, ...]
    deleted_at: datetime | None
    created_at: datetime | None
    parsed: ParsedSpec
    status: MLJobStatus
    stored_status: Mapping[str, Any]
    misread: bool = False

    @property
    def key(self) -> Key:
        """Namespace and name."""
        return self.namespace, self.name

    @property
    def spec(self) -> MLJobSpec:
        """The fields of the spec that fit the API."""
        return self.parsed.spec

    @property
    def deleting(self) -> bool:
        """Whether the object is being deleted: only finalizers keep it."""
        return self.deleted_at is not None

    @property
    def has_finalizer(self) -> bool:
        """Whether the object has the operator's finalizer."""
        return FINALIZER in self.finalizers

    @property
    def is_backfill(self) -> bool:
        """Whether the MLJob is of type Backfill: a range of runs rather than one run."""
        return self.spec.type is JobType.BACKFILL

    @property
    def is_done(self) -> bool:
        """Whether the MLJob has finished, has no finalizer, and has the spec that the status
        describes: the operator has nothing to do.
        """
        seen = self.status.observed_generation == self.generation
        return self.status.phase in TERMINAL_PHASES and not self.has_finalizer and (seen or self.deleting)

    @classmethod
    def from_object(cls, body: Mapping[str, Any], earlier: Job | None = None) -> Job:
        """Read an object as the API server sends it.

        Args:
            body: The object.
            earlier: An earlier version. If its spec is of the same generation, it is not read again.
        """
        meta = body["metadata"]
        status, lost = fitting(MLJobStatus, body.get("status"), "status", bounds={"outputs": OUTPUTS}, stand_in={})
        return cls(
            namespace=meta["namespace"],
            name=meta["name"],
            uid=meta["uid"],
            generation=meta.get("generation", 1),
            resource_version=meta.get("resourceVersion", "0"),
            finalizers=tuple(meta.get("finalizers") or ()),
            deleted_at=_time(meta.get("deletionTimestamp")),
            created_at=_time(meta.get("creationTimestamp")),
            parsed=_spec(body, earlier),
            status=status,
            stored_status=stored if isinstance(stored := body.get("status"), Mapping) else {},
            misread=bool(lost),
        )

    def newer_than(self, other: Job | None) -> bool:
        """Whether this is a later version than ``other``, or a later MLJob of that name. A watch
        may deliver a version that the answer to a patch already had.
        """
        return other is None or int(self.resource_version) > int(other.resource_version)


def _spec(body: Mapping[str, Any], earlier: Job | None) -> ParsedSpec:
    meta = body["metadata"]
    if earlier is not None and (earlier.uid, earlier.generation) == (meta["uid"], meta.get("generation")):
        return earlier.parsed
    return ParsedSpec.of(body.get("spec"))


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
