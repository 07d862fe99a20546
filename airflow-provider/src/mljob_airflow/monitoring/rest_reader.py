"""Sends the requests of monitoring to Airflow's REST API.

A failed request raises :class:`mljob_airflow.rest.client.AirflowApiError`. If a DAG does not exist,
the methods about one DAG return ``None``, 0 or an empty result. :meth:`AirflowReader.last_error`
returns ``None`` for some failed requests too.

Of a long list, only the first rows are read. ``MAX_DAGS`` and other constants limit the number of
rows.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from mljob_airflow.monitoring.findings.fingerprints import ErrorText, last_error
from mljob_airflow.monitoring.findings.outliers import REPRESENTATIVES
from mljob_airflow.monitoring.observations import (
    Asset,
    BrokenFile,
    Dag,
    Listing,
    Pool,
    QueuedRun,
    Row,
    RunningRuns,
    TaskInstance,
)
from mljob_airflow.rest.client import AirflowApiError, Endpoint, ask, ask_or_none, connect, connection_errors, request
from mljob_airflow.rest.paging import PAGE_SIZE, Page, pages
from mljob_contract.cancellation_note import is_cancelled
from mljob_contract.run_id import RunId

MAX_DAGS = 10_000
MAX_RUNS = 2_000
"""The maximum number of rows that are read of a list of runs, import errors, assets or pools."""
MAX_MLJOB_RUNS = 20
"""The maximum number of a DAG's runs that show which MLJobs run the DAG."""
MAX_TASKS = 5_000
"""The maximum number of task instances that are read of a list. A busy platform runs that many in a
few hours.
"""
MAX_WINDOW_TASKS = 50_000
"""The maximum number of task instances that are read for the report about bottlenecks, 100 in a
request. A busy platform runs that many in a few days.
"""
MAX_LINE_BYTES = 1024 * 1024
"""The size from which a line of a task's log is cut. A cut line is not valid JSON, so errors in this
line are not found. The progress bars of some programs are a single line of many megabytes.
"""
MAX_LOG_BYTES = 32 * 1024 * 1024
"""The maximum number of bytes of a task's log that are read to find the last exception. The log is
read in chunks, and is never in memory as a whole."""
BACKFILL = "backfill"
"""The ``run_type`` of a run that is part of a backfill."""

Answer = Mapping[str, Any]


class AirflowReader:
    """Reads data from Airflow. Implements :class:`mljob_airflow.monitoring.collector.Airflow`."""

    def __init__(self, endpoint: Endpoint) -> None:
        from airflow_client import client

        api = connect(endpoint)
        self._dags = client.DAGApi(api)
        self._runs = client.DagRunApi(api)
        self._tasks = client.TaskInstanceApi(api)
        self._import_errors = client.ImportErrorApi(api)
        self._pools = client.PoolApi(api)
        self._assets = client.AssetApi(api)
        self.requests = 0

    def dags_in_use(self, since: datetime) -> Listing[Dag]:
        """Return the DAGs whose newest run started at or after ``since``. Stale DAGs are included.
        A DAG whose newest run is still queued is left out.
        """
        return self._by_offset(
            "list DAGs",
            self._dags.get_dags_without_preload_content,
            "dags",
            _dag,
            MAX_DAGS,
            exclude_stale=False,
            dag_run_start_date_gte=since,
            order_by=["dag_id"],
        )

    def dag(self, dag_id: str) -> Dag | None:
        """Return the DAG with this id, or ``None`` if the DAG does not exist."""
        row = self._found(f"get DAG {dag_id}", self._dags.get_dag_without_preload_content, dag_id)
        return None if row is None else _dag(row)

    def owner_links(self, dag_id: str) -> Mapping[str, str]:
        """Return the DAG's ``owner_links``, by owner."""
        row = self._found(f"get details of {dag_id}", self._dags.get_dag_details_without_preload_content, dag_id)
        return dict((row or {}).get("owner_links") or {})

    def import_errors(self) -> Listing[BrokenFile]:
        """Return the DAG files that Airflow can't import, the newest error first."""
        return self._by_offset(
            "list import errors",
            self._import_errors.get_import_errors_without_preload_content,
            "import_errors",
            _broken_file,
            MAX_RUNS,
            order_by=["-timestamp"],
        )

    def assets(self) -> Listing[Asset]:
        """Return Airflow's active assets."""
        return self._by_offset(
            "list assets", self._assets.get_assets_without_preload_content, "assets", _asset, MAX_RUNS, only_active=True
        )

    def queued_runs(self, now: datetime) -> Listing[QueuedRun]:
        """Return the queued runs whose ``run_after`` is ``now`` or earlier, oldest first."""
        return self._by_cursor(
            "list queued runs",
            self._runs.get_dag_runs_without_preload_content,
            ("~",),
            "dag_runs",
            _queued_run,
            MAX_RUNS,
            state=["queued"],
            run_after_lte=now,
            order_by=["run_after"],
        )

    def running_runs(self, dag_id: str) -> RunningRuns:
        """Return the numbers of running runs of the DAG."""
        running = self._count_running(dag_id)
        backfill = self._count_running(dag_id, run_type=[BACKFILL]) if running else 0
        return RunningRuns(backfill, max(running - backfill, 0))

    def mljob_runs(self, dag_id: str, prefix: str, since: datetime) -> Sequence[str]:
        """Return the ids of the DAG's runs that belong to MLJobs, newest run first, at most
        :data:`MAX_MLJOB_RUNS`.

        Args:
            dag_id: The DAG's id.
            prefix: The first part of the run ids of MLJobs.
            since: The earliest ``run_after`` of a run.
        """
        answer = self._found(
            f"list MLJobs' runs of {dag_id}",
            self._runs.get_dag_runs_without_preload_content,
            dag_id,
            # Airflow 3.1 ignores run_id_prefix_pattern, and later versions ignore punctuation at the
            # end of a prefix. Every version filters by run_id_pattern, which may be anywhere in an
            # id. The code below leaves out other runs that pass both filters.
            run_id_prefix_pattern=f"{prefix}.",
            run_id_pattern=f"{prefix}.",
            run_after_gte=since,
            order_by=["-run_after"],
            limit=PAGE_SIZE,
        )
        ids = [RunId.parse(row["dag_run_id"]) for row in (answer or {}).get("dag_runs") or ()]
        return [str(run_id) for run_id in ids if run_id is not None and run_id.prefix == prefix][:MAX_MLJOB_RUNS]

    def failed_tasks(self, since: datetime) -> Listing[TaskInstance]:
        """Return the task instances that failed at or after ``since``.

        If there are more than :data:`MAX_TASKS`, return the newest instances, and the newest of the
        instances that are not mapped or are the first of a mapped task.
        """
        query = {"state": ["failed"], "end_date_gte": since, "order_by": ["-end_date"]}
        every = self._instances("list failed tasks", MAX_TASKS, **query)
        if every.complete:
            return every
        # One mapped task can have so many failed instances that the list lacks all other tasks. The
        # second list has at most one instance of each task and run.
        first = self._instances("list failed tasks", MAX_TASKS, map_index=list(REPRESENTATIVES), **query)
        return Listing(list(dict.fromkeys([*every.rows, *first.rows])), complete=False)

    def waiting_tasks(self) -> Listing[TaskInstance]:
        """Return the task instances that wait for a slot or a worker."""
        return self._instances("list waiting tasks", MAX_TASKS, state=["scheduled", "queued"])

    def recent_tasks(self, since: datetime) -> Listing[TaskInstance]:
        """Return the task instances that are running, or that succeeded at or after ``since``.

        Of a mapped task, only the first instance of each run is returned.
        """
        first = list(REPRESENTATIVES)
        running = self._instances("list running tasks", MAX_TASKS, state=["running"], map_index=first)
        ended = self._instances(
            "list tasks", MAX_TASKS, state=["success"], end_date_gte=since, map_index=first, order_by=["-end_date"]
        )
        return Listing([*running.rows, *ended.rows], running.complete and ended.complete)

    def task_history(self, dag_id: str, task_id: str, states: Sequence[str], limit: int) -> Sequence[TaskInstance]:
        """Return the task's last instances in the given states, newest run first: at most
        ``limit``, and at most :data:`~mljob_airflow.rest.paging.PAGE_SIZE`.

        Of a mapped task, only the first instance of each run is returned.
        """
        answer = self._found(
            f"read the history of {dag_id}.{task_id}",
            self._tasks.get_task_instances_without_preload_content,
            dag_id,
            "~",
            task_id=task_id,
            state=list(states),
            map_index=list(REPRESENTATIVES),
            order_by=["-run_after"],
            limit=min(limit, PAGE_SIZE),
        )
        return [_instance(row) for row in (answer or {}).get("task_instances") or ()]

    def tasks_of_window(self, since: datetime) -> Listing[TaskInstance]:
        """Return the task instances that are running, or that succeeded or failed at or after
        ``since``. All instances of a mapped task are included. Of the ended instances, the newest
        :data:`MAX_WINDOW_TASKS` are returned.
        """
        running = self._instances("list running tasks", MAX_TASKS, state=["running"])
        ended = self._instances(
            "list tasks", MAX_WINDOW_TASKS, state=["success", "failed"], end_date_gte=since, order_by=["-end_date"]
        )
        return Listing([*running.rows, *ended.rows], running.complete and ended.complete)

    def pools(self) -> Listing[Pool]:
        """Return Airflow's pools."""
        return self._by_offset("list pools", self._pools.get_pools_without_preload_content, "pools", _pool, MAX_RUNS)

    def last_error(self, instance: TaskInstance) -> ErrorText | None:
        """Return the last error in the log of a task instance's last try, or
        :data:`~mljob_airflow.monitoring.findings.fingerprints.STOPPED`. Only about the first
        :data:`MAX_LOG_BYTES` bytes of the log are read.

        Return ``None`` if these bytes have no error, or if Airflow answers with an error status
        other than 401 and 403.

        Raises:
            AirflowApiError: Airflow did not answer, answered 401 or 403, or the connection broke.
        """
        operation = f"read the log of {instance.dag_id}.{instance.task_id}"
        try:
            self.requests += 1
            response = request(
                operation,
                self._tasks.get_log_without_preload_content,
                instance.dag_id,
                instance.run_id,
                instance.task_id,
                instance.try_number,
                map_index=instance.map_index,
                full_content=True,
                accept="application/x-ndjson",
            )
        except AirflowApiError as error:
            if error.status in (401, 403) or error.status is None:
                raise
            return None
        try:
            with connection_errors(operation):
                return last_error(_log_lines(response))
        finally:
            response.release_conn()

    def _count_running(self, dag_id: str, **query: Any) -> int:
        answer = self._found(
            f"count running runs of {dag_id}",
            self._runs.get_dag_runs_without_preload_content,
            dag_id,
            state=["running"],
            limit=1,
            **query,
        )
        return int((answer or {}).get("total_entries") or 0)

    def _instances(self, request: str, max_rows: int, **query: Any) -> Listing[TaskInstance]:
        return self._by_cursor(
            request,
            self._tasks.get_task_instances_without_preload_content,
            ("~", "~"),
            "task_instances",
            _instance,
            max_rows,
            **query,
        )

    def _by_offset(
        self,
        request: str,
        method: Callable[..., Any],
        field: str,
        convert: Callable[[Answer], Row],
        max_rows: int,
        **query: Any,
    ) -> Listing[Row]:
        """Read a list by offset and limit. No supported version of Airflow has cursors for the
        lists of DAGs, import errors, assets and pools.
        """
        return _up_to(
            max_rows,
            convert,
            pages(
                field,
                lambda position: self._json(
                    request, method, offset=position["offset"], limit=position["limit"], **query
                ),
            ),
        )

    def _by_cursor(
        self,
        request: str,
        method: Callable[..., Any],
        path: tuple[str, ...],
        field: str,
        convert: Callable[[Answer], Row],
        max_rows: int,
        **query: Any,
    ) -> Listing[Row]:
        return _up_to(
            max_rows, convert, pages(field, lambda position: self._json(request, method, *path, **position, **query))
        )

    def _found(self, request: str, method: Callable[..., Any], *path: str, **query: Any) -> Answer | None:
        self.requests += 1
        return ask_or_none(request, method, *path, **query)

    def _json(self, request: str, method: Callable[..., Any], *path: str, **query: Any) -> Answer:
        self.requests += 1
        return ask(request, method, *path, **query)


def _up_to(max_rows: int, convert: Callable[[Answer], Row], found: Iterable[Page]) -> Listing[Row]:
    # Each page is converted before the next page is read, because the JSON of a row is many times
    # larger: a row of a task instance has the task's rendered fields.
    rows: list[Row] = []
    complete = False
    for page in found:
        rows += map(convert, page.rows)
        complete = page.is_last
        if len(rows) >= max_rows:
            break
    return Listing(rows, complete)


def _log_lines(response: Any) -> Iterator[Mapping[str, Any] | str]:
    line, size = b"", 0
    for chunk in response.stream(65536):
        size += len(chunk)
        end, *lines = chunk.split(b"\n")
        if len(line) < MAX_LINE_BYTES:
            line += end
        if lines:
            yield from _readable([line, *lines[:-1]])
            line = lines[-1]
        if size >= MAX_LOG_BYTES:
            return
    yield from _readable([line])


def _readable(lines: Sequence[bytes]) -> Iterator[Mapping[str, Any] | str]:
    for line in lines:
        # Most lines are not about errors. Searching for these words is faster than parsing all
        # lines as JSON.
        if b"rror" not in line and b"critical" not in line and b"xception" not in line:
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, Mapping | str):
            yield value


def _dag(row: Answer) -> Dag:
    return Dag(
        dag_id=row["dag_id"],
        owners=tuple(owner for owner in row.get("owners") or () if owner),
        is_paused=bool(row.get("is_paused")),
        is_stale=bool(row.get("is_stale")),
        schedule=row.get("timetable_summary") or None,
        bundle=row.get("bundle_name"),
        file=row.get("relative_fileloc"),
        max_active_runs=row.get("max_active_runs"),
        tags=tuple(str(tag["name"]) for tag in row.get("tags") or ()),
    )


def _broken_file(row: Answer) -> BrokenFile:
    return BrokenFile(row["filename"], row.get("bundle_name"), _time(row["timestamp"]), row["stack_trace"] or "")


def _asset(row: Answer) -> Asset:
    return Asset(_dag_ids(row.get("producing_tasks")), _dag_ids(row.get("scheduled_dags")))


def _queued_run(row: Answer) -> QueuedRun:
    return QueuedRun(
        row["dag_id"],
        row["dag_run_id"],
        _time(row.get("queued_at") or row["run_after"]),
        is_backfill=row["run_type"] == BACKFILL,
    )


def _pool(row: Answer) -> Pool:
    return Pool(row["name"], int(row["slots"]))


def _dag_ids(rows: Iterable[Answer] | None) -> frozenset[str]:
    return frozenset(row["dag_id"] for row in rows or ())


def _instance(row: Answer) -> TaskInstance:
    try_number = int(row.get("try_number") or 0)
    return TaskInstance(
        dag_id=row["dag_id"],
        run_id=row["dag_run_id"],
        task_id=row["task_id"],
        map_index=int(row.get("map_index", -1)),
        state=row.get("state"),
        try_number=try_number,
        start=_maybe_time(row.get("start_date")),
        end=_maybe_time(row.get("end_date")),
        duration=row.get("duration"),
        scheduled=_maybe_time(row.get("scheduled_when")),
        queued=_maybe_time(row.get("queued_when")),
        pool=row.get("pool") or "default_pool",
        pool_slots=int(row.get("pool_slots") or 1),
        is_cancelled=is_cancelled(row.get("note"), try_number),
    )


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _maybe_time(text: str | None) -> datetime | None:
    return _time(text) if text else None
