"""Lists the MLJobs that use an Airflow, for the code that reads Airflow's changes and for the
controller of AirflowInstances.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from ...core.mljob.airflow_use import needs_airflow
from ...core.mljob.classification.state import State
from ...core.mljob.tracked import TrackedJob
from ...core.run.run_key import SETTINGS_AIRFLOW, Key
from .feed_index import FeedIndex, FollowedRuns
from .worker_state import WorkerState
from .workers import Workers


class MLJobLister:
    """Lists the MLJobs that use an Airflow, with their states.

    Args:
        workers: The workers of all MLJobs.
        classify: Returns the state of an MLJob at the current time.
        index: The index of the unfinished MLJobs.
    """

    def __init__(self, workers: Workers, classify: Callable[[TrackedJob], State], index: FeedIndex) -> None:
        self._workers = workers
        self._classify = classify
        self._index = index

    def followed(self, airflow: str) -> FollowedRuns:
        """Return the :class:`.FollowedRuns` of an Airflow: the runs of the unfinished MLJobs that
        have an attempt in this Airflow.
        """
        return self._index.of(airflow)

    def state(self, key: Key, airflow: str) -> State | None:
        """Return the state of an unfinished MLJob that has an attempt in the given Airflow.
        Return None if there is no such MLJob, if the MLJob was not read yet, or if an unexpected
        error prevents the computation.
        """
        worker = self._workers.get(key)
        if worker is None:
            return None
        return next((state for _, state in self._workers.of_each(partial(self._unfinished, airflow), [key])), None)

    def has_pending_reconciliation(self, key: Key) -> bool:
        """Return whether a caller need not request the MLJob's run from Airflow now, because at
        least one of these statements is true:

        - An answer of Airflow about a run of the MLJob waits for the MLJob's next reconciliation.
        - The MLJob is being reconciled.
        """
        worker = self._workers.get(key)
        return worker is not None and (worker.task is not None or bool(worker.inbox.snapshots))

    def unfinished(self, airflow: str) -> Iterator[State]:
        """Yield the states of the unfinished MLJobs that have an attempt in an Airflow. This method
        checks all MLJobs, so callers that ask often should use :meth:`followed`.
        """
        for key in list(self._workers.tracked):
            if (state := self.state(key, airflow)) is not None:
                yield state

    def count(self) -> int:
        """Return the number of all unfinished MLJobs, including MLJobs without an attempt."""
        return len(self._index)

    def _unfinished(self, airflow: str, worker: WorkerState) -> State | None:
        state = worker.last_state(self._classify)
        attempt = state.current.attempt
        return None if worker.finished or attempt is None or attempt.airflow != airflow else state

    def users(self, airflow: str) -> list[Key]:
        """Return the keys of the MLJobs that still need an Airflow. An MLJob needs the Airflow in
        each of these cases:

        - The operator may still send requests about the MLJob's run in this Airflow
          (:func:`.needs_airflow`).
        - The operator is reconciling the MLJob, and may submit a run to this Airflow.

        An unexpected error can prevent this check for an MLJob. The MLJob then needs the Airflow if
        the MLJob's stored status names a run in this Airflow.
        """

        def is_user(worker: WorkerState) -> bool:
            state = worker.last_state(self._classify)
            busy = state.current.open and worker.task is not None
            return state.run.airflow == airflow and (needs_airflow(state) or busy)

        answers = dict(self._workers.of_each(is_user))

        def is_named(worker: WorkerState) -> bool:
            status = worker.tracked.job.status if worker.tracked is not None else None
            return (
                status is not None
                and status.dag_run_id is not None
                and (status.airflow_instance or SETTINGS_AIRFLOW) == airflow
            )

        return [key for key, worker in self._workers.tracked.items() if answers.get(key, is_named(worker))]
