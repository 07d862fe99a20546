"""What the operator has observed of a run or a backfill."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from mljob_contract.backfill_marker import Marker
from mljob_contract.mljob import ReprocessBehavior, StatusSource
from mljob_operator.core.run.backfill import Backfill, BackfillRun, ObservedBackfill, as_one_run
from mljob_operator.core.run.facts import Details, Failure, Question, Report, RunFact, TaskFact, latest_report
from mljob_operator.core.run.observed_run import ObservedRun
from mljob_operator.core.run.states import RunState, TaskState

from .times import JUST_NOW, MINUTES_AGO, QUEUED, STARTED, ago


def task(  # noqa: PLR0913  # a task has many properties
    task_id: str,
    state: str = "running",
    *,
    index: int = -1,
    try_number: int = 1,
    tries: int | None = None,
    at: datetime = MINUTES_AGO,
    read: datetime | None = None,
    started: datetime | None = None,
    end: datetime | None = None,
    error: tuple[str | None, str] | None = None,
    asks: str | None = None,
    asked: bool = True,
    progress: float | None = None,
    event: bool = False,
    certain: bool = True,
) -> TaskFact:
    """Return a :class:`.TaskFact`, which has the state of a task instance.

    Args:
        index: The map index.
        tries: The maximum number of tries; None if the number is unknown.
        at: When the task instance entered the state.
        read: When the operator read the state; by default ``at``.
        error: The exception's class and text.
        asks: The question to a person, for the state awaiting_input.
        asked: Whether the operator has read the question.
        event: Whether the source is an event. The default source is Airflow's REST API.
        certain: False for a failure from an event that does not say whether a retry follows.
    """
    waits = state == "awaiting_input"
    return TaskFact(
        task_id,
        index,
        try_number,
        TaskState(state),
        StatusSource.KAFKA if event else StatusSource.REST,
        at,
        read or at,
        certain=certain,
        max_tries=tries - 1 if tries is not None else None,
        start=started,
        end=end,
        details=Details(
            progress=Report(try_number, at, progress=progress) if progress is not None else None,
            failure=Failure(try_number, at, error[1], error[0]) if error is not None else None,
            question=Question(try_number, asks) if waits and asked else None,
        ),
    )


def run_event(state: str, read: datetime = JUST_NOW) -> RunFact:
    return RunFact(RunState(state), StatusSource.KAFKA, read, read)


def queued(*tasks: TaskFact, **more: Any) -> ObservedRun:
    return _run("queued", tasks, more)


def running(*tasks: TaskFact, **more: Any) -> ObservedRun:
    return _run("running", tasks, more)


def succeeded(*tasks: TaskFact, **more: Any) -> ObservedRun:
    return _run("success", tasks, {"end": ago(1), **more})


def failed(*tasks: TaskFact, **more: Any) -> ObservedRun:
    return _run("failed", tasks, {"end": ago(1), **more})


def unread(*tasks: TaskFact, reported: RunFact | None = None, since: datetime | None = None) -> ObservedRun:
    """Return a run that the operator has not read from Airflow's REST API.

    Args:
        tasks: The task instances, as events report them.
        reported: The state of the run in an event; None for no event.
        since: When the run was cleared for a new attempt; None if the run was not cleared.
    """
    return ObservedRun(reported=reported, tasks=_by_key(tasks), since=since)


def not_found(*, since: datetime, again: bool = False, after: ObservedRun | None = None) -> ObservedRun:
    """Return a run that is missing in Airflow.

    Args:
        since: When Airflow first answered that the run does not exist.
        again: Whether Airflow has repeated this answer, so that the operator believes it.
        after: What the operator had observed of the run before; by default nothing.
    """
    return replace(after or ObservedRun(), missed_at=since, not_found=again)


def _run(state: str, tasks: Sequence[TaskFact], more: Mapping[str, Any]) -> ObservedRun:
    """Return a run as Airflow's REST API reports it.

    Args:
        state: Airflow's name of the state.
        tasks: The run's task instances.
        more: The times of the run (``queued_at``, ``start``, ``end``); ``read``, the time at which
            the operator read the run; and other fields of :class:`.ObservedRun`.
    """
    more = dict(more)
    queued_at, start = more.pop("queued_at", QUEUED), more.pop("start", STARTED if state != "queued" else None)
    end, read = more.pop("end", None), more.pop("read", ago(1))
    run = RunFact(RunState(state), StatusSource.REST, end or start or queued_at, read, start, end, queued_at)
    return ObservedRun(run=run, tasks=_by_key(tasks), **{"complete": bool(tasks), **more})


def _by_key(tasks: Sequence[TaskFact]) -> dict[tuple[str, int], TaskFact]:
    return {fact.key: fact for fact in tasks}


def backfill(
    runs: Mapping[str, str] | None = None,
    *,
    reported: Mapping[str, str] | None = None,
    paused: bool = False,
    not_created: int = 0,
    created: datetime = QUEUED,
    completed: datetime | None = None,
    number: int = 1,
    listed: bool = False,
    ended_as: str | None = None,
    last_event: datetime | None = None,
) -> ObservedRun:
    """Return a backfill as Airflow's REST API reports it.

    Args:
        runs: The state of each run, by the run's date, such as 2025-12-01.
        reported: The states that events report, by date; None for no events. For a missing date,
            events report the state in ``runs``.
        not_created: How many runs in the date range existed already, so that the backfill does not
            create them.
        completed: When Airflow completed the backfill; None if the backfill is not complete.
        number: The number of the MLJob's attempt.
        ended_as: The state of the whole backfill when the operator first saw that the backfill had
            ended; None to derive the state of the backfill from ``runs``.
        last_event: When the operator last read an event about a run of the backfill; None if the
            operator has read no such event.
    """
    first, last = datetime(2025, 12, 1, tzinfo=UTC), datetime(2025, 12, 3, tzinfo=UTC)
    marker = Marker("backfill", number)
    made = Backfill(
        7, "train", marker, first, last, {}, ReprocessBehavior.NONE, 10, paused, created, completed_at=completed
    )
    members = {}
    for date, state in (runs or {}).items():
        over = state in ("success", "failed")
        at = ago(1) if over else STARTED
        start = STARTED if state != "queued" else None
        told = RunFact(RunState(state), StatusSource.REST, at, ago(1), start, at if over else None, created)
        hint = run_event((reported or {}).get(date, state))
        day = datetime.fromisoformat(date).replace(tzinfo=UTC)
        run_id = f"backfill__{date}"
        members[run_id] = BackfillRun(
            run_id, told, day, number, reported=latest_report(told, None, hint) if reported else None
        )
    observed_backfill = ObservedBackfill(made, members, not_created, last_event)
    run = as_one_run(observed_backfill)
    run = run if ended_as is None else replace(run, state=RunState(ended_as))
    shown = latest_report(run, None, as_one_run(observed_backfill.shown))
    return ObservedRun(run=run, reported=shown, observed_backfill=observed_backfill, complete=True, listed=listed)
