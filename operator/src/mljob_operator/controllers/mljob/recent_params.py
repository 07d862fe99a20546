"""Keeps the params of DAGs for a few seconds, so that many MLJobs of one DAG don't read the same
params from Airflow again and again.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from ...core.run.run_key import RunKey
from ...ports import Clock, DagRuns

KEPT_FOR = timedelta(seconds=5)
"""How long the params of a DAG are kept."""
MAX_KEPT = 20
"""The maximum number of DAGs whose params are kept. The params of a DAG may take megabytes."""


class RecentParams:
    """Keeps the params of the ``MAX_KEPT`` DAGs that were read last."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._read: dict[tuple[str, str], tuple[datetime, Mapping[str, Any]]] = {}

    def of(self, run: RunKey) -> Mapping[str, Any] | None:
        """Return the params of a run's DAG, as :meth:`.DagRuns.params` does. Return None if they
        were not read within the last ``KEPT_FOR``.
        """
        read_at, params = self._read.get((run.airflow, run.dag_id), (None, None))
        return params if read_at is not None and self._clock() < read_at + KEPT_FOR else None

    async def read(self, run: RunKey, dag_runs: DagRuns) -> Mapping[str, Any]:
        """Read the params of a run's DAG from Airflow. The result is empty if the DAG does not
        exist, and is not kept then.

        Raises:
            AirflowError: The params can't be read.
        """
        key, asked_at = (run.airflow, run.dag_id), self._clock()
        params = await dag_runs.params(run.dag_id)
        self._read.pop(key, None)
        if params is None:
            return {}
        self._read[key] = asked_at, params
        if len(self._read) > MAX_KEPT:
            del self._read[next(iter(self._read))]
        return params
