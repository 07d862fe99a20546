"""Answers the requests for the log, the events and the graph of an MLJob's run."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial

from aiohttp import web

from mljob_contract.history import EndReason, HistoryEnd, entry_line
from mljob_contract.run_api import LOG_GOES_ON, LOG_NOTICE, RunSubresource

from ..core.conf.redaction import NOTHING_HIDDEN, Redaction
from ..core.run.states import TERMINAL_PHASES
from ..errors import AirflowUnauthorized, OperatorError
from ..ports import DagRuns, History
from .airflows import ApiAirflows
from .errors import Refusal, explained
from .events import EventsRequest, EventsWriter
from .graph import graph_of
from .log import LogRequest, RunOfLog, TaskLogWriter
from .output import Output
from .queries import Parameters, events_request, job_of, log_request
from .readings import Reading, Readings
from .request_limits import USER, RequestLimits
from .runs import NoRunYet, Runs, ShownRun, no_run
from .tail_places import TailPlace, TailPlaces
from .try_log import notice

ANSWER_SECONDS = 50.0
"""The maximum duration of a request for a graph, in seconds. The Kubernetes API server ends a GET
after 60 s.
"""
LOG_SECONDS = 600.0
"""The maximum duration of a request for a log that is not followed, in seconds."""
WAIT_SECONDS = 2.0
"""The time between two checks whether an MLJob has a run, in seconds."""
CHECK_SECONDS = 15.0
"""The time between two checks whether a followed MLJob still exists, in seconds."""


class Handlers:
    """Answers the requests for the log, the events and the graph of an MLJob's run.

    Args:
        runs: Finds the run of an MLJob.
        airflows: The Airflows from which mljob-api reads.
        history: Reads events from Kafka. None if the settings name no Kafka brokers.
        readers: Limits how many requests read events from Kafka at the same time.
        follow_seconds: The maximum duration of a followed log or a watch of events, in seconds.
    """

    def __init__(
        self,
        runs: Runs,
        airflows: ApiAirflows,
        history: History | None,
        readers: RequestLimits,
        *,
        follow_seconds: float,
    ) -> None:
        self._runs = runs
        self._airflows = airflows
        self._history = history
        self._readers = readers
        self._follow_seconds = follow_seconds
        self._readings = Readings()
        self._tails = TailPlaces()

    async def log(self, request: web.Request) -> web.StreamResponse:
        """Answer with the log of a task."""
        parameters = Parameters(request, "task", "mapIndex", "try", "tail", "follow", "attempt", "positions", "after")
        asked = log_request(parameters)
        attempt = parameters.attempt if asked.after is None else asked.after.attempt
        output, redaction = Output(request, "text/plain; charset=utf-8"), NOTHING_HIDDEN
        try:
            until = time.monotonic() + (self._follow_seconds if asked.follow else LOG_SECONDS)
            run, redaction = await self._find(request, attempt, output if asked.follow else None, until)
            with self._tails.place(run.job.namespace) as place:
                await self._write_log(run, asked, redaction, output, place, until)
        except (OperatorError, Refusal, TimeoutError) as error:
            if not output.has_begun:
                raise
            goes_on = asked.follow and _may_pass(error)
            if not isinstance(error, NoRunYet):
                where = "The log can't be read for the moment" if goes_on else "The log ends here"
                await output.write(notice(f"{where}: {_why(error, redaction)}"))
            if goes_on:
                # The task has not ended. The status code of the next request tells what is wrong.
                await output.write(notice(LOG_GOES_ON.removeprefix(LOG_NOTICE)))
        return await output.end()

    async def events(self, request: web.Request) -> web.StreamResponse:
        """Answer with the events so far. With the parameter ``follow``, also answer with later
        events.

        The response ends after at most ``events.GET_SECONDS`` seconds.
        """
        parameters = Parameters(request, "attempt", "after", "follow")
        return await self._events(request, parameters, events_request(parameters, watch_seconds=None))

    async def watch_events(self, request: web.Request) -> web.StreamResponse:
        """Answer with the events until the run has ended, for at most ``follow_seconds``
        seconds.
        """
        parameters = Parameters(request, "attempt", "after", "follow")
        return await self._events(request, parameters, events_request(parameters, watch_seconds=self._follow_seconds))

    async def graph(self, request: web.Request) -> web.StreamResponse:
        """Answer with the graph of the run."""
        parameters = Parameters(request, "attempt")
        async with asyncio.timeout(ANSWER_SECONDS):
            run = await self._runs.find(*job_of(request), parameters.attempt)
            dag_runs = await self._dag_runs(run)
            structure = await dag_runs.structure(run.key.dag_id)
            reading = await self._read(run)
        # A graph of thousands of tasks takes a while.
        graph = await asyncio.to_thread(graph_of, run.key, structure, reading)
        if not graph.tasks:
            raise no_run(run)
        text = await asyncio.to_thread(graph.model_dump_json, by_alias=True, exclude_none=True)
        return web.Response(text=text, content_type="application/json", headers={"Cache-Control": "no-store"})

    async def _find(
        self, request: web.Request, attempt: int | None, waiting: Output | None, until: float
    ) -> tuple[ShownRun, Redaction]:
        """Return the run of an attempt, and a :class:`Redaction` that hides secret values in texts
        of the run's tasks.

        Args:
            request: The request.
            attempt: The number of the attempt, or None for the newest attempt.
            waiting: The body of the response. This method sends heartbeats in the body while it
                waits for the run. None if this method must not wait.
            until: When this method stops waiting, in seconds of ``time.monotonic``.

        Raises:
            NoRunYet: The run does not exist yet. If ``waiting`` is not None, this method first
                waits for the run until the time ``until``.
            Refusal: The MLJob does not exist, its namespace may not run the DAG, the run belongs to
                another MLJob or operator, or the run will never exist.
            OperatorError: Airflow or the Kubernetes API fails.
        """
        namespace, name = job_of(request)
        while True:
            try:
                run = await self._runs.find(namespace, name, attempt)
                return run, await self._runs.redaction(run)
            except NoRunYet:
                if waiting is None or time.monotonic() >= until:
                    raise
                await waiting.begin()
                await waiting.keep_alive()
                await asyncio.sleep(WAIT_SECONDS)

    async def _write_log(
        self,
        run: ShownRun,
        asked: LogRequest,
        redaction: Redaction,
        output: Output,
        place: TailPlace,
        until: float,
    ) -> None:
        writer = TaskLogWriter(
            asked,
            partial(self._dag_runs, run),
            RunOfLog(run.key.dag_id, run.key.run_id, run.attempt),
            redaction,
            output,
            turn=self._airflows.turn(run.key.airflow, run.job.namespace),
            place=place,
            until=until,
        )
        if not asked.follow:
            async with asyncio.timeout(until - time.monotonic()):
                reading = await self._read(run)
                if reading.run is None:
                    raise no_run(run)
                await writer.once(reading)
            return
        async with self._readings.follow(run.key, self._reader(run)) as followed:
            if followed.reading.run is None and not isinstance(refusal := no_run(run), NoRunYet):
                raise refusal
            await writer.follow(followed)

    async def _events(self, request: web.Request, parameters: Parameters, asked: EventsRequest) -> web.StreamResponse:
        output = Output(request, "application/x-ndjson", heartbeat=b"\n")
        until = time.monotonic() + asked.seconds
        try:
            waiting = output if asked.follow else None
            run, redaction = await self._find(request, parameters.attempt, waiting, until)
            async with self._readings.follow(run.key, self._reader(run)) as followed:
                if followed.reading.run is None and run.job.status.phase in TERMINAL_PHASES:
                    asked = EventsRequest(asked.after, follow=False, seconds=asked.seconds)
                writer = EventsWriter(run.key, asked, redaction, output, followed, until)
                if self._history is None:
                    await writer.from_rest()
                else:
                    with self._readers.admit(request[USER], run.job.namespace):
                        await self._write_events(run, asked, self._history, writer)
        except (OperatorError, Refusal) as error:
            if not output.has_begun:
                raise
            reason = EndReason.LIMIT if isinstance(error, NoRunYet) else EndReason.FAILED
            await output.write(entry_line(HistoryEnd(reason=reason, message=_why(error))))
        return await output.end()

    async def _write_events(self, run: ShownRun, asked: EventsRequest, topics: History, writer: EventsWriter) -> None:
        airflow = run.key.airflow
        key = f"{run.key.dag_id}/{run.key.run_id}".encode()
        history = await topics.open(self._airflows.topic(airflow), key, run.since, asked.after)
        try:
            await writer.from_kafka(history, partial(self._airflows.may_have_sent, airflow))
        except (OperatorError, Refusal) as error:
            if writer.cursor is None:
                raise
            await writer.end(EndReason.FAILED, _why(error))
        finally:
            history.close()

    async def _dag_runs(self, run: ShownRun) -> DagRuns:
        return await self._runs.dag_runs(run)

    async def _read(self, run: ShownRun) -> Reading:
        try:
            dag_runs = await self._dag_runs(run)
            fact = await dag_runs.get(run.key.dag_id, run.key.run_id)
            tasks = await dag_runs.tasks(run.key.dag_id, run.key.run_id) if fact is not None else []
        except AirflowUnauthorized:
            self._airflows.refused(run.key.airflow)
            raise
        return Reading(fact, tuple(tasks))

    def _reader(self, run: ShownRun) -> Callable[[], Awaitable[Reading]]:
        """Return a function that reads a run and its tasks from Airflow.

        If the last check was at least ``CHECK_SECONDS`` seconds ago, the function first checks
        whether the MLJob still exists. If the MLJob was deleted, the function raises Refusal.
        """
        checked_at = time.monotonic()

        async def read() -> Reading:
            nonlocal checked_at
            if time.monotonic() - checked_at >= CHECK_SECONDS:
                if not await self._runs.still_there(run):
                    raise Refusal(404, f"MLJob {run.job.name} was deleted.")
                checked_at = time.monotonic()
            return await self._read(run)

        return read


def _may_pass(error: OperatorError | Refusal | TimeoutError) -> bool:
    """Return whether a later request may succeed: not if mljob-api refuses the request, for example
    because the MLJob was deleted.
    """
    return not isinstance(error, Refusal) or isinstance(error, NoRunYet) or error.code == 429 or error.code >= 500


def _why(error: OperatorError | Refusal | TimeoutError, redaction: Redaction = NOTHING_HIDDEN) -> str:
    """Return why a response ends. Only errors of adapters are redacted: a Refusal may have words of
    the client, who could try out values of Secrets.
    """
    match error:
        case TimeoutError():
            return "it took too long. Ask for the end of the log with tail."
        case Refusal():
            return error.message
    return redaction.text(explained(error))


def routes(handlers: Handlers) -> dict[RunSubresource, Callable[[web.Request], Awaitable[web.StreamResponse]]]:
    """Return the handler of each subresource of an MLJob, such as ``log``."""
    return {
        RunSubresource.LOG: handlers.log,
        RunSubresource.EVENTS: handlers.events,
        RunSubresource.GRAPH: handlers.graph,
    }
