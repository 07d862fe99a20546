"""Remembers MLJobs that need no worker any more, and the runs of such MLJobs. A worker is an object
in the operator that reconciles one MLJob.

A finished MLJob has no worker. But the watch may still deliver old versions of the MLJob, and
Airflow may still list its run. Without this memory, the operator would then add a worker that finds
nothing to do.
"""

from __future__ import annotations

from datetime import datetime

from ...core.mljob import attempts
from ...core.mljob.tracked import TrackedJob
from ...core.run.facts import RunFact
from ...core.run.run_key import Key, RunKey

MAX_REMEMBERED = 10_000
"""The maximum number of MLJobs, and of runs, that are remembered. A forgotten MLJob or run is
checked once more when it is delivered again. The check changes nothing.
"""


class PastJobs:
    """Remembers MLJobs that need no worker of the operator any more, and runs of such MLJobs. Keeps
    the ``MAX_REMEMBERED`` MLJobs and the ``MAX_REMEMBERED`` runs that were added last.
    """

    def __init__(self) -> None:
        self._versions: dict[Key, int] = {}
        self._queued_at: dict[RunKey, datetime | None] = {}

    def add(self, tracked: TrackedJob) -> None:
        """Remember that the version ``tracked.job`` of an MLJob, and all earlier versions, need no
        worker. If the MLJob's run has ended, also call :meth:`note_checked` for the run.
        """
        job, fact, attempt = tracked.job, tracked.observed_run.run, attempts.current(tracked.job.status)
        self._versions.pop(job.key, None)
        self._versions[job.key] = int(job.resource_version)
        if len(self._versions) > MAX_REMEMBERED:
            del self._versions[next(iter(self._versions))]
        if fact is not None and fact.ended and attempt is not None:
            self.note_checked(RunKey(attempt.airflow, attempt.dag_id, attempt.run_id), fact)

    def has(self, key: Key, resource_version: str) -> bool:
        """Return whether this version or a later version of the MLJob is remembered
        (:meth:`add`). If so, this version needs no worker.
        """
        return int(resource_version) <= self._versions.get(key, -1)

    def needs_check(self, run: RunKey, fact: RunFact) -> bool:
        """Return whether the MLJob of a run has to be read, to find out whether the MLJob needs a
        worker. The result is False if the run was already checked with the same queue time
        (``fact.queued_at``).
        """
        return run not in self._queued_at or self._queued_at[run] != fact.queued_at

    def note_checked(self, run: RunKey, fact: RunFact) -> None:
        """Remember that the MLJob of a run needs no worker, unless Airflow queues the run again."""
        self._queued_at.pop(run, None)
        self._queued_at[run] = fact.queued_at
        if len(self._queued_at) > MAX_REMEMBERED:
            del self._queued_at[next(iter(self._queued_at))]
