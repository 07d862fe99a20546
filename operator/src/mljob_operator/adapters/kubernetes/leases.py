"""Reads and writes the Leases of MLJob operators in the Kubernetes API.

Source: the Kubernetes API reference, ``coordination.k8s.io/v1`` Lease.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from kubernetes.aio import client

from ...core.leadership.claims import ANNOTATION, Claims
from ...core.leadership.lease import MAX_SECONDS, MIN_SECONDS, Lease
from ...errors import Gone, StoreUnavailable
from .custom_objects import MERGE_PATCH
from .lists import list_objects
from .requests import TIMEOUT, call

LABEL = "mljob.dev/operator-lease"
"""The label of the Leases of operators, by which operators find each other."""
ACTING = "mljob.dev/acting"
"""The annotation that shows whether the holder of a Lease acts: ``true`` or ``false``."""
MAX_LEASES = 1_000
"""The maximum number of Leases that are read."""
_API_VERSION = "coordination.k8s.io/v1"


class Leases:
    """Reads and writes this operator's Lease. Also reads other operators' Leases in the same
    namespace.

    Args:
        api: A client for the Kubernetes API that nothing else uses, so that a renewal never waits
            for another request.
        namespace: The operator's namespace.
        name: The name of the operator's Lease.
        seconds: The duration of the Lease, in seconds.
    """

    def __init__(self, api: client.ApiClient, namespace: str, name: str, *, seconds: int) -> None:
        self._leases = client.CoordinationV1Api(api)
        self._namespace = namespace
        self._name = name
        self._seconds = seconds

    async def get(self) -> Lease | None:
        """Return the operator's Lease, or None if the Lease does not exist.

        Raises:
            StoreError: The request failed.
        """
        try:
            return self._read(await self._call(self._leases.read_namespaced_lease, self._name))
        except Gone:
            return None

    async def take(self, lease: Lease | None, holder: str, claims: Claims) -> Lease:
        """Write a new holder into the Lease, and return the new version.

        Args:
            lease: The current version. If None, the Lease is created.
            holder: The identity of the new holder.
            claims: Which MLJobs this operator manages, the prefix of its dag run ids, and its Kafka
                consumer group. Other operators read the claims from an annotation of the Lease.

        Raises:
            Conflict: Another process has changed or created the Lease.
            StoreError: The request failed for another reason.
        """
        transitions = lease.transitions + 1 if lease is not None else 0
        spec = {
            "holderIdentity": holder,
            "leaseDurationSeconds": self._seconds,
            "acquireTime": _now(),
            "renewTime": _now(),
            "leaseTransitions": transitions,
        }
        metadata = {"labels": {LABEL: "true"}, "annotations": {ANNOTATION: claims.annotation(), ACTING: "false"}}
        if lease is not None:
            return await self._patch(lease, spec, metadata)
        body = {
            "apiVersion": _API_VERSION,
            "kind": "Lease",
            "metadata": {"name": self._name, "namespace": self._namespace, **metadata},
            "spec": spec,
        }
        return self._read(await self._call(self._leases.create_namespaced_lease, body=body))

    async def renew(self, lease: Lease, *, acting: bool) -> Lease:
        """Write a new renewal time, and return the new version of the Lease.

        Args:
            lease: The current version.
            acting: Whether the holder has begun its work as the leader.

        Raises:
            Conflict: The Lease has changed.
            StoreError: The request failed for another reason.
        """
        metadata = {"annotations": {ACTING: "true" if acting else "false"}} if acting != lease.acting else {}
        return await self._patch(lease, {"renewTime": _now()}, metadata)

    async def release(self, lease: Lease) -> None:
        """Remove the holder from the Lease. Another process can then take the Lease at once.

        Raises:
            Conflict: The Lease has changed.
            StoreError: The request failed for another reason.
        """
        await self._patch(lease, {"holderIdentity": "", "renewTime": _now()}, {"annotations": {ACTING: "false"}})

    async def others(self) -> list[Lease]:
        """Return the Leases of the other MLJob operators in the namespace.

        Raises:
            StoreUnavailable: The Kubernetes API does not answer, or the namespace has more than
                ``MAX_LEASES`` Leases of MLJob operators.
            StoreError: The request failed for another reason.
        """
        found: list[Lease] = []
        lister = self._leases.list_namespaced_lease_without_preload_content
        async for item in list_objects(lister, self._namespace, label_selector=f"{LABEL}=true"):
            if len(found) >= MAX_LEASES:
                raise StoreUnavailable(
                    f"namespace {self._namespace} has more than {MAX_LEASES} Leases with the label {LABEL}: delete those without a holder"
                )
            if item["metadata"]["name"] != self._name:
                found.append(self._lease(item["metadata"], item.get("spec") or {}))
        return found

    async def _patch(self, lease: Lease, spec: Mapping[str, Any], metadata: Mapping[str, Any]) -> Lease:
        exactly = {"uid": lease.uid, "resourceVersion": lease.version}
        body = {"metadata": {**exactly, **metadata}, "spec": spec}
        answer = await self._call(self._leases.patch_namespaced_lease, self._name, body=body, _content_type=MERGE_PATCH)
        return self._read(answer)

    async def _call(self, method: Any, *args: Any, **kwargs: Any) -> Any:
        return await call(method, *args, namespace=self._namespace, _request_timeout=TIMEOUT, **kwargs)

    def _read(self, answer: client.V1Lease | None) -> Lease:
        """Return the Lease in an answer. The answer is None if its body is ``null``."""
        read, spec = (answer.metadata, answer.spec) if answer is not None else (None, None)
        if read is None or not read.uid or not read.resource_version or spec is None:
            raise StoreUnavailable(
                "the Kubernetes API answered a request for a Lease with something else than a Lease; is it behind a proxy?"
            )
        metadata = {
            "name": read.name,
            "uid": read.uid,
            "resourceVersion": read.resource_version,
            "annotations": read.annotations,
        }
        return self._lease(
            metadata,
            {
                "holderIdentity": spec.holder_identity,
                "leaseDurationSeconds": spec.lease_duration_seconds,
                "leaseTransitions": spec.lease_transitions,
            },
        )

    def _lease(self, metadata: Mapping[str, Any], spec: Mapping[str, Any]) -> Lease:
        annotations = metadata.get("annotations") or {}
        seconds = spec.get("leaseDurationSeconds") or self._seconds
        return Lease(
            name=metadata["name"],
            uid=metadata["uid"],
            version=metadata["resourceVersion"],
            holder=spec.get("holderIdentity") or None,
            seconds=min(max(seconds, MIN_SECONDS), MAX_SECONDS),
            transitions=spec.get("leaseTransitions") or 0,
            claims=Claims.of_annotation(annotations.get(ANNOTATION, "")),
            acting=annotations.get(ACTING) == "true",
        )


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
