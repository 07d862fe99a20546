"""Airflow 3's REST API (``/api/v2``) through apache-airflow-client.

The client is synchronous, so requests run in a small pool of threads: Airflow on PostgreSQL takes about 50 submissions a second
whatever the number of clients, and 8 keep it busy. Answers are read as JSON rather than into the client's models: the models refuse states
that a later Airflow adds, and cost more than the request on a page of a hundred task instances.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any, TypeVar

from airflow_client.client import (
    BulkBodyBulkTaskInstanceBody,
    DAGApi,
    DagRunApi,
    DAGRunClearBody,
    DAGRunPatchBody,
    ImportErrorApi,
    MonitorApi,
    TaskApi,
    TaskInstanceApi,
    TriggerDAGRunPostBody,
    VersionApi,
    XComApi,
)

from mljob_contract.airflow_instance import InstanceHealth
from mljob_contract.mljob import OutputSource

from ..core.facts import Question, RunFact, TaskFact, TaskKey
from ..core.identity import cancel_run_id
from ..core.phases import ACTIVE_TASK, FINISHED_TASK, TERMINAL_RUN, RunState, task_state
from ..core.task_order import upstream_first
from ..errors import (
    AirflowError,
    AirflowForbidden,
    AirflowUnavailable,
    DagImportError,
    DagNotFound,
    DagRefused,
    NothingToClear,
    ValidationFailed,
)
from ..ports import Meter, Pulse, RunChange, TaskChange
from .airflow_backfills import AirflowBackfills
from .airflow_rows import now, run_fact, task_fact
from .airflow_session import CONNECTIONS, PAGE, TIMEOUT, Answer, Session

log = logging.getLogger(__name__)

T = TypeVar("T")

ONE_BY_ONE_SECONDS = 10.0
"""How long task instances are set failed one by one, at about 50 ms each; then the run is, which ends the rest at once."""
OUTPUTS_KEY = "mljob_outputs"
"""The XCom key under which ``mljob_airflow.publish_outputs`` leaves a task's outputs."""


class Airflow:
    """One Airflow.

    Args:
        name: Of its AirflowInstance, for metrics.
        url: Base URL, without ``/api/v2``.
        user: For ``POST /auth/token``, with ``password``.
        token: A bearer token instead of user and password.
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
        ca_file: str | None = None,
        ca_bundle: str | None = None,
        prefix: str,
        cancel_dag_id: str,
    ) -> None:
        self._name = name
        self._session = Session(url, user=user, password=password, token=token, ca_file=ca_file, ca_bundle=ca_bundle)
        self._meter = meter
        self._prefix = prefix
        self._cancel_dag_id = cancel_dag_id
        self._threads = ThreadPoolExecutor(CONNECTIONS, thread_name_prefix=f"airflow {name}".strip())
        # Whether it is back must not wait for those who ask it something else.
        self._prober = ThreadPoolExecutor(1, thread_name_prefix=f"airflow {name} probe")
        self._runs = DagRunApi(self._session.client)
        self._dag_tasks = TaskApi(self._session.client)
        self._tasks = TaskInstanceApi(self._session.client)
        self._dags = DAGApi(self._session.client)
        self._import_errors = ImportErrorApi(self._session.client)
        self._xcoms = XComApi(self._session.client)
        self._monitor = MonitorApi(self._session.client)
        self._versions = VersionApi(self._session.client)
        self.backfills = AirflowBackfills(self._session, self._in_thread, self._no_dag, prefix=prefix)
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
        """``POST /dags/{dag_id}/dagRuns``; 409 means that the run is there, so it is adopted.

        Raises:
            DagNotFound: No such DAG, yet.
            DagImportError: Its file does not import.
            ValidationFailed: Its params refuse the conf.
            AirflowUnavailable: No answer; ``outcome_unknown`` when the run may be there all the same.
        """
        return await self._in_thread("submit", self._submit, dag_id, run_id, conf, note)

    async def params(self, dag_id: str) -> dict[str, Any]:
        """``GET /dags/{dag_id}/details``: its params."""
        return await self._in_thread("params", self._params, dag_id)

    async def conf(self, dag_id: str, run_id: str) -> dict[str, Any]:
        """``GET /dags/{dag_id}/dagRuns/{run_id}``: its conf.

        Raises:
            ValidationFailed: There is no such run.
        """
        return await self._in_thread("conf", self._conf, dag_id, run_id)

    async def clear_failed(self, dag_id: str, run_id: str, *, since: datetime | None) -> RunFact:
        """``POST /dags/{dag_id}/dagRuns/{run_id}/clear`` with ``only_failed``.

        Raises:
            NothingToClear: The run has no failed task, or is gone.
        """
        return await self._in_thread("clear_failed", self._clear_failed, dag_id, run_id, since)

    async def get(self, dag_id: str, run_id: str) -> RunFact | None:
        """``GET /dags/{dag_id}/dagRuns/{run_id}``."""
        return await self._in_thread("get", self._get, dag_id, run_id)

    async def tasks(self, dag_id: str, run_id: str) -> list[TaskFact]:
        """``GET /dags/{dag_id}/dagRuns/{run_id}/taskInstances``, all pages."""
        return await self._in_thread("tasks", self._list_tasks, dag_id, run_id)

    async def questions(self, dag_id: str, run_id: str) -> dict[TaskKey, Question]:
        """``GET /dags/{dag_id}/dagRuns/{run_id}/hitlDetails?response_received=false``, all pages."""
        return await self._in_thread("questions", self._questions, dag_id, run_id)

    async def outputs(self, dag_id: str, run_id: str, sources: Sequence[OutputSource]) -> dict[str, Any]:
        """The XComs named ``mljob_outputs`` of all tasks, merged in the order in which they were pushed, then those that are asked for."""
        return await self._in_thread("outputs", self._outputs, dag_id, run_id, sources)

    async def trigger_cancellation(self, dag_id: str, run_id: str, reason: str) -> None:
        """Trigger the cancellation DAG, unless it is known that it would not run."""
        await self._in_thread("trigger_cancellation", self._trigger_cancellation, dag_id, run_id, reason)

    async def cancellation_runs(self, run_id: str) -> bool:
        """Whether its task has: Airflow calls a run running as soon as it is scheduled, slot or no slot."""
        tasks = await self.tasks(self._cancel_dag_id, cancel_run_id(run_id))
        return any(task.state in ACTIVE_TASK for task in tasks)

    async def cancel(self, dag_id: str, run_id: str) -> None:
        """Fail what is unfinished, then the run."""
        await self._in_thread("cancel", self._cancel, dag_id, run_id)

    async def changed_runs(self, since: datetime) -> list[RunChange]:
        """``GET /dags/~/dagRuns?updated_at_gte=&run_id_prefix_pattern=``, all pages."""

        def ask() -> list[RunChange]:
            seen = now()
            pages = self._session.pages(
                "dag_runs",
                lambda place: self._runs.get_dag_runs_without_preload_content(
                    "~",
                    updated_at_gte=since,
                    run_id_prefix_pattern=self._prefix + ".",
                    **place,
                    _request_timeout=TIMEOUT,
                ),
            )
            return self._changes(pages, seen)

        return await self._in_thread("changed_runs", ask)

    async def changed_tasks(self, since: datetime) -> list[TaskChange]:
        """``GET /dags/~/dagRuns/~/taskInstances?updated_at_gte=&run_id_prefix_pattern=``, all pages."""

        def ask() -> list[TaskChange]:
            seen = now()
            pages = self._session.pages(
                "task_instances",
                lambda place: self._tasks.get_task_instances_without_preload_content(
                    "~",
                    "~",
                    updated_at_gte=since,
                    run_id_prefix_pattern=self._prefix + ".",
                    **place,
                    _request_timeout=TIMEOUT,
                ),
            )
            return [TaskChange(row["dag_id"], row["dag_run_id"], task_fact(row, seen)) for row in self._ours(pages)]

        return await self._in_thread("changed_tasks", ask)

    async def active_runs(self) -> list[RunChange]:
        """``GET /dags/~/dagRuns?state=queued&state=running&run_id_prefix_pattern=``, all pages."""

        def ask() -> list[RunChange]:
            seen = now()
            pages = self._session.pages(
                "dag_runs",
                lambda place: self._runs.get_dag_runs_without_preload_content(
                    "~",
                    state=[RunState.QUEUED.value, RunState.RUNNING.value],
                    run_id_prefix_pattern=self._prefix + ".",
                    **place,
                    _request_timeout=TIMEOUT,
                ),
            )
            return self._changes(pages, seen)

        return await self._in_thread("active_runs", ask)

    async def paused_dags(self) -> set[str]:
        """``GET /dags?paused=true``, all pages."""

        def ask() -> set[str]:
            paused: set[str] = set()
            while True:
                offset = len(paused)
                page = self._session.ask(
                    lambda offset=offset: self._dags.get_dags_without_preload_content(  # type: ignore[misc]
                        paused=True, limit=PAGE, offset=offset, order_by=["dag_id"], _request_timeout=TIMEOUT
                    )
                )
                paused.update(row["dag_id"] for row in page["dags"])
                if len(page["dags"]) < PAGE:
                    return paused

        return await self._in_thread("paused_dags", ask)

    async def probe(self) -> Pulse:
        """``GET /version`` and ``GET /monitor/health``, and one request that needs a permission.

        Raises:
            AirflowUnavailable: No answer.
            AirflowUnauthorized: The credentials are wrong.
            AirflowForbidden: They may not even read DAGs.
        """
        return await self._in_thread("probe", self._probe, pool=self._prober)

    # What runs in the threads

    def _ours(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Those of our runs: Airflow 3.1 has no prefix to list by, and later ones drop the punctuation at its end."""
        return [row for row in rows if row["dag_run_id"].startswith(self._prefix + ".")]

    def _changes(self, rows: list[dict[str, Any]], seen: datetime) -> list[RunChange]:
        return [RunChange(row["dag_id"], row["dag_run_id"], run_fact(row, seen)) for row in self._ours(rows)]

    def _probe(self) -> Pulse:
        version = self._session.ask(
            lambda: self._versions.get_version_without_preload_content(_request_timeout=TIMEOUT)
        )
        # The two others are answered to everybody.
        self._session.ask(lambda: self._dags.get_dags_without_preload_content(limit=1, _request_timeout=TIMEOUT))
        health = self._session.ask(lambda: self._monitor.get_health_without_preload_content(_request_timeout=TIMEOUT))
        parts = {part: (found or {}).get("status") for part, found in health.items()}
        return Pulse(version["version"], InstanceHealth.model_validate(parts))

    def _submit(self, dag_id: str, run_id: str, conf: Mapping[str, Any], note: str) -> RunFact:
        body = TriggerDAGRunPostBody(dag_run_id=run_id, conf=dict(conf), note=note, logical_date=None)
        seen = now()
        try:
            row = self._session.ask(
                lambda: self._runs.trigger_dag_run_without_preload_content(dag_id, body, _request_timeout=TIMEOUT)
            )
        except Answer as answer:
            if answer.status == 409:
                adopted = self._get(dag_id, run_id)
                if adopted is not None:
                    return adopted
                raise AirflowUnavailable(f"Airflow says that run {run_id} is there and that it is not") from answer
            raise self._why_not(dag_id, answer) from answer
        return run_fact(row, seen)

    def _why_not(self, dag_id: str, answer: Answer) -> AirflowError:
        """Say why a DAG was not triggered, and what to do about it."""
        detail = answer.detail
        if answer.status == 404:
            return self._no_dag(dag_id)
        if answer.status == 400 and "import error" in detail.lower():
            broken = self._broken_files()
            return DagImportError(
                f"DAG {dag_id!r} has import errors and can't be run: fix its file{f' ({broken})' if broken else ''}; "
                "`airflow dags list-import-errors` shows the traceback."
            )
        if answer.status in (400, 422):
            return ValidationFailed(
                f"Airflow refused spec.conf for DAG {dag_id!r}: {detail} Change spec.conf to try again."
            )
        return AirflowError(f"Airflow answered {answer.status} to the submission of DAG {dag_id!r}: {detail}")

    def _no_dag(self, dag_id: str) -> DagNotFound:
        broken = self._broken_files()
        hint = f" Airflow can't import {broken}." if broken else ""
        return DagNotFound(
            f"Airflow knows no DAG {dag_id!r} (spec.dagId). A new DAG file takes until the dag processor's next scan to appear; "
            f"check the spelling with `airflow dags list`.{hint}"
        )

    def _broken_files(self) -> str:
        """Files that don't import, and the last line of each traceback; empty when there are none, or nobody tells."""
        try:
            page = self._session.ask(
                lambda: self._import_errors.get_import_errors_without_preload_content(limit=3, _request_timeout=TIMEOUT)
            )
        except (Answer, AirflowError):
            return ""
        traces = {row["filename"]: (row.get("stack_trace") or "?").strip() for row in page["import_errors"]}
        told = "; ".join(f"{file}: {trace.rpartition(chr(10))[2]}" for file, trace in traces.items())
        rest = page["total_entries"] - len(page["import_errors"])
        return told + (f" and {rest} more" if rest > 0 else "")

    def _params(self, dag_id: str) -> dict[str, Any]:
        try:
            row = self._session.ask(
                lambda: self._dags.get_dag_details_without_preload_content(dag_id, _request_timeout=TIMEOUT)
            )
        except Answer as answer:
            if answer.status == 404:
                return {}
            raise
        return row.get("params") or {}

    def _conf(self, dag_id: str, run_id: str) -> dict[str, Any]:
        row = self._row(dag_id, run_id)
        if row is None:
            raise ValidationFailed(
                f"Run {run_id} is not in Airflow any more, so its conf is not known, and runPolicy Once refuses the changed one. "
                "Create an MLJob with another name."
            )
        return row.get("conf") or {}

    def _clear_failed(self, dag_id: str, run_id: str, since: datetime | None) -> RunFact:
        before = self._get(dag_id, run_id)
        if before is None:
            raise NothingToClear(f"run {run_id} is not in Airflow any more")
        again = since is not None and before.created is not None and before.created >= since
        if again or before.state not in TERMINAL_RUN:
            return before
        # Without only_new, which Airflow 3.1 refuses as a field that it does not know.
        body = DAGRunClearBody(dry_run=False, only_failed=True, only_new=None)
        self._session.ask(
            lambda: self._runs.clear_dag_run_without_preload_content(dag_id, run_id, body, _request_timeout=TIMEOUT)
        )
        after = self._get(dag_id, run_id)
        if after is None or (after.state in TERMINAL_RUN and after.created == before.created):
            raise NothingToClear(f"run {run_id} has no failed task")
        return after

    def _get(self, dag_id: str, run_id: str) -> RunFact | None:
        seen = now()
        row = self._row(dag_id, run_id)
        return run_fact(row, seen) if row is not None else None

    def _row(self, dag_id: str, run_id: str) -> dict[str, Any] | None:
        try:
            row: dict[str, Any] = self._session.ask(
                lambda: self._runs.get_dag_run_without_preload_content(dag_id, run_id, _request_timeout=TIMEOUT)
            )
        except Answer as answer:
            if answer.status == 404:
                return None
            raise
        return row

    def _task_rows(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        try:
            return self._session.pages(
                "task_instances",
                lambda place: self._tasks.get_task_instances_without_preload_content(
                    dag_id, run_id, **place, _request_timeout=TIMEOUT
                ),
            )
        except Answer as answer:
            if answer.status == 404:
                return []
            raise

    def _list_tasks(self, dag_id: str, run_id: str) -> list[TaskFact]:
        seen = now()
        return [task_fact(row, seen) for row in self._task_rows(dag_id, run_id)]

    def _questions(self, dag_id: str, run_id: str) -> dict[TaskKey, Question]:
        found: dict[TaskKey, Question] = {}
        offset = 0
        while True:
            try:
                page = self._session.ask(
                    lambda offset=offset: self._tasks.get_hitl_details_without_preload_content(  # type: ignore[misc]
                        dag_id,
                        run_id,
                        response_received=False,
                        order_by=["ti_id"],
                        limit=PAGE,
                        offset=offset,
                        _request_timeout=TIMEOUT,
                    )
                )
            except Answer as answer:
                if answer.status == 404:
                    return {}
                raise
            except AirflowForbidden as error:
                log.warning("what the tasks of run %s ask of people is not known: %s", run_id, error)
                return {}
            for row in page["hitl_details"]:
                task = row["task_instance"]
                found[task["task_id"], task["map_index"]] = Question(task["try_number"], row["subject"])
            offset += len(page["hitl_details"])
            if len(page["hitl_details"]) < PAGE:
                return found

    def _outputs(self, dag_id: str, run_id: str, sources: Sequence[OutputSource]) -> dict[str, Any]:
        outputs: dict[str, Any] = {}
        for _, value in self._xcom(dag_id, run_id, "~", OUTPUTS_KEY):
            if isinstance(value, dict):
                outputs |= value
        for source in sources:
            found = self._xcom(dag_id, run_id, source.task_id, source.key)
            if found:
                mapped = any(index >= 0 for index, _ in found)
                outputs[source.name] = [value for _, value in sorted(found, key=_index)] if mapped else found[0][1]
        return outputs

    def _xcom(self, dag_id: str, run_id: str, task_id: str, key: str) -> list[tuple[int, Any]]:
        """Map index and value of each XCom of this key, in the order in which they were pushed."""
        try:
            page = self._session.ask(
                lambda: self._xcoms.get_xcom_entries_without_preload_content(
                    dag_id, run_id, task_id, xcom_key=key, order_by=["timestamp"], limit=PAGE, _request_timeout=TIMEOUT
                )
            )
        except Answer as answer:
            if answer.status == 404:
                return []
            raise
        found = []
        # Airflow 3.1 ignores order_by and sorts by task id.
        for entry in sorted(page["xcom_entries"], key=_pushed):
            row = self._session.ask(
                lambda entry=entry: self._xcoms.get_xcom_entry_without_preload_content(  # type: ignore[misc]
                    dag_id,
                    entry["task_id"],
                    run_id,
                    key,
                    map_index=entry["map_index"],
                    deserialize=False,
                    _request_timeout=TIMEOUT,
                )
            )
            found.append((int(entry["map_index"]), _plain(row["value"])))
        return found

    def _trigger_cancellation(self, dag_id: str, run_id: str, reason: str) -> None:
        by = self._cancel_dag_id
        try:
            dag = self._session.ask(lambda: self._dags.get_dag_without_preload_content(by, _request_timeout=TIMEOUT))
        except Answer as answer:
            if answer.status == 404:
                raise DagRefused(f"the cancellation DAG {by} is not in Airflow") from answer
            raise
        if dag["is_paused"]:
            raise DagRefused(f"the cancellation DAG {by} is paused")
        conf = {"dag_id": dag_id, "dag_run_id": run_id, "reason": reason}
        try:
            self._submit(by, cancel_run_id(run_id), conf, reason)
        except (DagNotFound, DagImportError, ValidationFailed) as error:
            raise DagRefused(f"the cancellation DAG {by} can't be run: {error}") from error

    def _cancel(self, dag_id: str, run_id: str) -> None:
        unfinished = [
            (row["task_id"], row["map_index"])
            for row in self._task_rows(dag_id, run_id)
            if task_state(row.get("state")) not in FINISHED_TASK
        ]
        enough = time.monotonic() + ONE_BY_ONE_SECONDS
        groups = upstream_first(unfinished, self._downstream(dag_id))
        for keys in (group[start : start + PAGE] for group in groups for start in range(0, len(group), PAGE)):
            if time.monotonic() > enough:
                break
            entities = [{"task_id": task_id, "map_index": index, "new_state": "failed"} for task_id, index in keys]
            action = {"action": "update", "entities": entities, "action_on_non_existence": "skip"}
            body = BulkBodyBulkTaskInstanceBody.from_dict({"actions": [action]})
            try:
                result = self._session.ask(
                    lambda body=body: self._tasks.bulk_task_instances_without_preload_content(  # type: ignore[misc]
                        dag_id, run_id, body, _request_timeout=TIMEOUT
                    )
                )
            except (Answer, AirflowUnavailable) as error:
                # Setting the run failed ends them too; it is one row, where these may be thousands.
                log.warning("run %s: task instances were not set failed one by one: %s", run_id, error)
                break
            for refused in (result.get("update") or {}).get("errors") or ():
                log.info("run %s: a task instance was not set failed: %s", run_id, refused)
        self._fail_run(dag_id, run_id)
        # A cancellation run that never got a slot has nothing left to do; started later, it would find the run over.
        cancellation = self._get(self._cancel_dag_id, cancel_run_id(run_id))
        if cancellation is not None and cancellation.state is RunState.QUEUED:
            self._fail_run(self._cancel_dag_id, cancel_run_id(run_id))

    def _downstream(self, dag_id: str) -> dict[str, list[str]]:
        """For each task of the DAG, the tasks directly downstream; nothing when the DAG is gone."""
        try:
            page = self._session.ask(
                lambda: self._dag_tasks.get_tasks_without_preload_content(dag_id, _request_timeout=TIMEOUT)
            )
        except Answer as answer:
            if answer.status == 404:
                return {}
            raise
        return {task["task_id"]: task.get("downstream_task_ids") or [] for task in page["tasks"]}

    def _fail_run(self, dag_id: str, run_id: str) -> None:
        body = DAGRunPatchBody(state="failed")
        try:
            self._session.ask(
                lambda: self._runs.patch_dag_run_without_preload_content(dag_id, run_id, body, _request_timeout=TIMEOUT)
            )
        except Answer as answer:
            if answer.status not in (404, 409):
                raise

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


def _plain(value: Any) -> Any:
    """An XCom as Airflow stores it: JSON in a string, or in older rows JSON itself."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def _pushed(entry: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(entry["timestamp"])


def _index(found: tuple[int, Any]) -> int:
    return found[0]
