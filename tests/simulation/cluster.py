"""The Kubernetes API of the simulation."""

from __future__ import annotations

import builtins
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from copy import deepcopy
from typing import Any

from mljob_contract.mljob import RunPolicy
from mljob_operator.core.mljob.resource.job import Job
from mljob_operator.core.run.run_key import Key

from .promises import GuardedJobs


class Cluster(GuardedJobs):
    """A fake store of MLJobs with watches. Reads and watches can return older versions of the
    objects.

    Attributes:
        changes: All changes for watches, in order. A change is ``ADDED``, ``MODIFIED`` or
            ``DELETED``, and the object.
        announced: For each run id, the uids of the MLJobs whose status has ever named the run.
        told: Ids of runs whose submission a status has reported, except runs of MLJobs with the
            runPolicy OncePerSpec.
        published: The MLJobs at the last :meth:`publish`, by key.
        specs: The last published spec of each MLJob, by uid.
        once_per_spec: The uids of the MLJobs that ever had the runPolicy OncePerSpec.
    """

    def __init__(self, time: Callable[[], float]) -> None:
        super().__init__()
        self._time = time
        self.changes: list[tuple[str, dict[str, Any]]] = []
        self.announced: dict[str, set[str]] = defaultdict(set)
        self.told: set[str] = set()
        self.published: dict[Key, Job] = {}
        self.specs: dict[str, dict[str, Any]] = {}
        self.once_per_spec: set[str] = set()
        self._published: dict[Key, dict[str, Any]] = {}
        self._versions_of_all: list[tuple[int, dict[Key, dict[str, Any]]]] = [(0, {})]
        self._behind: tuple[int, dict[Key, dict[str, Any]]] | None = None
        self._behind_until = 0.0

    # Reads, which may be stale

    def fall_behind(self, versions: int, seconds: float) -> None:
        """For the next ``seconds`` seconds, let reads and watches show all objects as they were
        ``versions`` calls of :meth:`publish` ago. Calls without a change don't count. Writes change
        the newest version, as in etcd.
        """
        self._behind = self._versions_of_all[max(-1 - versions, -len(self._versions_of_all))]
        self._behind_until = self._time() + seconds

    @property
    def versions(self) -> int:
        return len(self._versions_of_all)

    def catch_up(self) -> None:
        self._behind_until = 0.0

    @property
    def is_behind(self) -> bool:
        return self._time() < self._behind_until

    @property
    def readable(self) -> dict[Key, dict[str, Any]]:
        return self._behind[1] if self._behind is not None and self.is_behind else self.objects

    @property
    def watchable(self) -> int:
        """How many entries, from the beginning of ``changes``, watches may deliver."""
        return self._behind[0] if self._behind is not None and self.is_behind else len(self.changes)

    async def list(self) -> AsyncIterator[Job]:
        for body in tuple(self.readable.values()):
            yield Job.from_object(deepcopy(body))

    async def get(self, key: Key) -> Job | None:
        body = self.readable.get(key)
        return Job.from_object(deepcopy(body)) if body is not None else None

    def publish(self) -> None:
        """Append to ``changes`` what has changed since the last call. If something has changed,
        keep the objects as a new version.
        """
        for key, before in list(self._published.items()):
            now = self.objects.get(key)
            if now is None or now["metadata"]["uid"] != before["metadata"]["uid"]:
                self.changes.append(("DELETED", self._published.pop(key)))
                del self.published[key]
        for key, body in self.objects.items():
            known = self._published.get(key)
            if known is None or known["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"]:
                self._published[key] = deepcopy(body)
                self.published[key] = Job.from_object(self._published[key])
                self.changes.append(("MODIFIED" if known else "ADDED", self._published[key]))
                self.specs[body["metadata"]["uid"]] = self._published[key]["spec"]
                if body["spec"].get("runPolicy") == "OncePerSpec":
                    self.once_per_spec.add(body["metadata"]["uid"])
        if len(self.changes) > self._versions_of_all[-1][0]:
            self._versions_of_all.append((len(self.changes), dict(self._published)))

    async def everything(self) -> builtins.list[Job]:
        return [job async for job in self.list()]

    async def write_status(self, job: Job, patch: Mapping[str, Any]) -> Job:
        stored = await super().write_status(job, patch)
        if (run_id := stored.status.dag_run_id) is not None:
            self.announced[run_id].add(job.uid)
            # With OncePerSpec, the MLJob takes over an existing run, or starts anew.
            if stored.status.submit_time is not None and job.spec.run_policy is not RunPolicy.ONCE_PER_SPEC:
                self.told.add(run_id)
        return stored

    @property
    def uids(self) -> set[str]:
        return {body["metadata"]["uid"] for body in self.objects.values()}
