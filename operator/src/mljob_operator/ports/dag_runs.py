"""The interface to the dag runs of an Airflow, with their tasks, logs and outputs, as a protocol
class.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar

from mljob_contract.mljob import OutputSource

from ..core.frozen import frozen
from ..core.run.children import Child
from ..core.run.facts import Question, RunFact, TaskFact, TaskKey
from ..core.run.halt import Halt
from ..core.run.log_lines import LogEntry
from ..core.run.outputs import Outputs
from .backfills import Backfills

T = TypeVar("T")


@frozen
class RunChange:
    """A run and its state, as read from one of Airflow's lists: the list of recent changes, or the
    list of active runs.

    Attributes:
        note: The text of the run's note in Airflow, or None if the run has no note.
    """

    dag_id: str
    run_id: str
    fact: RunFact
    note: str | None = None


@frozen
class TaskChange:
    """A task instance and its state, as read from Airflow's change feed (the list of recent changes
    in the REST API).
    """

    dag_id: str
    run_id: str
    fact: TaskFact


@frozen
class DagTask:
    """A task of a DAG.

    Attributes:
        task_id: The task's id, which begins with the ids of the task's groups, if any.
        label: The task's display name, or the id if the DAG gives no display name.
        operator: The name of the class of the task's Airflow operator, or None if Airflow does not
            return it.
        downstream: The ids of the tasks that run after this task.
    """

    task_id: str
    label: str
    operator: str | None
    downstream: tuple[str, ...]


class TaskLog(Protocol):
    """The log of one try of a task instance, opened for reading. The log has the entries up to the
    time of the request. To read entries that Airflow adds later, call :meth:`DagRuns.open_log`
    again.
    """

    @property
    def token(self) -> str | None:
        """The token with which :meth:`DagRuns.open_log` returns only later entries. The value is
        None until :meth:`read` has returned None at the end of the log. The value is also None if
        Airflow expects no later entries.
        """
        ...

    async def read(self, convert: Callable[[LogEntry], T]) -> Sequence[T] | None:
        """Return the next entries. Return None if all entries were returned already, or if
        :meth:`close` was called.

        Args:
            convert: Converts an entry to an item of the result. The function is called in another
                thread.

        Raises:
            AirflowUnreadable: The answer is not a log, or is too large.
            AirflowUnavailable: The connection broke, or Airflow takes too long.
        """
        ...

    def close(self) -> None:
        """Stop reading. The method returns at once, even if a thread is still reading."""
        ...


class DagRuns(Protocol):
    """The operations on the dag runs of an Airflow, such as to submit, to read or to cancel a run.

    A result that is None or empty is based on an answer of Airflow itself, such as the answer that
    the requested object does not exist. If a proxy or another service answers instead, the method
    raises AirflowUnavailable.
    """

    @property
    def backfills(self) -> Backfills:
        """The backfills of the same Airflow."""
        ...

    @property
    def clock_offset(self) -> timedelta:
        """How far Airflow's clock is ahead of the operator's clock, according to Airflow's last
        answer. Negative if Airflow's clock is behind. A difference of up to two seconds counts as
        zero.
        """
        ...

    async def submit(
        self, dag_id: str, run_id: str, conf: Mapping[str, Any], note: str, logical_date: datetime | None = None
    ) -> RunFact:
        """Trigger a run, and return its state. If Airflow already has a run with this id, return
        the state of that run.

        Raises:
            DagNotFound: Airflow has no such DAG at the moment.
            DagImportError: Airflow can't import the file of the DAG.
            SubmissionRefused: Airflow refuses the run for a reason that does not depend on the
                conf.
            LogicalDateTaken: The DAG has another run with this logical date.
            ValidationFailed: The DAG's params refuse the conf.
        """
        ...

    async def params(self, dag_id: str) -> dict[str, Any]:
        """Return the DAG's params by name, each with its default ``value`` and its JSON ``schema``.

        The result is empty if Airflow does not know the DAG.
        """
        ...

    async def conf(self, dag_id: str, run_id: str) -> dict[str, Any]:
        """Return the conf of a run.

        Raises:
            ValidationFailed: The run does not exist any more.
        """
        ...

    async def clear_failed(
        self, dag_id: str, run_id: str, *, since: datetime | None, latest_version: bool | None = None
    ) -> RunFact | None:
        """Clear the failed tasks of an ended run, and the tasks that did not run because of the
        failures.

        Airflow then runs these tasks again. Return the state of the run after the request, or None
        if Airflow has no such run. Change nothing if the run has not ended.

        Args:
            dag_id: The DAG.
            run_id: The run.
            since: A time on Airflow's clock, or None. If the run was queued again at or after this
                time, the run was cleared already, and is not cleared again.
            latest_version: Whether the tasks run the latest version of the DAG's bundle. If None,
                Airflow's own setting decides.

        Raises:
            NothingToClear: The run has no failed task.
        """
        ...

    async def get(self, dag_id: str, run_id: str) -> RunFact | None:
        """Return the state of a run, or None if Airflow has no such run."""
        ...

    async def tasks(self, dag_id: str, run_id: str) -> list[TaskFact]:
        """Return all task instances of a run. The list is empty if Airflow has no such run."""
        ...

    async def structure(self, dag_id: str) -> list[DagTask]:
        """Return the tasks of the latest version of a DAG. Tasks that can't be read from Airflow's
        answer are left out. The list is empty if Airflow has no such DAG.
        """
        ...

    async def open_log(
        self, dag_id: str, run_id: str, task: TaskKey, try_number: int, token: str | None = None
    ) -> TaskLog | None:
        """Open the log of one try of a task instance for reading. Return None if Airflow has no
        such try.

        Args:
            dag_id: The DAG.
            run_id: The run.
            task: The task id and the map index.
            try_number: The number of the try, from 1.
            token: The token of an earlier :class:`TaskLog` of this try (:attr:`TaskLog.token`), to
                read only later entries. None to read the log from its beginning.
        """
        ...

    async def questions(self, dag_id: str, run_id: str) -> dict[TaskKey, Question]:
        """Return the questions that the run's tasks ask people, by task id and map index. Questions
        that people have answered already are left out.

        The result is empty if the operator lacks the permission to read the questions.
        """
        ...

    async def outputs(self, dag_id: str, run_id: str, sources: Sequence[OutputSource]) -> Outputs:
        """Return the outputs of a run, and the names of outputs that could not be read, for example
        because they are too large.

        There are two kinds of outputs: the outputs that the run's tasks published, and the XComs
        that ``sources`` (the entries of ``spec.outputs``) name.
        """
        ...

    async def trigger_cancellation(self, dag_id: str, run_id: str, reason: str) -> None:
        """Trigger the cancellation DAG for the run ``run_id`` of the DAG ``dag_id``. The
        cancellation DAG then ends this run. Further calls for the same run don't trigger the
        cancellation DAG again.

        Raises:
            DagRefused: The cancellation DAG is missing, broken or paused.
        """
        ...

    async def cancellation_runs(self, run_id: str) -> bool:
        """Return whether the task of the cancellation DAG that cancels the run ``run_id`` is
        executing now.
        """
        ...

    async def cancel(self, dag_id: str, run_id: str) -> None:
        """Cancel a run through the REST API: set its unfinished task instances to failed, and then
        the run. If a time limit ends before all task instances are set, Airflow ends the remaining
        task instances when the run is set to failed. A run that does not exist is no error.
        """
        ...

    async def children(self, dag_id: str, run_id: str) -> list[Child]:
        """Return the active runs that tasks of this run claim to have started, directly or through
        other started runs. A task makes this claim in an XCom. :attr:`.Child.by_task` says whether
        Airflow confirms that a task started the run. Only a limited number of claims is read.
        """
        ...

    async def set_note(self, dag_id: str, run_id: str, note: str) -> None:
        """Change the run's note. The call has no effect if Airflow has no such run."""
        ...

    async def drop_cancellation(self, run_id: str) -> None:
        """Drop the cancellation of the run ``run_id``, because this run has ended already. If a run
        of the cancellation DAG is queued for this cancellation, set the queued run to failed.
        """
        ...

    async def changed_runs(self, since: datetime) -> list[RunChange]:
        """Return the runs that changed at or after ``since``, which is a time on Airflow's clock.
        The result has only runs whose ids have the operator's prefix.
        """
        ...

    async def changed_tasks(self, since: datetime) -> list[TaskChange]:
        """Return the task instances that changed at or after ``since``, which is a time on
        Airflow's clock.

        The result has only task instances of runs whose ids have the operator's prefix.
        """
        ...

    async def active_runs(self) -> list[RunChange]:
        """Return the queued and running runs whose ids have the operator's prefix."""
        ...

    async def halts(self, dag_ids: Sequence[str]) -> dict[str, Halt | None]:
        """Return a dict from the id of each of these DAGs to the reason why the DAG is halted, or
        to None if the DAG is not halted. A halted DAG is paused, or is in none of Airflow's DAG
        files (any more). Airflow schedules no tasks of a halted DAG.

        The result leaves out a DAG that the operator may not read, or for which Airflow's answer
        can't be read.
        """
        ...

    async def paused_dags(self) -> set[str]:
        """Return the ids of the paused DAGs."""
        ...
