"""Reads the log of one try of a task, also while the log grows."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import NamedTuple

from mljob_contract.run_api import LOG_NOTICE

from ..core.conf.redaction import NOTHING_HIDDEN, Redaction
from ..core.run.facts import TaskKey
from ..core.run.log_lines import EntryLines, LogEntry, plain_lines
from ..errors import AirflowError, AirflowUnauthorized, AirflowUnavailable
from ..ports import DagRuns, TaskLog
from .log_sinks import Sink
from .output import Output

log = logging.getLogger(__name__)

PATIENCE = 120.0
"""The time, in seconds, for which a follower waits while Airflow can't be asked. After this time,
the follower gets the error.
"""


class TaskTry(NamedTuple):
    """One try of a task.

    Attributes:
        dag_id: The id of the DAG.
        run_id: The id of the dag run.
        task: The task id and the map index.
        number: The number of the try.
    """

    dag_id: str
    run_id: str
    task: TaskKey
    number: int


def notice(text: str) -> bytes:
    """Return a notice for the client. Each line of the notice begins with ``LOG_NOTICE``. The text is
    not redacted, because it may have words of the client, who could try out values of Secrets.
    """
    return "".join(f"{LOG_NOTICE}{line}\n" for line in plain_lines(text, NOTHING_HIDDEN)).encode()


class TryLog:
    """Reads the log of one try of a task. Each call of :meth:`pump` reads only new lines.

    Args:
        dag_runs: Returns the :class:`.DagRuns` that sends requests to the try's Airflow.
        of: The try.
        redaction: Hides secret values in texts.
        output: The body of the response to the client, with a maximum number of bytes.
        turn: Limits the number of concurrent requests for logs.
    """

    def __init__(
        self,
        dag_runs: Callable[[], Awaitable[DagRuns]],
        of: TaskTry,
        redaction: Redaction,
        output: Output,
        turn: asyncio.Semaphore,
    ) -> None:
        self._turn = turn
        self._dag_runs = dag_runs
        self._of = of
        self._redaction = redaction
        self._output = output
        self._token: str | None = None
        self._skip = self._total = self._lines = 0
        self._failing_since: float | None = None
        self.has_news = False
        """Whether the last call of :meth:`pump` has found entries."""
        self.is_behind = False
        """Whether the last call of :meth:`pump` could not read all that Airflow has."""
        self.was_read = False
        """Whether a call of :meth:`pump` has read all that Airflow had."""

    async def pump(self, sink: Sink) -> bool:
        """Read the new lines, and pass the lines to ``sink``. Return False if Airflow has no log of
        the try, otherwise True.

        If Airflow fails after this call or an earlier call has read a part of the log, or after the
        response to the client has begun, this method returns True and sets :attr:`is_behind`. The
        caller must then call this method again.

        Raises:
            OperatorError: One of these causes:

                - Airflow fails before any part of the log was read and before the response has
                  begun.
                - Airflow has failed for longer than ``PATIENCE`` (120 seconds).
        """
        self.is_behind = True
        try:
            found = await self._pump(sink)
        except AirflowError as error:
            if self._token is not None and not isinstance(error, AirflowUnavailable | AirflowUnauthorized):
                # Airflow signs tokens with a key that a restart may change. The log is read again
                # from its beginning, without the entries that were passed on.
                self._token, self._skip = None, self._total
                return True
            now = time.monotonic()
            self._failing_since = self._failing_since or now
            if not (self._total or self._output.has_begun) or now - self._failing_since > PATIENCE:
                raise
            log.debug("the log of %s can't be read for the moment: %s", self._of, error)
            return True
        self._failing_since, self.is_behind, self.was_read = None, False, self.was_read or found
        return found

    async def _pump(self, sink: Sink) -> bool:
        self.has_news = False
        dag_runs = await self._dag_runs()
        async with self._turn:
            answer = await dag_runs.open_log(*self._of, self._token)
        if answer is None:
            return False
        lines = EntryLines(self._redaction, skip=self._skip, has_header=self._token is None)
        before = self._total - self._skip
        try:
            while (texts := await self._read(answer, lines)) is not None:
                # If the answer breaks off, the next answer begins at the same token.
                self._skip = max(self._skip, lines.count)
                self._total = before + self._skip
                await self._pass_on(texts, sink)
                if self._output.is_full:
                    await self._output.write(
                        notice("The answer has reached its limit. Ask for the end of the log with tail.")
                    )
                    return True
            if answer.token is not None:
                self._token, self._skip = answer.token, 0
        finally:
            answer.close()
        if not self._total:
            for line in lines.unreadable:
                await self._output.write(notice(f"Airflow says: {line}"))
        await sink(b"", first=self._lines, last=True)
        return True

    async def _read(self, answer: TaskLog, lines: EntryLines) -> list[bytes] | None:
        """Return the next entries of the answer, or None at its end."""
        async with self._turn:
            found = await answer.read(partial(_text, lines))
        return list(found) if found is not None else None

    async def _pass_on(self, texts: list[bytes], sink: Sink) -> None:
        """Pass the lines of some entries to ``sink``, and remove the entries from ``texts``. So a
        client that receives slowly occupies the memory of these lines once, and a request that
        waits for its turn occupies none.
        """
        text = b"".join(texts)
        texts.clear()
        self.has_news = self.has_news or bool(text)
        first, self._lines = self._lines, self._lines + text.count(b"\n")
        await sink(text, first=first, last=False)


def _text(lines: EntryLines, entry: LogEntry) -> bytes:
    """Return the lines of an entry in UTF-8, each with a line feed at its end. A line of the task
    that looks like a notice of mljob-api gets a space before it.
    """
    # A list with a second copy of each line would take 15 MiB for an entry with many short lines.
    text = bytearray()
    for line in lines(entry):
        text += (f"{line}\n" if not line.startswith(LOG_NOTICE) else f" {line}\n").encode()
    return bytes(text)
