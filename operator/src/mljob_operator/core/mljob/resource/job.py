"""An MLJob with typed fields, read from the object in the Kubernetes API.

Invalid fields of the spec or the status raise no error, and count as absent. ``ParsedSpec.problem``
names the invalid fields of the spec. The operator starts no run with such a spec, but still
observes a run in progress and applies ``spec.deletionPolicy``.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from mljob_contract.job_type import JobType
from mljob_contract.mljob import FINALIZER, MAX_RETRY_REQUEST, RETRY_REQUESTED_AT, MLJobSpec, MLJobStatus

from ...frozen import frozen
from ...run.run_key import Key
from .finished import restored
from .spec import ParsedSpec
from .stored_status import StoredStatus


@frozen
class Job:
    """An MLJob, read from the object in the Kubernetes API.

    Attributes:
        resource_version: The version of the object. A newer version has a larger number (KEP-5504:
            comparable resource versions).
        deleted_at: When the deletion was requested, or None if the object is not being deleted.
        parsed: The valid fields of the spec, and a text that names the invalid fields.
        stored: The status that the Kubernetes API server has stored. A patch of the status contains
            only the differences between the new status and this status.
        retry_request: The value of the annotation mljob.dev/retry-requested-at, cut to
            ``MAX_RETRY_REQUEST`` characters. None if the annotation is absent or empty.
        recorded: The status in the annotation mljob.dev/finished, for an object that was restored
            without its status (:mod:`.finished`). Otherwise None.
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
    stored: StoredStatus
    retry_request: str | None = None
    recorded: StoredStatus | None = None

    @property
    def key(self) -> Key:
        """The namespace and the name of the MLJob."""
        return self.namespace, self.name

    @property
    def spec(self) -> MLJobSpec:
        """The valid fields of the spec. If the DAG id is missing or invalid, ``dag_id`` is ``-``."""
        return self.parsed.spec

    @property
    def status(self) -> MLJobStatus:
        """The valid fields of the status. If ``recorded`` is not None, the fields come from
        ``recorded``.
        """
        return (self.recorded or self.stored).fields

    @property
    def deleting(self) -> bool:
        """Whether the object is being deleted."""
        return self.deleted_at is not None

    @property
    def has_finalizer(self) -> bool:
        """Whether the object has the operator's finalizer."""
        return FINALIZER in self.finalizers

    @property
    def is_backfill(self) -> bool:
        """Whether the MLJob has the type Backfill."""
        return self.spec.type is JobType.BACKFILL

    @classmethod
    def from_object(cls, body: Mapping[str, Any], earlier: Job | None = None, *, prefix: str | None = None) -> Job:
        """Return the MLJob from an object that the Kubernetes API server has sent.

        Args:
            body: The object.
            earlier: An earlier version of the MLJob, or None. Parts that have not changed since
                this version are not parsed again. Ignored if ``body`` has another uid.
            prefix: The prefix of this operator's dag run ids. If None, the annotation
                mljob.dev/finished is ignored.
        """
        meta = body["metadata"]
        if earlier is not None and earlier.uid != meta["uid"]:
            earlier = None
        annotations, key = meta.get("annotations") or {}, (meta["namespace"], meta["name"])
        stored = StoredStatus(body.get("status"), earlier.stored if earlier is not None else None)
        recorded = restored(key, annotations, stored.fields, prefix) if prefix is not None else None
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
            stored=stored,
            recorded=StoredStatus.of(recorded) if recorded is not None else None,
            retry_request=annotations.get(RETRY_REQUESTED_AT, "")[:MAX_RETRY_REQUEST] or None,
        )

    def newer_than(self, other: Job | None) -> bool:
        """Return whether this version of the object is later than ``other``. A later MLJob of the
        same name also counts as later. If ``other`` is None, return True.
        """
        return other is None or int(self.resource_version) > int(other.resource_version)


def _spec(body: Mapping[str, Any], earlier: Job | None) -> ParsedSpec:
    if earlier is not None and earlier.generation == body["metadata"].get("generation"):
        return earlier.parsed
    return ParsedSpec.of(body.get("spec"))


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
