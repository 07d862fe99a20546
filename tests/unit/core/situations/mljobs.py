"""MLJobs without their status."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic.alias_generators import to_camel

from mljob_contract.mljob import FINALIZER, FINISHED, RETRY_REQUESTED_AT, UNOBSERVED, MLJobStatus
from mljob_operator.core.mljob.resource.finished import record

from .times import CREATED, as_text

PREFIX, NAMESPACE, NAME, UID = "mljob", "team-a", "train", "uid-1"


@dataclass(frozen=True)
class MLJob:
    """An MLJob without its status.

    Attributes:
        deleted: The time of the deletion request; None if there is no request.
        retry: The value of the annotation that requests a retry; None for no annotation.
        restored: Whether the MLJob lost its status when it was restored from a backup. If True, the
            annotation mljob.dev/finished records how the MLJob ended before the backup.
    """

    spec: Mapping[str, Any]
    has_finalizer: bool = True
    deleted: datetime | None = None
    generation: int = 1
    created: datetime = CREATED
    retry: str | None = None
    restored: bool = False

    def body(self, status: Mapping[str, Any]) -> dict[str, Any]:
        """Return the JSON object of the MLJob with the status ``status``.

        If ``restored`` is True, ``status`` is the lost status, and must be the status of a finished
        MLJob. The object then has the status of a new MLJob, and an annotation with a record of
        ``status``.
        """
        annotations: dict[str, str] = {}
        if self.retry is not None:
            annotations[RETRY_REQUESTED_AT] = self.retry
        if self.restored:
            ended = record(MLJobStatus.model_validate(status))
            assert ended is not None, "only a finished MLJob has a record"
            annotations[FINISHED], status = ended, UNOBSERVED
        metadata: dict[str, Any] = {
            "namespace": NAMESPACE,
            "name": NAME,
            "uid": UID,
            "generation": self.generation,
            "resourceVersion": "7",
            "finalizers": [FINALIZER] if self.has_finalizer else [],
            "creationTimestamp": as_text(self.created),
            "annotations": annotations,
        }
        if self.deleted is not None:
            metadata["deletionTimestamp"] = as_text(self.deleted)
        return {"metadata": metadata, "spec": dict(self.spec), "status": dict(status)}


def job(
    *,
    held: bool = True,
    deleted: datetime | None = None,
    generation: int = 1,
    created: datetime = CREATED,
    retry: str | None = None,
    restored: bool = False,
    **spec: Any,
) -> MLJob:
    """Return an MLJob of the DAG ``train``.

    Args:
        held: Whether the MLJob has the operator's finalizer.
        spec: Further fields of the spec, in snake case.
    """
    return MLJob({"dagId": "train"} | camel(spec), held, deleted, generation, created, retry, restored)


def backfill_job(**more: Any) -> MLJob:
    dates = {"from": "2025-12-01T00:00:00Z", "to": "2025-12-03T00:00:00Z"}
    return job(**{"type": "Backfill", "backfill": dates} | more)


def camel(named: Mapping[str, Any]) -> dict[str, Any]:
    return {to_camel(name): value for name, value in named.items()}
