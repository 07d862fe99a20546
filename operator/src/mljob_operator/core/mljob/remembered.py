"""Reads from a stored status what an earlier operator process knew about the run of the MLJob."""

from __future__ import annotations

from datetime import datetime

from mljob_contract.mljob import MLJobStatus, StatusSource, TaskStatus

from ..run.facts import Details, Failure, Question, Report, RunFact, TaskFact
from ..run.observed_run import LONG_AGO, ObservedRun
from ..run.states import run_state, task_state
from .attempts import ended_at


def remember(status: MLJobStatus) -> ObservedRun:
    """Return an :class:`.ObservedRun` with what a stored status contains about the run of the
    newest attempt.

    The state of the run is included only if the newest attempt has ended. Mapped tasks are left
    out, because the status has only the counts of their task instances.
    """
    source = status.status_source or StatusSource.REST
    at = status.last_event_time or LONG_AGO
    facts = (_remembered(task, at, source) for task in status.tasks or () if task.mapped is None)
    run, ended = None, ended_at(status)
    if ended is not None and status.dag_run_state is not None:
        state, queued = run_state(status.dag_run_state), status.submit_time
        run = RunFact(state, source, at, LONG_AGO, start=status.start_time, end=ended, queued_at=queued)
    return ObservedRun(run=run, tasks={fact.key: fact for fact in facts})


def _remembered(task: TaskStatus, at: datetime, source: StatusSource) -> TaskFact:
    number = task.try_number
    progress = Report(number, at, progress=task.progress / 100) if task.progress is not None else None
    return TaskFact(
        task_id=task.task_id,
        map_index=-1,
        try_number=number,
        state=task_state(task.state),
        source=source,
        occurred_at=at,
        observed_at=LONG_AGO,
        start=task.start_time,
        end=task.end_time,
        confirmed=True,
        details=Details(
            progress=progress,
            metrics=Report(number, at, metrics=task.metrics) if task.metrics else None,
            failure=Failure(number, at, task.error.message, task.error.type) if task.error else None,
            question=Question(number, task.input.subject) if task.input else None,
        ),
    )
