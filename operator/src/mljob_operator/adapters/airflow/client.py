"""One Airflow as the operator sees it.

The client is synchronous, so requests run in a small pool of threads: Airflow on PostgreSQL takes about 50 submissions a second
whatever the number of clients, and 8 keep it busy.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any, TypeVar

from airflow_client.client import DAGApi, MonitorApi, VersionApi

from mljob_contract.airflow_instance import InstanceHealth
from mljob_contract.mljob import OutputSource

from ...core.facts import Question, RunFact, TaskFact, TaskKey
from ...errors import AirflowError
from ...ports import Meter, Pulse, RunChange, TaskChange
from .backfills import AirflowBackfills
from .cancellation import Cancellation
from .changes import Changes
from .outputs import Outputs
from .refusals import Refusals
from .runs import Runs
from .session import CONNECTIONS, TIMEOUT, Answer, Session

T = TypeVar("T")


class Airflow:
    """One Airflow.

    Args:
        name: Of its AirflowInstance, for metrics.
        url: Base URL, without ``/api/v2``.
        user: For ``POST /auth/token``, with ``password``.
        token: A bearer token instead of user and password.
        secret: The Secret that these are from, for messages; empty: the operator's settings.
        ca_file: CA bundle for https, in a file.
        ca_bundle: CA bundle for https (PEM).
        prefix: Of our dag run ids.
        cancel_dag_id: The cancellation DAG.
    """

    def __init__(
        self,
        name: str,
        url: str,
        meter: Meter,
        *,
        user: str | None = None,
        password: str | None = None,
        token: str | None = None,
        secret: str = "",
        ca_file: str | None = None,
        ca_bundle: str | None = None,
        prefix: str,
        cancel_dag_id: str,
    ) -> None:
        self._name = name
        self._session = Session(
            url, user=user, password=password, token=token, secret=secret, ca_file=ca_file, ca_bundle=ca_bundle
        )
        self._meter = meter
        self._threads = ThreadPoolExecutor(CONNECTIONS, thread_name_prefix=f"airflow {name}".strip())
        # Whether it is back must not wait for those who ask it something else.
        self._prober = ThreadPoolExecutor(1, thread_name_prefix=f"airflow {name} probe")
        self._dags = DAGApi(self._session.client)
        self._monitor = MonitorApi(self._session.client)
        self._versions = VersionApi(self._session.client)
        refusals = Refusals(self._session)
        self._runs = Runs(self._session, refusals)
        self._outputs = Outputs(self._session)
        self._cancellation = Cancellation(self._session, self._runs, dag_id=cancel_dag_id)
        self._changes = Changes(self._session, prefix=prefix)
        self.backfills = AirflowBackfills(self._session, self._in_thread, refusals, prefix=prefix)
        """Its backfills."""

    @property
    def clock_offset(self) -> timedelta:
        """How far Airflow's clock is ahead of ours; to a second, as HTTP's Date has no fractions."""
        return self._session.clock_offset

    async def close(self) -> None:
        """Let requests under way end."""
        for pool in (self._threads, self._prober):
            await asyncio.to_thread(pool.shutdown, wait=True, cancel_futures=True)

    # DagRuns

    async def submit(self, dag_id: str, run_id: str, conf: Mapping[str, Any], note: str) -> RunFact:
        """As :meth:`.Runs.submit`."""
        return await self._in_thread("submit", self._runs.submit, dag_id, run_id, conf, note)

    async def params(self, dag_id: str) -> dict[str, Any]:
        """As :meth:`.Runs.params`."""
        return await self._in_thread("params", self._runs.params, dag_id)

    async def conf(self, dag_id: str, run_id: str) -> dict[str, Any]:
        """As :meth:`.Runs.conf`."""
        return await self._in_thread("conf", self._runs.conf, dag_id, run_id)

    async def clear_failed(self, dag_id: str, run_id: str, *, since: datetime | None) -> RunFact | None:
        """As :meth:`.Runs.clear_failed`."""
        return await self._in_thread("clear_failed", self._runs.clear_failed, dag_id, run_id, since)

    async def get(self, dag_id: str, run_id: str) -> RunFact | None:
        """As :meth:`.Runs.get`."""
        return await self._in_thread("get", self._runs.get, dag_id, run_id)

    async def tasks(self, dag_id: str, run_id: str) -> list[TaskFact]:
        """As :meth:`.Runs.tasks`."""
        return await self._in_thread("tasks", self._runs.tasks, dag_id, run_id)

    async def questions(self, dag_id: str, run_id: str) -> dict[TaskKey, Question]:
        """As :meth:`.Runs.questions`."""
        return await self._in_thread("questions", self._runs.questions, dag_id, run_id)

    async def outputs(self, dag_id: str, run_id: str, sources: Sequence[OutputSource]) -> dict[str, Any]:
        """As :meth:`.Outputs.read`."""
        return await self._in_thread("outputs", self._outputs.read, dag_id, run_id, sources)

    async def trigger_cancellation(self, dag_id: str, run_id: str, reason: str) -> None:
        """As :meth:`.Cancellation.trigger`."""
        await self._in_thread("trigger_cancellation", self._cancellation.trigger, dag_id, run_id, reason)

    async def cancellation_runs(self, run_id: str) -> bool:
        """As :meth:`.Cancellation.at_work`."""
        return await self._in_thread("cancellation_runs", self._cancellation.at_work, run_id)

    async def cancel(self, dag_id: str, run_id: str) -> None:
        """As :meth:`.Cancellation.cancel`."""
        await self._in_thread("cancel", self._cancellation.cancel, dag_id, run_id)

    async def drop_cancellation(self, run_id: str) -> None:
        """As :meth:`.Cancellation.drop`."""
        await self._in_thread("drop_cancellation", self._cancellation.drop, run_id)

    async def changed_runs(self, since: datetime) -> list[RunChange]:
        """As :meth:`.Changes.runs`."""
        return await self._in_thread("changed_runs", self._changes.runs, since)

    async def changed_tasks(self, since: datetime) -> list[TaskChange]:
        """As :meth:`.Changes.tasks`."""
        return await self._in_thread("changed_tasks", self._changes.tasks, since)

    async def active_runs(self) -> list[RunChange]:
        """As :meth:`.Changes.active_runs`."""
        return await self._in_thread("active_runs", self._changes.active_runs)

    async def paused_dags(self) -> set[str]:
        """As :meth:`.Changes.paused_dags`."""
        return await self._in_thread("paused_dags", self._changes.paused_dags)

    # How it is

    async def probe(self) -> Pulse:
        """``GET /version`` and ``GET /monitor/health``, and one request that needs a permission.

        Raises:
            AirflowUnavailable: No answer.
            AirflowUnauthorized: The credentials are wrong.
            AirflowForbidden: They may not even read DAGs.
        """
        return await self._in_thread("probe", self._probe, pool=self._prober)

    def _probe(self) -> Pulse:
        version = self._session.ask(
            lambda: self._versions.get_version_without_preload_content(_request_timeout=TIMEOUT)
        )
        # The two others are answered to everybody.
        self._session.ask(lambda: self._dags.get_dags_without_preload_content(limit=1, _request_timeout=TIMEOUT))
        health = self._session.ask(lambda: self._monitor.get_health_without_preload_content(_request_timeout=TIMEOUT))
        parts = {part: (found or {}).get("status") for part, found in health.items()}
        return Pulse(version["version"], InstanceHealth.model_validate(parts))

    async def _in_thread(
        self, operation: str, function: Callable[..., T], *args: Any, pool: ThreadPoolExecutor | None = None
    ) -> T:
        """Run a synchronous operation in a pool, time it, and map what it raises."""
        started = time.perf_counter()
        outcome = "error"
        try:
            result = await asyncio.get_running_loop().run_in_executor(pool or self._threads, function, *args)
            outcome = "ok"
        except Answer as answer:
            raise AirflowError(f"Airflow answered {answer.status} to {operation}: {answer.detail}") from answer
        except AirflowError as error:
            outcome = error.reason
            raise
        finally:
            self._meter.airflow_request(self._name, operation, outcome, time.perf_counter() - started)
        return result
