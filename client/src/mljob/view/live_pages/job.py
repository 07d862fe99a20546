"""The page of one MLJob. The page changes while a browser shows the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from markupsafe import Markup

from ...aio.run_api import RunApi
from ...endings import LOG_TAIL
from ...errors import ApiError, MLJobError, NotFound
from ...failure_log import SEARCHED_LINES, LogEnd, end_with_error
from ...resource import MLJob
from ..feeds import Feed, Source
from ..live import Shown
from ..pages.job_page import JobInput, JobPage, failed_task, job_page
from ..pages.job_tab import TABS, View
from ..pages.log_text import AnsiStyle, Part, parts_of
from ..person import Lookup, Person, Reads, RunHistory, settle
from ..rendering import Renderer
from .status_reports import StatusReports

RUNNING_SECONDS: Final = 5.0
"""The time between two updates of the bars of running tasks, in seconds."""
_PANELS: Final = {name: f"job/{name}.html" for name in ("tasks", "metrics", "logs", "attempts", "events")}

LogTail = tuple[tuple[Part, ...], ...]
"""The last lines of a log, each in parts."""


class LiveJob:
    """Makes the content and the HTML of an MLJob's page, for one browser."""

    def __init__(
        self, person: Person, reads: Reads, feed: Feed[MLJob], key: tuple[str, str], view: View, renderer: Renderer
    ) -> None:
        self._runs = RunApi(person.transport)
        self._reads = reads
        self._feed = feed
        self._namespace, self._name = key
        self._view = view
        self._renderer = renderer
        self._status_reports = StatusReports()

    @property
    def sources(self) -> list[Source]:
        """The sources that the page reads, such as the watch of the MLJob."""
        return self._reads.sources

    async def job(self) -> MLJob:
        """Return the MLJob that the page shows.

        Raises:
            NotFound: The MLJob does not exist, or was deleted.
            MLJobError: The MLJob can't be read.
        """
        await self._feed.ready()
        job = self._feed.items.get(self._name)
        if job is None:
            raise NotFound(f"Namespace {self._namespace} has no MLJob {self._name}.", code=404)
        return job

    async def show(self) -> Shown:
        """Return the current HTML of the page as a :class:`.Shown`.

        Raises:
            MLJobError: The MLJob does not exist, can't be read, or does not fit the client's model
                of an MLJob.
        """
        now = datetime.now(UTC)
        page, tail = await self.page(now)
        return self.shown(page, tail, now)

    def shown(self, page: JobPage, tail: LogTail, now: datetime) -> Shown:
        """Return the HTML of the page as a :class:`.Shown`. If the tab ``logs`` is open, the result
        lacks the content of the tab, because the log has a stream of its own.

        Args:
            page: The content of the page.
            tail: The log lines that explain the failure of a task.
            now: The current time.
        """
        parts = self._renderer.fragments(
            {"head": "job/head.html", "why": "job/why.html", "graph": "job/graph.html"},
            page=page, tail=tail, now=now,
        )  # fmt: skip
        if self._view.tab != "logs":  # the log is a stream of its own
            parts["panel"] = self.panel(page, now)
        return Shown(
            title=f"{page.name}: {page.mark.word}",
            parts=parts,
            phases={page.uid: (page.name, page.mark.word)},
            again_after=RUNNING_SECONDS if page.is_moving and self._view.tab == "tasks" else None,
        )

    async def page(self, now: datetime) -> tuple[JobPage, LogTail]:
        """Return the content of the page, and the lines of the failed task's log that explain the
        failure. There are no lines if no task has failed, or if the log has not been read.

        Raises:
            MLJobError: The MLJob does not exist, can't be read, or does not fit the client's model
                of an MLJob.
        """
        job = await self.job()
        given = JobInput(job=job, now=now)
        if job.raw_status.get("dagRunId"):
            given = await self._with_run(given)
        if self._view.tab == "events":
            given = await self._with_events(given)
        style = AnsiStyle()
        return job_page(given), tuple(parts_of(line, style) for line in given.log_tail)

    def panel(self, page: JobPage, now: datetime) -> Markup:
        """Return the HTML of the open tab."""
        tab = self._view.tab
        if tab in ("outputs", "conf"):
            values, omitted, sources = (
                (page.outputs, page.outputs_omitted, ()) if tab == "outputs" else (page.conf, (), page.conf_from)
            )
            nothing = "A task publishes them with publish_outputs()." if tab == "outputs" else "The run has no conf."
            return self._renderer.render(
                "job/values.html", heading=TABS[tab], values=values, omitted=omitted, sources=sources, nothing=nothing
            )
        return self._renderer.render(_PANELS[tab], page=page, view=self._view, now=now, colours={})

    async def _with_run(self, given: JobInput) -> JobInput:
        """Return ``given`` with data of mljob-api about the run: the graph, and the lines of the
        failed task's log that explain the failure. If the tab ``tasks`` or ``metrics`` is open,
        also add the part of the run's history that has been read.

        Wait for the graph and the log for at most :data:`~mljob.view.person.PATIENCE_SECONDS`. Data
        that can't be read, or have not arrived by then, are left out. If data can't be read, the
        result's ``notices`` say why.
        """
        job = given.job
        graph = await self._reads.look_up("graph", job, lambda: self._runs.graph(job))
        pending: list[Lookup[Any]] = [graph]
        tail = await self._tail(job)
        if tail is not None:
            pending.append(tail)
        history = await self._reads.history(job) if self._view.tab in ("tasks", "metrics") else None
        await settle(pending)
        refusals = [source.refusal for source in (*pending, history) if source is not None and source.refusal]
        return replace(
            given,
            graph=graph.answer,
            log_tail=tail.answer.lines if tail is not None and tail.answer is not None else (),
            changes=history.changes if history is not None else (),
            # Curves take time, so they are made for the tab that shows them only.
            reports=self._reports(job, history, given.now) if self._view.tab == "metrics" else (),
            notices=list(dict.fromkeys(_notice(error) for error in refusals)),
        )

    def _reports(self, job: MLJob, history: RunHistory | None, now: datetime) -> Sequence[Any]:
        if history is not None and history.has_reports:
            return history.reports
        return self._status_reports.add(job, now)

    async def _tail(self, job: MLJob) -> Lookup[LogEnd] | None:
        task = failed_task(job.status)
        if task is None:
            return None
        index = task.mapped.failed_indexes[0] if task.mapped is not None and task.mapped.failed_indexes else None

        async def read() -> LogEnd:
            lines = self._runs.log(job, task.task_id, map_index=index, tail=SEARCHED_LINES, raw=True)
            error = f"{task.error.type}: {task.error.message}" if task.error is not None else None
            return end_with_error([line async for line in lines], LOG_TAIL, error)

        return await self._reads.look_up("log", job, read)

    async def _with_events(self, given: JobInput) -> JobInput:
        feed = await self._reads.events(self._namespace, self._name)
        try:
            await feed.ready()
        except ApiError as error:
            return replace(given, notices=[*given.notices, str(error)])
        mine = [event for event in feed.items.values() if event.uid == given.job.uid]
        return replace(given, events=mine)


def _notice(error: MLJobError) -> str:
    return f"Graph, history or log is missing: {error}"
