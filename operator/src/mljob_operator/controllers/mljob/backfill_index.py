"""Finds the MLJobs that have a backfill of a DAG in progress.

Airflow chooses the id of a backfill's run, so the id does not name an MLJob. The run may belong to
any MLJob that has a backfill of the run's DAG in progress.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection

from ...core.mljob.classification.state import State
from ...core.run.run_key import Key


class BackfillIndex:
    """The MLJobs with a backfill in progress, by Airflow and DAG."""

    def __init__(self) -> None:
        self._keys: defaultdict[tuple[str, str], set[Key]] = defaultdict(set)

    def of(self, airflow: str, dag_id: str) -> Collection[Key]:
        """Return the namespace and name of each MLJob that has a backfill of this DAG in progress
        in this Airflow.
        """
        return self._keys.get((airflow, dag_id), ())

    def update(self, state: State) -> None:
        """Add the MLJob if it has a backfill in progress. Otherwise remove the MLJob."""
        dag, key = (state.run.airflow, state.run.dag_id), state.job.key
        if state.job.is_backfill and state.current.active:
            self._keys[dag].add(key)
        elif dag in self._keys:
            self._keys[dag].discard(key)
            if not self._keys[dag]:
                del self._keys[dag]

    def remove(self, key: Key) -> None:
        """Remove an MLJob that is deleted, or for which the operator has nothing more to do."""
        for keys in self._keys.values():
            keys.discard(key)
