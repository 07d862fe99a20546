# Generated from mljob.aio by client/generate.py.
"""Reads logs, history and graphs of runs from mljob-api, a service of the operator. Requests go
through the Kubernetes API server.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from ..errors import BadAnswer, KindNotServed, RunApiMissing, RunApiUnavailable, TooManyRequests, Unavailable
from ..log_place import READ_TRIES, LogLine, LogPlace
from ..reader_retries import ReaderRetries
from ..resource import MLJob
from ..retries import MAX_TRIES, wait_seconds
from ..text import clean_line, plain
from ..verdict import verdict_of
from . import runtime
from .transport import Transport

if TYPE_CHECKING:
    from mljob_contract.graph import RunGraph
    from mljob_contract.history import HistoryEnd, HistoryEntry

IDLE_SECONDS: Final = 120.0
"""How long a stream of mljob-api may be silent, in seconds."""
FOLLOW_SECONDS: Final = 3_600.0
"""How long a followed log may be silent, in seconds. A task may log nothing for a long time.
:mod:`mljob.keepalive` notices a dead connection sooner, unless a proxy between holds it open.
"""
MAX_LOG_LINE_BYTES: Final = 2 * 1024 * 1024
"""The maximum size of a line of a log. mljob-api cuts longer lines."""
_MISSING: Final = (
    "mljob-api, which serves logs, history and graphs, is not installed or not available in this cluster. Install the "
    "chart with api.enabled=true, and see kubectl get apiservice v1alpha1.run.mljob.dev."
)


class RunApi:
    """A client of mljob-api, the operator's service for logs, history and graphs of runs.

    All methods raise :class:`~mljob.errors.RunApiMissing` if mljob-api is not installed, its
    subclass :class:`~mljob.errors.RunApiUnavailable` if mljob-api does not answer, and another
    ``ApiError`` if mljob-api refuses the request.

    Args:
        transport: The connection to the cluster's API server.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def log(
        self,
        job: MLJob,
        task: str | None = None,
        *,
        map_index: int | None = None,
        try_number: int | None = None,
        tail: int | None = None,
        follow: bool = False,
        idle_seconds: float | None = None,
        raw: bool = False,
    ) -> Generator[str, None]:
        """Yield the lines of a task's log, without control characters. A followed log continues
        after a lost connection: no line is lost or repeated.

        Args:
            job: The MLJob.
            task: The id of the task. Default: the task that failed first, else a running task, else
                a task that waits for a retry, else the task that started last.
            map_index: The index of an instance of a mapped task, only together with ``task``.
                Default: the instance that failed first, else a running instance, and so on as for
                ``task``.
            try_number: The number of the try, only together with ``task``. Default: the newest try.
            tail: The maximum number of lines to read from the end of the log. Default: all lines.
            follow: Also yield later lines until the task has ended. If the task has not started,
                wait for its start.
            idle_seconds: The maximum wait for the next bytes of the answer, in seconds. Default:
                two minutes, or an hour for a followed log.
            raw: Whether to keep control characters.
        """
        lines = self.log_lines(
            job, task, map_index=map_index, try_number=try_number, tail=tail, follow=follow, idle_seconds=idle_seconds
        )
        with runtime.closing(lines) as found:
            for line in found:
                yield line.text if raw else clean_line(line.text)

    def log_lines(
        self,
        job: MLJob,
        task: str | None = None,
        *,
        map_index: int | None = None,
        try_number: int | None = None,
        tail: int | None = None,
        follow: bool = False,
        idle_seconds: float | None = None,
        after: str = "",
    ) -> Generator[LogLine, None]:
        """Yield each line of a task's log as a :class:`.LogLine`: the text of the line, and the
        position after the line. Control characters are kept.

        Args:
            job: The MLJob.
            task: As in :meth:`log`.
            map_index: As in :meth:`log`.
            try_number: As in :meth:`log`.
            tail: As in :meth:`log`.
            follow: As in :meth:`log`.
            idle_seconds: As in :meth:`log`.
            after: The :attr:`.LogLine.after` of the last line that the caller has already read.
                With ``follow``, the method yields only later lines, and ``tail`` has no effect.
                Without ``follow``, ``after`` has no effect.

        Raises:
            ValueError: ``after`` is not a position.
        """
        given = {"task": task, "mapIndex": map_index, "try": try_number, "tail": tail}
        params = {name: str(value) for name, value in given.items() if value is not None}
        place = LogPlace(params, follow=follow, after=after)
        idle = idle_seconds or (FOLLOW_SECONDS if follow else IDLE_SECONDS)
        while True:
            try:
                with self._lines(job, "log", place.params(), idle, MAX_LOG_LINE_BYTES) as lines:
                    place.opened()
                    for line in lines:
                        if (shown := place.take(line)) is not None:
                            yield shown
                if not place.goes_on:
                    return
                wait = wait_seconds(1)
            except (Unavailable, TooManyRequests, RunApiMissing) as error:
                if (pause := place.wait_after(error)) is None:
                    raise
                wait = pause
            runtime.sleep(wait)

    def history(self, job: MLJob, *, follow: bool = False) -> Generator[HistoryEntry, None]:
        """Yield the entries of the run's history: new states of the run and its tasks, progress and
        metrics. If a response is cut off, or mljob-api does not answer for a while, the method
        repeats the request, and does not yield the same entries again.

        If mljob-api does not use Kafka, and ``follow`` is False, the method can't read beyond
        mljob-api's limit for one response. If the history is longer, the method yields the entries
        up to the limit, and then raises Unavailable.

        Args:
            job: The MLJob.
            follow: Also yield later entries, until the run has ended.

        Raises:
            Unavailable: Without ``follow``, the history can't be read completely. With ``follow``,
                five requests in a row have failed, or after the begin of the first answer, all
                requests of ten minutes.
            RunApiMissing: mljob-api is not installed.
        """
        from mljob_contract.history import MAX_ENTRY_BYTES, EndReason

        cursor: str | None = None
        seen: set[int] = set()
        retries, standstills = ReaderRetries(follow=follow, tries=MAX_TRIES), 0
        while True:
            before, end, wait = len(seen), None, None
            retries.asked()
            try:
                params = {"after": cursor} if cursor else {}
                with self._lines(job, "events", params, IDLE_SECONDS, MAX_ENTRY_BYTES, watch=follow) as lines:
                    retries.opened()
                    for line in lines:
                        entry = _entry(line, job)
                        if entry is not None and entry.kind == "end":
                            end = entry
                        elif entry is not None and hash(line) not in seen:
                            seen.add(hash(line))
                            retries.received()
                            yield entry
            except (Unavailable, TooManyRequests, RunApiMissing) as error:
                if (wait := retries.wait_after(error)) is None:
                    raise
            if end is not None and _is_last(end, job, follow):
                return
            if wait is None:
                standstills = standstills + 1 if len(seen) == before else 0
            if standstills >= MAX_TRIES and (not follow or self._has_ended(job)):
                if follow and end is None:
                    return
                raise _incomplete(job, end.message if end else "the answer is cut off each time")
            if end is not None and end.reason is EndReason.LIMIT and end.cursor not in (None, cursor):
                cursor = end.cursor
                seen.clear()
            else:
                runtime.sleep(wait_seconds(max(standstills, 1)) if wait is None else wait)

    def graph(self, job: MLJob) -> RunGraph:
        """Return the graph of the MLJob's run: the tasks and their dependencies."""
        from pydantic import ValidationError

        from mljob_contract.graph import RunGraph

        try:
            answer = self._transport.request("GET", _path(job, "graph"), tries=READ_TRIES)
            return RunGraph.model_validate(answer)
        except KindNotServed as error:
            raise _missing(error) from None
        except Unavailable as error:
            raise _missing(error) if not error.reason and error.code == 503 else error from None
        except ValidationError as error:
            raise BadAnswer(f"mljobs/graph of {job.namespace}/{job.name}: {error.errors()[0]['msg']}.") from None

    def _has_ended(self, job: MLJob) -> bool:
        path = f"/apis/mljob.dev/v1alpha1/namespaces/{quote(job.namespace, safe='')}/mljobs/{quote(job.name, safe='')}"
        return verdict_of(MLJob(self._transport.request("GET", path))) is not None

    @contextmanager
    def _lines(
        self, job: MLJob, part: str, params: Mapping[str, str], idle: float, limit: int, *, watch: bool = False
    ) -> Iterator[Iterator[bytes]]:
        path = _path(job, part, watch=watch)
        try:
            with self._transport.lines(path, params=params, idle_seconds=idle, max_line_bytes=limit) as lines:
                yield lines
        except KindNotServed as error:
            raise _missing(error) from None
        except Unavailable as error:
            raise _missing(error) if not error.reason and error.code == 503 else error from None


def _entry(line: bytes, job: MLJob) -> HistoryEntry | None:
    from mljob_contract.history import parse_entry

    try:
        return parse_entry(line)
    except ValueError as error:
        raise BadAnswer(f"mljobs/events of {job.namespace}/{job.name}: {error}.") from None


def _is_last(end: HistoryEnd, job: MLJob, follow: bool) -> bool:
    """Return whether ``end``, the last entry of a response, says that the response is complete. If
    not, the caller must send another request.

    Raises:
        Unavailable: ``follow`` is False, and the rest of the history can't be read.
    """
    from mljob_contract.history import EndReason

    if end.reason is EndReason.COMPLETE:
        return True
    if not follow and (end.reason is EndReason.FAILED or (end.reason is EndReason.LIMIT and end.cursor is None)):
        raise _incomplete(job, end.message)
    return False


def _incomplete(job: MLJob, why: str) -> Unavailable:
    return Unavailable(f"The history of {job.namespace}/{job.name} is not complete: {plain(why, 1000)}")


def _path(job: MLJob, part: str, *, watch: bool = False) -> str:
    from mljob_contract.run_api import RunSubresource, run_path

    return run_path(job.namespace, job.name, RunSubresource(part), watch=watch)


def _missing(error: KindNotServed | Unavailable) -> RunApiMissing:
    kind = RunApiUnavailable if isinstance(error, Unavailable) else RunApiMissing
    return kind(_MISSING, code=error.code, reason=error.reason)
