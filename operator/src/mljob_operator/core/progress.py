"""The ledger as the status shows it: counts, one entry a task, how far the run is; within bounds whatever the DAG.

Counts are exact. The list keeps failed tasks, then unfinished ones that do something, then the latest; a status is stored whole in etcd
(1.5 MiB a request by default) and sent whole to every watcher, so it stays far below 64 KiB.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

from mljob_contract.mljob import MAX_ERROR_LENGTH, MAX_TASKS, MappedTasks, TaskCounts, TaskErrorStatus, TaskStatus

from .facts import TaskFact
from .ledger import Ledger
from .phases import ACTIVE_TASK, FINISHED_TASK, TaskState

MAX_TASKS_BYTES = 40 * 1024
MAX_FAILED_INDEXES = 20
MAX_METRICS = 20

# What a mapped task is called as a whole: the state that says most to somebody who looks for what is wrong or going on.
_LOUDEST = (
    TaskState.FAILED,
    TaskState.UPSTREAM_FAILED,
    TaskState.AWAITING_INPUT,
    TaskState.RUNNING,
    TaskState.RESTARTING,
    TaskState.UP_FOR_RETRY,
    TaskState.DEFERRED,
    TaskState.UP_FOR_RESCHEDULE,
    TaskState.QUEUED,
    TaskState.SCHEDULED,
    TaskState.NONE,
    TaskState.SUCCESS,
    TaskState.SKIPPED,
    TaskState.REMOVED,
)


@dataclass(frozen=True, slots=True)
class Summary:
    """What the status says of a run's tasks.

    Attributes:
        progress: Finished of all, ``3/5``; None while nothing is known.
        percent: 0 to 100, running tasks counted by their own reports.
        current_task: The task that runs, or started last where several do.
        tasks: Bounded list of entries.
        omitted: How many entries were left out.
    """

    counts: TaskCounts
    progress: str | None
    percent: int | None
    current_task: str | None
    tasks: list[TaskStatus]
    omitted: int


def summarise(ledger: Ledger, run_url: str | None) -> Summary:
    """The ledger's tasks for the status; ``run_url`` is the run's page in Airflow, to link each task's log."""
    facts = list(ledger.tasks.values())
    states = Counter(fact.shown_state for fact in facts)
    counts = TaskCounts.model_validate({"total": len(facts)} | {str(state): n for state, n in states.items()})
    finished = sum(n for state, n in states.items() if state in FINISHED_TASK)

    by_task: dict[str, list[TaskFact]] = defaultdict(list)
    for fact in facts:
        by_task[fact.task_id].append(fact)
    entries = [_entry(task_id, group, run_url) for task_id, group in by_task.items()]
    kept = _within_bounds(entries)

    return Summary(
        counts=counts,
        progress=f"{finished}/{len(facts)}" if facts else None,
        percent=int(100 * (finished + sum(map(_own_progress, facts))) / len(facts)) if facts else None,
        current_task=_current(facts),
        tasks=kept,
        omitted=len(entries) - len(kept),
    )


def first_failure(ledger: Ledger) -> TaskFact | None:
    """The task that failed first, for the message that says why the run failed."""
    failed = [fact for fact in ledger.tasks.values() if fact.shown_state is TaskState.FAILED]
    return min(failed, key=lambda fact: (fact.end or fact.at, fact.key), default=None)


def error_text(fact: TaskFact) -> str | None:
    """``ValueError: no such column``, or None where nobody said."""
    if fact.failure is None or fact.failure.try_number != fact.try_number:
        return None
    text = _cut(fact.failure.message)
    return f"{fact.failure.type}: {text}" if fact.failure.type else text


def _own_progress(fact: TaskFact) -> float:
    """How far a task that is not finished says it is, 0 to 1."""
    report = fact.progress
    if report is None or report.try_number != fact.try_number or fact.shown_state not in ACTIVE_TASK:
        return 0.0
    return report.progress or 0.0


def _current(facts: Iterable[TaskFact]) -> str | None:
    active = [fact for fact in facts if fact.state in ACTIVE_TASK]
    latest = max(active, key=lambda fact: (_time(fact.start), fact.key), default=None)
    return latest.task_id if latest else None


def _entry(task_id: str, group: list[TaskFact], run_url: str | None) -> TaskStatus:
    url = f"{run_url}/tasks/{quote(task_id, safe='')}" if run_url else None
    if len(group) == 1 and group[0].map_index < 0:
        fact = group[0]
        state = fact.shown_state
        failing = state in (TaskState.FAILED, TaskState.UP_FOR_RETRY)
        error = fact.failure if failing and fact.failure and fact.failure.try_number == fact.try_number else None
        progress = fact.progress if fact.progress and fact.progress.try_number == fact.try_number else None
        metrics = fact.metrics if fact.metrics and fact.metrics.try_number == fact.try_number else None
        percent = int(100 * progress.progress) if progress and progress.progress is not None else None
        return TaskStatus.model_construct(
            task_id=task_id,
            state=str(state),
            try_number=fact.try_number,
            start_time=_seconds(fact.start),
            end_time=_seconds(fact.end) if state in FINISHED_TASK else None,
            progress=100 if percent is not None and state is TaskState.SUCCESS else percent,
            metrics=dict(sorted((metrics.metrics or {}).items())[:MAX_METRICS]) if metrics else None,
            error=TaskErrorStatus.model_construct(type=error.type, message=_cut(error.message)) if error else None,
            log_url=url,
        )

    states = Counter(fact.shown_state for fact in group)
    loudest = next(state for state in _LOUDEST if states[state])
    failed = sorted(fact.map_index for fact in group if fact.shown_state is TaskState.FAILED)
    failures = [fact.failure for fact in group if fact.failure and fact.map_index in failed[:1]]
    finished = sum(states[state] for state in FINISHED_TASK)
    return TaskStatus.model_construct(
        task_id=task_id,
        state=str(loudest),
        try_number=max(fact.try_number for fact in group),
        start_time=_seconds(min((fact.start for fact in group if fact.start), default=None)),
        end_time=_seconds(max((fact.end for fact in group if fact.end), default=None))
        if finished == len(group)
        else None,
        progress=int(100 * (finished + sum(map(_own_progress, group))) / len(group)),
        metrics=None,
        error=TaskErrorStatus.model_construct(type=failures[0].type, message=_cut(failures[0].message))
        if failures
        else None,
        log_url=url,
        mapped=MappedTasks.model_construct(
            total=len(group),
            states={str(state): states[state] for state in _LOUDEST if states[state]},
            failed_indexes=failed[:MAX_FAILED_INDEXES] or None,
        ),
    )


def _within_bounds(entries: list[TaskStatus]) -> list[TaskStatus]:
    """Drop what matters least until the rest fits, and put that in the order in which tasks started."""
    room = MAX_TASKS_BYTES
    kept: list[TaskStatus] = []
    for entry in sorted(entries, key=_importance):
        room -= _size(entry)
        if room < 0 or len(kept) == MAX_TASKS:
            break
        kept.append(entry)
    return sorted(kept, key=lambda entry: (entry.start_time is None, _time(entry.start_time), entry.task_id))


def _importance(entry: TaskStatus) -> tuple[int, float, str]:
    state = TaskState(entry.state)
    if state in (TaskState.FAILED, TaskState.UPSTREAM_FAILED):
        group = 0 if state is TaskState.FAILED else 2
    elif state in ACTIVE_TASK or state is TaskState.UP_FOR_RETRY:
        group = 1
    else:
        group = 3
    return group, -_time(entry.end_time or entry.start_time), entry.task_id


def _size(entry: TaskStatus) -> int:
    """Bytes of the entry in JSON, a little too many."""
    size = 160 + 2 * len(entry.task_id.encode()) + len((entry.log_url or "").encode())
    if entry.error is not None:
        # Escapes count: a text of quotes or control characters is longer in JSON than in characters.
        size += 40 + len(json.dumps([entry.error.type, entry.error.message], ensure_ascii=False).encode())
    if entry.metrics:
        size += sum(24 + len(name.encode()) for name in entry.metrics)
    if entry.mapped is not None:
        size += 60 + 24 * len(entry.mapped.states) + 8 * len(entry.mapped.failed_indexes or ())
    return size


def _cut(text: str) -> str:
    text = text.strip()
    return text if len(text) <= MAX_ERROR_LENGTH else text[: MAX_ERROR_LENGTH - 3] + "..."


def _seconds(at: datetime | None) -> datetime | None:
    """Kubernetes times have whole seconds (metav1.Time)."""
    return at.replace(microsecond=0) if at else None


def _time(at: datetime | None) -> float:
    return at.timestamp() if at else 0.0
