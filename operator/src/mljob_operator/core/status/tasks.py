"""The parts of a status about a run's tasks: counts, progress, and one entry for each task.

The counts are exact. If not all entries fit, failed tasks are kept first, then active tasks and
tasks that wait for a retry, then tasks in the state upstream_failed, then the other tasks. Within
each of these groups, the tasks that ended or started most recently are kept first.

A status stays below 64 KiB, because the Kubernetes API server sends the whole status to every
watcher.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from mljob_contract.mljob import MAX_TASKS, TaskCounts, TaskStatus

from ..frozen import frozen
from ..run.facts import TaskFact
from ..run.observed_run import ObservedRun
from ..run.states import RunState, TaskState
from .task_entry import RunTask, TaskEntry

MAX_TASKS_BYTES = 40 * 1024


class RunTasks:
    """A cache of a run's :class:`.RunTask` objects. The cache spares the operator the work for
    tasks that have not changed since the last status.
    """

    __slots__ = ("_run_url", "_tasks")

    def __init__(self) -> None:
        self._run_url: str | None = None
        self._tasks: dict[str, RunTask] = {}

    def of(self, facts: Iterable[TaskFact], run_url: str | None) -> list[RunTask]:
        """Return a :class:`.RunTask` for each task of the run, and cache these objects.

        Args:
            facts: All task instances of the run.
            run_url: The URL of the run's page in Airflow, for the links in the tasks' entries of
                ``status.tasks``. None if these entries shall have no links.
        """
        by_task: dict[str, list[TaskFact]] = defaultdict(list)
        for fact in facts:
            by_task[fact.task_id].append(fact)
        before = self._tasks if run_url == self._run_url else {}
        self._run_url = run_url
        self._tasks = {
            task_id: task
            if (task := before.get(task_id)) is not None and task.facts == tuple(group)
            else RunTask.of(tuple(group), run_url)
            for task_id, group in by_task.items()
        }
        return list(self._tasks.values())


@frozen
class TaskSummary:
    """The summary of a run's tasks in the status.

    Attributes:
        counts: The number of task instances in each state.
        progress: The number of succeeded task instances and the number of all task instances, such
            as ``3/5``. Skipped and removed task instances count as succeeded unless the run failed.
            None if no task is known.
        percent: How much of the run has succeeded, from 0 to 100. Each task has the same share. A
            running task counts with the progress that it reports. None if no task is known.
        current_task: The id of the current task (see :attr:`.RunTask.activity`), or None if no task
            is active.
        entries: One entry for each task id, without a limit.
    """

    counts: TaskCounts
    progress: str | None
    percent: int | None
    current_task: str | None
    entries: list[TaskEntry]

    @property
    def tasks(self) -> list[TaskStatus]:
        """The ``TaskStatus`` of each entry."""
        return [entry.status for entry in self.entries]


def summarise(observed_run: ObservedRun, run_url: str | None, tasks: RunTasks | None = None) -> TaskSummary:
    """Return the summary of a run's tasks for the status.

    Args:
        observed_run: What the operator knows of the run.
        run_url: The URL of the run's page in Airflow, for the links in the tasks' entries of
            ``status.tasks``. None if these entries shall have no links.
        tasks: A cache of the run's tasks. None if there is no cache.
    """
    found = (tasks if tasks is not None else RunTasks()).of(observed_run.tasks.values(), run_url)
    states: defaultdict[TaskState, int] = defaultdict(int)
    for task in found:
        for state, number in task.states.items():
            states[state] += number
    total, done = len(observed_run.tasks), _succeeded_states(observed_run)
    latest = max((task.activity for task in found if task.activity is not None), default=None)
    return TaskSummary(
        counts=TaskCounts.model_validate({"total": total} | {str(state): n for state, n in states.items()}),
        progress=f"{sum(states[state] for state in done)}/{total}" if total else None,
        percent=_percent(found, done) if total else None,
        current_task=latest[-1][0] if latest is not None else None,
        entries=[task.entry for task in found],
    )


def _succeeded_states(observed_run: ObservedRun) -> tuple[TaskState, ...]:
    """Return the states in which a task instance of the run counts as succeeded. In a failed run,
    skipped and removed task instances don't count as succeeded. Airflow skips the remaining tasks
    when somebody sets a run to failed, or when a run exceeds its ``dagrun_timeout``.
    """
    if observed_run.run is not None and observed_run.run.state is RunState.FAILED:
        return (TaskState.SUCCESS,)
    return (TaskState.SUCCESS, TaskState.SKIPPED, TaskState.REMOVED)


def _percent(tasks: Sequence[RunTask], done: Sequence[TaskState]) -> int:
    """Return how much of the run has succeeded, from 0 to 100. Each task has the same share,
    however many instances the task has. Otherwise the percentage would fall when Airflow expands a
    mapped task into many instances.
    """
    share = 0.0
    for task in tasks:
        succeeded = sum([number for state, number in task.states.items() if state in done])
        share += (succeeded + task.progress) / len(task.facts)
    # A sum of binary fractions, such as three times 1/3, may be a little less than 1.
    return int(round(100 * share / len(tasks), 6))


def first_failure(observed_run: ObservedRun) -> TaskFact | None:
    """Return the task instance that failed first, or None if no task failed."""
    failed = [fact for fact in observed_run.tasks.values() if fact.shown_state is TaskState.FAILED]
    return min(failed, key=lambda fact: (fact.end or fact.occurred_at, fact.key), default=None)


def within_bounds(entries: Sequence[TaskEntry], room: int) -> list[TaskEntry]:
    """Return the most important entries (:attr:`.TaskEntry.importance`) that fit into ``room``
    bytes, but at most ``MAX_TASKS`` entries and ``MAX_TASKS_BYTES`` bytes. The result is sorted by
    the start time of the tasks.
    """
    room = min(room, MAX_TASKS_BYTES)
    if len(entries) <= MAX_TASKS and sum(entry.size for entry in entries) <= room:
        return sorted(entries, key=lambda entry: entry.position)
    kept: list[TaskEntry] = []
    for entry in sorted(entries, key=lambda entry: entry.importance):
        room -= entry.size
        if room < 0 or len(kept) == MAX_TASKS:
            break
        kept.append(entry)
    return sorted(kept, key=lambda entry: entry.position)
