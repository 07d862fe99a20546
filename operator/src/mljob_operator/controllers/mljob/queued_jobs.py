"""Sends writes about MLJobs to the Kubernetes API. Each write goes through a priority queue."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import Any

from mljob_contract.mljob import FINALIZER, ConfSource

from ...core.conf.conf import Source
from ...core.mljob.resource.job import Job
from ...core.run.run_key import Key
from ...core.status.events import KubeEvent
from ...errors import FinalizerOverridden
from ...ports import JobStore
from .write_queue import Priority, WriteQueue


class QueuedJobs:
    """A :class:`.JobStore` that sends each write when the write has its turn in the priority queue.
    Reads don't wait in the queue.

    Args:
        jobs: The MLJobs in the Kubernetes API.
        writes: The queue.
    """

    def __init__(self, jobs: JobStore, writes: WriteQueue) -> None:
        self._jobs = jobs
        self.writes = writes
        """The queue of all writes."""

    def list(self) -> AsyncIterator[Job]:
        """Yield the MLJobs of this operator (:meth:`.JobStore.list`)."""
        return self._jobs.list()

    async def get(self, key: Key) -> Job | None:
        """Return an MLJob of this operator (:meth:`.JobStore.get`)."""
        return await self._jobs.get(key)

    async def find(self, key: Key) -> Job | None:
        """Return an MLJob, even if this operator's selector does not select the MLJob
        (:meth:`.JobStore.find`).
        """
        return await self._jobs.find(key)

    async def write_status(self, job: Job, patch: Mapping[str, Any]) -> Job:
        """Patch the status (:meth:`.JobStore.write_status`). The write has the priority of a
        submission, or of a cancellation if the MLJob is being deleted.
        """
        priority = Priority.CANCELLATION if job.deleting else Priority.SUBMISSION
        written, _ = await self.store_status(job, patch, priority)
        return written

    async def store_status(self, job: Job, patch: Mapping[str, Any], priority: Priority) -> tuple[Job, float]:
        """Patch the status when the write has its turn in the queue.

        Args:
            job: The version of the MLJob that the patch was made from.
            patch: The change of the status.
            priority: The priority of the write.

        Returns:
            The new version of the MLJob, and when the patch was sent, in seconds of the event
            loop's clock.
        """
        sent_at = float("-inf")

        async def write() -> Job:
            nonlocal sent_at
            sent_at = asyncio.get_running_loop().time()
            return await self._jobs.write_status(job, patch)

        return await self.writes.send(priority, write, key=job.key), sent_at

    async def set_finalizer(
        self, job: Job, *, present: bool, annotations: Mapping[str, str] | None = None
    ) -> Job | None:
        """Add or remove the operator's finalizer, and set annotations
        (:meth:`.JobStore.set_finalizer`).

        Raises:
            FinalizerOverridden: The API server has stored the MLJob without the added finalizer, or
                with the removed finalizer.
        """
        priority = Priority.CANCELLATION if job.deleting else Priority.FIRST if present else Priority.RELEASE
        write = partial(self._jobs.set_finalizer, job, present=present, annotations=annotations)
        written = await self.writes.send(priority, write, key=job.key)
        if written is not None and written.has_finalizer is not present:
            # The operator would repeat the write without a pause.
            raise FinalizerOverridden(FINALIZER, present=present)
        return written

    async def source(self, namespace: str, reference: ConfSource) -> Source | None:
        """Return the data of the ConfigMap or Secret that an entry of ``spec.confFrom`` names
        (:meth:`.JobStore.source`).
        """
        return await self._jobs.source(namespace, reference)

    async def delete(self, job: Job) -> None:
        """Delete an MLJob (:meth:`.JobStore.delete`)."""
        await self.writes.send(Priority.EXPIRY, partial(self._jobs.delete, job), namespace=job.key[0])

    async def record(self, job: Job, event: KubeEvent, priority: Priority = Priority.EVENT) -> None:
        """Create a Kubernetes Event (:meth:`.JobStore.record`)."""
        await self.writes.send(priority, partial(self._jobs.record, job, event), namespace=job.key[0])
