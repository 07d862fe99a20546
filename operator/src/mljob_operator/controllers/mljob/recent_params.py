"""Keeps the params of DAGs for a few seconds, so that many MLJobs of one DAG don't read the same
params from Airflow again and again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from copy import copy
from datetime import datetime, timedelta
from typing import Any

from ...ports import Clock, DagRuns

KEPT_FOR = timedelta(seconds=5)
"""How long the params of a DAG are kept."""
MAX_KEPT = 20
"""The maximum number of DAGs whose params are kept. The params of a DAG may take megabytes."""

_Params = Mapping[str, Any]
_Key = tuple[DagRuns, str]
"""A connection to an Airflow with one login, and the id of a DAG."""


class RecentParams:
    """Keeps the params of the ``MAX_KEPT`` DAGs that were read last. What one login has read is not
    used for another login.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: dict[_Key, tuple[datetime, _Params]] = {}
        self._under_way: dict[_Key, asyncio.Task[_Params]] = {}

    def of(self, dag_runs: DagRuns, dag_id: str) -> _Params | None:
        """Return the params of a DAG that were read within the last ``KEPT_FOR``, as
        :meth:`.DagRuns.params` does. Return None if there are none.
        """
        read_at, params = self._kept.get((dag_runs, dag_id), (None, None))
        return params if read_at is not None and read_at <= self._clock() < read_at + KEPT_FOR else None

    async def read(self, dag_runs: DagRuns, dag_id: str) -> _Params:
        """Read the params of a DAG from Airflow. Calls at the same time share one request. The
        result is empty if the DAG does not exist.

        Raises:
            AirflowError: The params can't be read.
        """
        key = (dag_runs, dag_id)
        task = self._under_way.get(key)
        if task is None:
            task = self._under_way[key] = asyncio.create_task(self._read(key), name=f"read the params of {dag_id}")
            task.add_done_callback(lambda done: self._ended(key, done))
        try:
            # The other callers still need the result if this one is cancelled.
            return await asyncio.shield(task)
        except Exception as error:
            raise copy(error) from None

    async def _read(self, key: _Key) -> _Params:
        dag_runs, dag_id = key
        asked_at = self._clock()
        params = await dag_runs.params(dag_id)
        self._kept.pop(key, None)
        if params is None:
            return {}
        self._kept[key] = asked_at, params
        if len(self._kept) > MAX_KEPT:
            del self._kept[next(iter(self._kept))]
        return params

    def _ended(self, key: _Key, task: asyncio.Task[_Params]) -> None:
        del self._under_way[key]
        if not task.cancelled():
            # Without this, asyncio would log an exception for which no caller waits any more.
            task.exception()
