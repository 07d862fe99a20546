"""Hypothesis strategies and functions that make facts. A fact is what an event or a REST response
of Airflow says about a run or a task instance.
"""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from mljob_contract.mljob import StatusSource
from mljob_operator.core.run.facts import Details, Failure, Report, RunFact, TaskFact
from mljob_operator.core.run.states import RunState, TaskState

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)

times = st.integers(0, 120).map(lambda seconds: EPOCH + timedelta(seconds=seconds))
task_ids = st.sampled_from(["extract", "fit", "group.score"])
EVENT_STATES = [
    TaskState.RUNNING,
    TaskState.SUCCESS,
    TaskState.FAILED,
    TaskState.SKIPPED,
    TaskState.UP_FOR_RETRY,
]


@st.composite
def task_events(draw: st.DrawFn) -> TaskFact:
    state = draw(st.sampled_from(EVENT_STATES))
    number = draw(st.integers(1, 3))
    at = draw(times)
    failed = state in (TaskState.FAILED, TaskState.UP_FOR_RETRY)
    running = state is TaskState.RUNNING
    return TaskFact(
        task_id=draw(task_ids),
        map_index=draw(st.integers(-1, 2)),
        try_number=number,
        state=state,
        source=StatusSource.KAFKA,
        occurred_at=at,
        observed_at=EPOCH,
        certain=draw(st.booleans()) if state is TaskState.FAILED else True,
        max_tries=draw(st.just(2) | st.none()),
        start=at if running else None,
        end=draw(times | st.none()) if not running else None,
        details=Details(
            progress=Report(number, at, progress=draw(st.sampled_from([0.25, 0.5])))
            if running and draw(st.booleans())
            else None,
            metrics=Report(number, at, metrics={"loss": draw(st.sampled_from([0.1, 0.2]))})
            if running and draw(st.booleans())
            else None,
            failure=Failure(number, at, "broken", draw(st.sampled_from(["ValueError", None]))) if failed else None,
        ),
    )


@st.composite
def run_events(draw: st.DrawFn) -> RunFact:
    state = draw(st.sampled_from([RunState.RUNNING, RunState.SUCCESS]))
    return RunFact(state, StatusSource.KAFKA, EPOCH, EPOCH)


def rest(
    task_id: str,
    state: TaskState,
    *,
    try_number: int = 1,
    map_index: int = -1,
    seconds: float = 0,
    max_tries: int | None = None,
) -> TaskFact:
    """Return the TaskFact of a REST response about a task instance. The request for this response
    was sent ``seconds`` after ``EPOCH``.
    """
    seen = EPOCH + timedelta(seconds=seconds)
    return TaskFact(task_id, map_index, try_number, state, StatusSource.REST, seen, seen, max_tries=max_tries)


def event(
    task_id: str, state: TaskState, *, try_number: int = 1, map_index: int = -1, seconds: float = 0, **more: object
) -> TaskFact:
    """Return the TaskFact of an event about a task instance. The event occurred ``seconds`` after
    ``EPOCH``. ``more`` has further fields of the TaskFact or of its ``details``.
    """
    at = EPOCH + timedelta(seconds=seconds)
    details = {field.name: more.pop(field.name) for field in fields(Details) if field.name in more}
    more = {"observed_at": at, "details": Details(**details), **more}  # type: ignore[arg-type]
    return TaskFact(task_id, map_index, try_number, state, StatusSource.KAFKA, at, **more)  # type: ignore[arg-type]
