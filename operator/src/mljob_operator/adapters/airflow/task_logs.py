"""Reads the logs of task instances (``GET .../taskInstances/{task_id}/logs/{try_number}``).

A log is read in chunks, so a long log takes little memory. A thread is occupied only while a chunk
is read from Airflow, and not while the entries are sent to a user.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import urllib3
from airflow_client.client import TaskInstanceApi

from ...core.run.facts import TaskKey
from ...core.run.log_lines import GROUP_END, HEADER, LogEntry
from ...errors import AirflowUnavailable, AirflowUnreadable
from . import absence
from .answers import Absent
from .bodies import CHUNK
from .lanes import Run, Work
from .log_document import LogDocument, NotALog
from .session import Session
from .versions import repeats_logs

T = TypeVar("T")

TIMEOUT = (5.0, 60.0)
"""The longest time to connect, and the longest time to wait for the next bytes, in seconds. Airflow
reads the whole log before it sends the first byte.
"""
MAX_BYTES = 512 * 1024 * 1024
"""The maximum number of bytes of one answer."""
MAX_SECONDS = 600.0
"""The longest time for reading one answer, in seconds."""


class AirflowLog:
    """Reads one answer of Airflow, which contains a log or a part of a log.

    Args:
        session: The session with the Airflow.
        run: Runs a function in a thread.
        response: The answer, with its body unread.
        skip: The number of entries to skip, because earlier answers had them. None if this Airflow
            starts each answer where the previous answer ended (since 3.2).
    """

    def __init__(
        self, session: Session, run: Run, response: urllib3.BaseHTTPResponse, *, skip: int | None = None
    ) -> None:
        self._skip = skip
        self._seen = 0
        self._in_header = False
        self._session = session
        self._run = run
        self._response = response
        self._document = LogDocument()
        self._lock = threading.Lock()
        self._size = 0
        self._until = time.monotonic() + MAX_SECONDS
        self._closed = False
        self.token: str | None = None

    async def read(self, convert: Callable[[LogEntry], T]) -> Sequence[T] | None:
        """Wait until Airflow has sent one or more further entries. Call ``convert`` for each of
        these entries, in another thread, and return the results. Return None at the end of the
        answer, or after :meth:`close`.

        Raises:
            AirflowUnreadable: The answer is not a log, or is larger than ``MAX_BYTES``.
            AirflowUnavailable: The connection broke, or the answer took longer than
                ``MAX_SECONDS``.
        """
        return await self._run(Work.LOGS, "log", self._next, convert)

    def close(self) -> None:
        """Stop reading, and drop the rest of the answer. This method does not wait for a thread
        that reads.
        """
        if not self._closed:
            self._closed = True
            threading.Thread(target=self._release, name="airflow log that ends", daemon=True).start()

    def _next(self, convert: Callable[[LogEntry], T]) -> Sequence[T] | None:
        with self._lock:
            entries: list[T] = []
            while not entries:
                if self._closed:
                    return None
                chunk = self._chunk()
                try:
                    if not chunk:
                        self.token = self._token()
                        self._closed = True
                        self._response.release_conn()
                        return None
                    entries = [convert(entry) for entry in self._document.feed(chunk) if self._is_new(entry)]
                except NotALog as error:
                    raise AirflowUnreadable(
                        f"Airflow's answer with the log of a task can't be read: {error}. Is it Airflow's api-server?"
                    ) from None
                self._check(len(chunk))
            return entries

    def _token(self) -> str | None:
        """Return the token for the next request, or None at the end of the log. If this Airflow
        sends a log from the beginning in each answer, the token begins with a number and a colon.
        The number counts the entries read so far, except the entries of the log's header.
        """
        token = self._document.token()
        return token if token is None or self._skip is None else f"{self._seen}:{token}"

    def _is_new(self, entry: LogEntry) -> bool:
        """Return whether no earlier answer had this entry. This method counts the entries, so it
        must be called once for each entry. Entries of the log's header are always new, because only
        the first answer has the header.
        """
        if self._skip is None:
            return True
        self._in_header = (self._in_header or (not self._seen and entry.event == HEADER)) and entry.event != GROUP_END
        if self._in_header or (not self._seen and entry.event == GROUP_END):
            return True
        self._seen += 1
        return self._seen > self._skip

    def _chunk(self) -> bytes:
        try:
            with self._session.connection_errors():
                return self._response.read1(CHUNK)
        except AirflowUnavailable as error:
            # Airflow has begun to answer, so it is in reach for the logs of other tasks.
            error.of_one_request = True
            raise

    def _check(self, size: int) -> None:
        self._size += size
        if self._size > MAX_BYTES:
            raise AirflowUnreadable(f"The log has more than {MAX_BYTES // 2**20} MiB. Read it in Airflow.")
        if time.monotonic() > self._until:
            raise AirflowUnavailable(
                f"Airflow had not sent the whole log after {MAX_SECONDS:.0f} s.", of_one_request=True
            )

    def _release(self) -> None:
        with self._lock:
            self._response.close()


class TaskLogs:
    """Reads the logs of task instances in one Airflow.

    Args:
        session: The session with the Airflow.
        run: Runs a function in a thread.
    """

    def __init__(self, session: Session, run: Run) -> None:
        self._session = session
        self._run = run
        self._tasks = TaskInstanceApi(session.client)

    async def open(
        self, dag_id: str, run_id: str, task: TaskKey, try_number: int, token: str | None = None
    ) -> AirflowLog | None:
        """Request the log of one try of a task instance, and return an :class:`AirflowLog`. Return
        None if the task instance or the try does not exist.

        Args:
            dag_id: The DAG.
            run_id: The run.
            task: The task id and the map index.
            try_number: The number of the try.
            token: ``AirflowLog.token`` of an earlier answer, to request the rest of the log. None
                requests the log from its beginning.
        """
        return await self._run(Work.LOGS, "open_log", self._open, dag_id, run_id, task, try_number, token)

    def _open(self, dag_id: str, run_id: str, task: TaskKey, try_number: int, token: str | None) -> AirflowLog | None:
        task_id, map_index = task
        skip = None
        if repeats_logs(self._session.version()[0]):
            number, _, token = (token or "0:").partition(":")
            skip, token = int(number), token or None
        try:
            response = self._session.open(
                self._tasks.get_log_without_preload_content,
                dag_id,
                run_id,
                task_id,
                try_number,
                absent=absence.GET_LOG,
                map_index=map_index,
                token=token,
                accept="application/json",
                _request_timeout=TIMEOUT,
            )
        except Absent:
            return None
        return AirflowLog(self._session, self._run, response, skip=skip)
