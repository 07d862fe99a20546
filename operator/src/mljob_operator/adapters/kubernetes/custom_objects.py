"""The base class for writes of MLJobs and AirflowInstances to the Kubernetes API.

Each patch contains the resourceVersion that the operator has read last. If the object in the API
server has another resourceVersion, the API server refuses the patch with 409. So a patch never
undoes the change of another client.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from kubernetes.aio import client

from mljob_contract.resource import API_VERSION, GROUP, VERSION

from ...core.airflow_instance.instance import Instance
from ...core.mljob.resource.job import Job
from ...core.status.events import KubeEvent
from ...core.text.urls import path_segment
from ...errors import Gone
from .kube_events import create, event
from .requests import send

log = logging.getLogger(__name__)


T = TypeVar("T", Job, Instance)
MERGE_PATCH = "application/merge-patch+json"


class CustomObjects(Generic[T]):
    """The base class for writes of MLJobs and AirflowInstances to the Kubernetes API.

    Args:
        api: The client for the Kubernetes API.
        kind: The kind of the objects.
        plural: The plural name of the resource in API paths.
        finalizer: The operator's finalizer.
        from_object: Makes a :class:`.Job` or :class:`.Instance` from the API server's answer to a
            write. The second argument is the version before the write.
    """

    def __init__(
        self,
        api: client.ApiClient,
        *,
        kind: str,
        plural: str,
        finalizer: str,
        from_object: Callable[[Mapping[str, Any], T], T],
    ) -> None:
        self._client = api
        self._api = client.CustomObjectsApi(api)
        self._core = client.CoreV1Api(api)
        self._kind = kind
        self._plural = plural
        self._finalizer = finalizer
        self._from_object: Callable[[Mapping[str, Any], T], T] = from_object

    async def write_status(self, stored: T, patch: Mapping[str, Any]) -> T:
        """Patch the status of exactly this version of an object, and return the new version.

        Raises:
            Conflict: The object has changed.
            Gone: The object was deleted. A new object may have its name.
            Refused: The status is invalid.
            StoreUnavailable: No answer, a server error, or too many requests (429).
            StoreError: Another failure, for example a missing permission.
        """
        return await self._patch(stored, {"metadata": exactly(stored), "status": patch}, status=True)

    async def set_finalizer(
        self, stored: T, *, present: bool, annotations: Mapping[str, str] | None = None
    ) -> T | None:
        """Add the operator's finalizer if ``present`` is true, else remove the finalizer. Also
        set the annotations in ``annotations``. Return the new version of the object.

        Return None if the object does not exist any more: the object was deleted before, or this
        call removed the last finalizer of an object that was being deleted.

        Raises:
            Conflict: The object has changed.
            Refused: An annotation is invalid.
            StoreUnavailable: No answer, a server error, or too many requests (429).
            StoreError: Another failure, for example a missing permission.
        """
        finalizers = [name for name in stored.finalizers if name != self._finalizer]
        if present:
            finalizers.append(self._finalizer)
        metadata: dict[str, Any] = {**exactly(stored), "finalizers": finalizers or None}
        if annotations:
            metadata["annotations"] = dict(annotations)
        try:
            updated = await self._patch(stored, {"metadata": metadata})
        except Gone:
            return None
        return None if updated.deleting and not updated.finalizers else updated

    async def record(self, stored: T, kube_event: KubeEvent) -> None:
        """Create an Event about the object.

        If the object's namespace was deleted or is being deleted, create no Event and raise no
        error.

        Raises:
            StoreError: The API server refused the Event, or did not answer.
        """
        about = {"apiVersion": API_VERSION, "kind": self._kind, "name": stored.name}
        about |= {"uid": stored.uid, "resourceVersion": stored.resource_version, **self._namespace_field(stored)}
        body = event(about, kube_event)
        namespace = body["metadata"]["namespace"]
        try:
            await create(self._client, body)
        except Gone as error:
            # The namespace is being deleted, and the API server accepts no new objects there.
            log.debug("%s %s/%s: no Event %s: %s", self._kind, namespace, stored.name, kube_event.reason, error)

    def _namespace_field(self, stored: T) -> dict[str, str]:
        """Return ``{"namespace": ...}``, or an empty dict for a cluster-scoped object."""
        return {}

    async def _patch(self, stored: T, body: Mapping[str, Any], *, status: bool = False) -> T:
        answer = await send(self._client, "PATCH", self._path(stored, status=status), body, MERGE_PATCH)
        return self._from_object(answer, stored)

    def _path(self, stored: T, *, status: bool) -> str:
        place = "".join(f"namespaces/{path_segment(name)}/" for name in self._namespace_field(stored).values())
        subresource = "/status" if status else ""
        return f"/apis/{GROUP}/{VERSION}/{place}{self._plural}/{path_segment(stored.name)}{subresource}"


def exactly(stored: Job | Instance) -> dict[str, str]:
    """Return metadata that limits a write to exactly this version of an object.

    The API server refuses the write if the stored object has another uid or resourceVersion.
    """
    return {"uid": stored.uid, "resourceVersion": stored.resource_version}


def read_or_log(kind: str, from_object: Callable[[Mapping[str, Any]], T], body: Mapping[str, Any]) -> T | None:
    """Return the result of ``from_object`` for the API object ``body``.

    If ``from_object`` raises an exception, log the exception and return None. The log line names
    ``kind``.
    """
    try:
        return from_object(body)
    except Exception:
        # One unreadable object must not make the other objects of a list unreadable.
        meta = body.get("metadata") or {}
        name = "/".join(str(meta[part]) for part in ("namespace", "name") if meta.get(part))
        log.exception("%s %s can't be read and is left alone", kind, name)
        return None
