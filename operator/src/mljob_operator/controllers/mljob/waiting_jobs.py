"""Wakes the MLJobs that wait for Airflows, access rules, credentials for Airflow or limits, after
one of these has changed. To check ten thousand MLJobs takes seconds. Other asyncio tasks continue
during the check.
"""

from __future__ import annotations

import asyncio

from ...core.airflow_instance.catalog import AIRFLOW_GONE
from ...core.frozen import frozen
from ...core.mljob.airflow_use import is_lost
from ...core.mljob.classification.state import State
from ...core.run.run_key import Key
from ..long_loops import in_turns
from .classifier import Classifier
from .worker_state import WorkerState
from .workers import Workers


@frozen
class Change:
    """A change of Airflows, access rules, credentials for Airflow or limits.

    Attributes:
        namespace: The namespace whose MLJobs the change concerns, or None for all namespaces.
        airflow: The Airflow whose MLJobs the change concerns, or None for all Airflows. These
            MLJobs have a run in this Airflow, or want to start a run there.
    """

    namespace: str | None = None
    airflow: str | None = None

    def may_concern(self, key: Key) -> bool:
        """Return whether the change may concern an MLJob of which only the key is known."""
        return self.namespace in (None, key[0])

    def concerns(self, state: State) -> bool:
        """Return whether the change concerns an MLJob with this state."""
        return self.may_concern(state.job.key) and self.airflow in (None, state.run.airflow, state.inputs.target)


class WaitingJobs:
    """Wakes the MLJobs that wait for a change of Airflows, access rules, credentials for Airflow or
    limits. All methods run in the event loop's thread.

    Args:
        workers: The workers of all MLJobs.
        classifier: Determines the states of MLJobs.
    """

    def __init__(self, workers: Workers, classifier: Classifier) -> None:
        self._workers = workers
        self._classifier = classifier
        self._changes: set[Change] = set()
        self._task: asyncio.Task[None] | None = None

    def wake(self, change: Change) -> None:
        """In a background task, wake the waiting MLJobs that the change concerns. The operator
        forgets the last error of each woken MLJob, and the backoff after this error ends.
        """
        self._changes.add(change)
        if not self.tasks:
            self._task = asyncio.create_task(self._wake_all(), name="wake waiting MLJobs")

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        """A list with the asyncio task that wakes MLJobs. The list is empty if no such task is
        running.
        """
        return [self._task] if self._task is not None and not self._task.done() else []

    async def close(self) -> None:
        """Stop waking MLJobs. Changes whose MLJobs were not woken yet are dropped."""
        self._changes.clear()
        for task in self.tasks:
            task.cancel()
            await asyncio.wait([task])

    async def _wake_all(self) -> None:
        clock = asyncio.get_running_loop().time
        while self._changes:
            changes, self._changes = self._changes, set()
            began = clock()
            # All MLJobs update their entries in the admission queue before any of them takes a
            # step. So MLJobs are admitted in the order of the queue, by the current rules and
            # limits.
            with self._workers.hold_steps():
                for key in await self._waiting(changes):
                    self._workers.forget_last_error(key)
            if self._changes:
                # Steps get as much time as the look has taken, however often something changes.
                await asyncio.sleep(clock() - began)

    async def _waiting(self, changes: set[Change]) -> list[Key]:
        """Return the keys of the waiting MLJobs that at least one of ``changes`` concerns. Also
        update the admission queue for each MLJob that at least one of ``changes`` concerns, even if
        the MLJob does not wait.
        """

        def waits(worker: WorkerState) -> bool:
            assert worker.tracked is not None
            state = self._classifier.state(worker.tracked)
            if not any(change.concerns(state) for change in changes):
                return False
            self._classifier.reserve(state)
            return _waits(state)

        found = []
        async for key in in_turns(list(self._workers.tracked)):
            known = self._workers.get(key) is not None and any(change.may_concern(key) for change in changes)
            found += [key for key, waiting in self._workers.of_each(waits, [key] if known else []) if waiting]
        return found


def _waits(state: State) -> bool:
    """Return whether an MLJob waits for a change of Airflows, access rules, credentials for Airflow
    or limits. An MLJob waits if at least one of these statements is true:

    - The MLJob has to start a run, now or later.
    - The operator's last request for the MLJob failed.
    - Airflow's last answer about the run was that the run does not exist.
    - The run's Airflow was removed or has come back, and the status does not report this yet.
    """
    reports_lost = state.job.status.reason == AIRFLOW_GONE
    failed = state.transient.last_error is not None or state.observed_run.missed_at is not None
    return state.start is not None or failed or is_lost(state) is not reports_lost
