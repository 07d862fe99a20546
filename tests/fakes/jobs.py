from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime
from typing import Any

from mljob_contract.mljob import FINALIZER, KIND, RETRY_REQUESTED_AT, UNOBSERVED, ConfSource
from mljob_operator.core.conf.conf import Source
from mljob_operator.core.mljob.resource.job import Job
from mljob_operator.core.run.run_key import Key
from mljob_operator.core.status.events import KubeEvent
from mljob_operator.errors import Gone, ReferenceMissing, Refused, StoreError

from .objects import StoredObjects, merged

PREFIX = "mljob"
"""The prefix of the operator's dag run ids."""


class FakeJobs(StoredObjects[Key]):
    """A store of MLJobs in memory, with the ConfigMaps and Secrets that MLJobs name.

    Attributes:
        reads: How often :meth:`get` or :meth:`find` was called, for all MLJobs together.
        overtake: How many of the next writes fail with a conflict, for all MLJobs together. A write
            fails as if another client had changed the MLJob.
        fail: The error that every write of an MLJob raises, or None.
        refuse: Returns whether the API server refuses a status as invalid.
        pruned: The fields of a status that are not stored, as if the CRD did not have them.
        refuse_events: Whether the creation of Events fails.
        admission_policy: Whether the API server has the chart's policy, which adds the operator's
            finalizer to most new MLJobs.
        override_finalizer: How many of the next changes of a finalizer are taken back in the same
            update, as if by an admission webhook.
        data: The data of ConfigMaps and Secrets, by kind and name. The objects exist in every
            namespace.
        watchers: The queues for each ConfigMap or Secret, by its kind and name. Each of these
            queues gets an entry when :meth:`put` changes the ConfigMap or Secret.
    """

    def __init__(self) -> None:
        super().__init__()
        self.kube_events: list[tuple[str, KubeEvent]] = []
        self.data: dict[tuple[str, str], dict[str, str]] = {}
        self.watchers: dict[tuple[str, str], list[asyncio.Queue[None]]] = {}
        self.reads = 0
        self.overtake = 0
        self.fail: Exception | None = None
        self.refuse: Callable[[Mapping[str, Any]], bool] | None = None
        self.pruned: tuple[str, ...] = ()
        self.refuse_events = False
        self.admission_policy = False
        self.override_finalizer = 0

    def create(
        self, name: str, spec: Mapping[str, Any], namespace: str = "team-a", at: str = "2026-01-01T00:00:00Z"
    ) -> Job:
        body = self._create((namespace, name), KIND, spec, at, namespace=namespace, name=name)
        body["status"] = dict(UNOBSERVED)
        if self.admission_policy and not (spec.get("suspend") or spec.get("cancel") or "confFrom" in spec):
            body["metadata"]["finalizers"] = [FINALIZER]
        return self._read((namespace, name))

    def restore(self, manifest: Mapping[str, Any], at: str = "2026-01-02T00:00:00Z") -> Job:
        """Create an MLJob from a manifest. Ignore the manifest's status and uid, as the API server
        does.
        """
        metadata = manifest["metadata"]
        job = self.create(metadata["name"], manifest["spec"], metadata["namespace"], at)
        body = self.objects[job.key]
        body["metadata"] |= {name: metadata[name] for name in ("labels", "annotations") if name in metadata}
        return self._read(job.key)

    def edit(self, key: Key, spec: Mapping[str, Any]) -> Job:
        self._edit(key, spec)
        return self._read(key)

    def request_retry(self, key: Key, value: str) -> None:
        body = self.objects[key]
        body["metadata"].setdefault("annotations", {})[RETRY_REQUESTED_AT] = value
        self._touch(body)

    def patch_status(self, key: Key, patch: Mapping[str, Any]) -> None:
        self._patch_status(self.objects[key], patch)

    def user_deletes(self, key: Key, at: datetime) -> Job | None:
        return self._read(key) if self._delete(key, at.isoformat()) else None

    def put(self, kind: str, name: str, data: dict[str, str]) -> None:
        self.data[kind, name] = data
        for news in self.watchers.get((kind, name), []):
            news.put_nowait(None)

    # JobStore

    async def list(self) -> AsyncIterator[Job]:
        for key in tuple(self.objects):
            yield self._read(key)

    async def find(self, key: Key) -> Job | None:
        return await self.get(key)

    async def get(self, key: Key) -> Job | None:
        self.reads += 1
        return self._read(key) if key in self.objects else None

    async def write_status(self, job: Job, patch: Mapping[str, Any]) -> Job:
        body = self._to_change(job)
        status = merged(body.get("status", {}), patch)
        if beyond_go(status) or (self.refuse is not None and self.refuse(status)):
            raise Refused("422 Unprocessable Entity")
        self._patch_status(body, {name: value for name, value in patch.items() if name not in self.pruned})
        return self._read(job.key, job)

    async def set_finalizer(
        self, job: Job, *, present: bool, annotations: Mapping[str, str] | None = None
    ) -> Job | None:
        try:
            body = self._to_change(job)
        except Gone:
            return None
        if annotations:
            body["metadata"].setdefault("annotations", {}).update(annotations)
        if self.override_finalizer:
            self.override_finalizer -= 1
            present = not present
        return self._read(job.key, job) if self._finalize(job.key, FINALIZER, present=present) else None

    async def source(self, namespace: str, reference: ConfSource) -> Source | None:
        named = reference.secret_ref or reference.config_map_ref
        assert named is not None
        kind = "Secret" if reference.secret_ref else "ConfigMap"
        data = self.data.get((kind, named.name))
        if data is None and not named.optional:
            raise ReferenceMissing(f"{kind} {named.name} is not there")
        return Source(f"{kind} {named.name}", data, kind == "Secret") if data is not None else None

    async def delete(self, job: Job) -> None:
        self._to_change(job)
        self._delete(job.key, "2026-01-01T00:00:00Z")

    async def record(self, job: Job, notice: KubeEvent) -> None:
        if self.refuse_events:
            raise StoreError("the namespace is being terminated")
        self.kube_events.append((job.name, notice))

    def _read(self, key: Key, earlier: Job | None = None) -> Job:
        return Job.from_object(self.body(key), earlier, prefix=PREFIX)

    def _to_change(self, job: Job) -> dict[str, Any]:
        if self.fail is not None:
            raise self.fail
        if self.overtake and (body := self.objects.get(job.key)) is not None:
            self.overtake -= 1
            body["metadata"].setdefault("labels", {})["overtaken"] = str(self.overtake)
            self._touch(body)
        return self._exactly(job.key, job.uid, job.resource_version)


def beyond_go(value: Any) -> bool:
    """Return whether the value contains an integer outside int64, at any depth. Kubernetes can't
    read such integers.
    """
    match value:
        case dict():
            return any(map(beyond_go, value.values()))
        case list():
            return any(map(beyond_go, value))
        case int():
            return not -(2**63) <= value < 2**63
    return False
