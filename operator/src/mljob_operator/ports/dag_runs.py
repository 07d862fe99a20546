"""The protocol class for the dag runs of an Airflow, with their tasks, logs and outputs."""

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
class RunInputs:
    """What a run was submitted with.

    Attributes:
        conf: The conf of the run.
        logical_date: The logical date of the run, or None if the run has none.
    """

    conf: Mapping[str, Any]
    logical_date: datetime | None = None


@frozen
class RunChange:
    """The state of a run, as an item of the lists that :meth:`DagRuns.changed_runs` and
    :meth:`DagRuns.active_runs` return.

    Attributes:
        note: The run's note in Airflow, or None if the run has no note.
    """

    dag_id: str
    run_id: str
    fact: RunFact
    note: str | None = None


@frozen
class TaskChange:
    """The state of a task instance, as an item of the list that :meth:`DagRuns.changed_tasks`
    returns.
    """

    dag_id: str
    run_id: str
    fact: TaskFact


@frozen
class DagTask:
    """A task of a DAG.

    Attributes:
        task_id: The task's full id, such as ``group.task`` for a task in a task group.
        label: The task's display name, or the id if the DAG gives no display name.
        operator: The class name of the task's Airflow operator, or None if Airflow does not return
            the name.
        downstream: The ids of the tasks that are directly downstream of this task.
    """

    task_id: str
    label: str
    operator: str | None
    downstream: tuple[str, ...]


class TaskLog(Protocol):
    """The log of one try of a task instance, up to the time of :meth:`DagRuns.open_log`. Call
    :meth:`DagRuns.open_log` again to read later entries.
    """

    @property
    def token(self) -> str | None:
        """The token with which :meth:`DagRuns.open_log` returns only later entries.

        The token is None in two cases:

        - :meth:`read` has not reached the end of the log yet.
        - Airflow expects no later entries.
        """
        ...

    async def read(self, convert: Callable[[LogEntry], T]) -> Sequence[T] | None:
        """Return the next entries. Return None at the end of the log, or if :meth:`close` was
        called.

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
    """Sends requests about the dag runs of one Airflow, for example to submit or cancel a run.

    If a method returns None or an empty result, Airflow itself has answered the request. If a proxy
    or another service answers instead of Airflow, the method raises AirflowUnavailable.
    """

    @property
    def backfills(self) -> Backfills:
        """The :class:`.Backfills` object for the same Airflow."""
        ...

    @property
    def clock_offset(self) -> timedelta:
        """How far Airflow's clock is ahead of the operator's clock. Negative if Airflow's clock is
        behind. A difference of up to two seconds counts as zero.
        """
        ...

    @property
    def rows_read(self) -> int:
        """How many rows of lists were read from this Airflow so far, including rows about other
        runs than the operator's.
        """
        ...

    async def submit(
        self, dag_id: str, run_id: str, conf: Mapping[str, Any], note: str, logical_date: datetime | None = None
    ) -> RunFact:
        """Trigger a run, and return its state. If Airflow already has a run with this id, return
        the state of the existing run.

        Raises:
            DagNotFound: Airflow does not have the DAG.
            DagImportError: Airflow can't import the file of the DAG.
            SubmissionRefused: Airflow refuses the run for a reason that does not depend on the
                conf.
            LogicalDateTaken: The DAG has another run with this logical date.
            ValidationFailed: The DAG's params refuse the conf.
        """
        ...

    async def params(self, dag_id: str) -> dict[str, Any] | None:
        """Return the DAG's params by name, each with its default ``value`` and its JSON ``schema``.
        Return None if Airflow does not have the DAG.
        """
        ...

    async def inputs(self, dag_id: str, run_id: str) -> RunInputs:
        """Return the conf and the logical date of a run.

        Raises:
            ValidationFailed: Airflow does not have the run, so the conf can't be used again.
        """
        ...

    async def clear_failed(
        self, dag_id: str, run_id: str, *, since: datetime | None, latest_version: bool | None = None
    ) -> RunFact | None:
        """Clear the failed tasks of an ended run, and the tasks that did not run because of the
        failures. Airflow then runs these tasks again. A run that has not ended stays as it is.

        Return the state of the run after the request, or None if Airflow does not have the run.

        Args:
            dag_id: The DAG.
            run_id: The run.
            since: A time on Airflow's clock. A run that was queued again at or after this time was
                cleared already, and is not cleared again. None turns this check off.
            latest_version: Whether the tasks run the latest version of the DAG's bundle. If None,
                Airflow's own setting decides.

        Raises:
            NothingToClear: The run has no failed task.
        """
        ...

    async def get(self, dag_id: str, run_id: str) -> RunFact | None:
        """Return the state of a run, or None if Airflow does not have the run."""
        ...

    async def tasks(self, dag_id: str, run_id: str) -> list[TaskFact]:
        """Return all task instances of a run. The list is empty if Airflow does not have the
        run.
        """
        ...

    async def structure(self, dag_id: str) -> list[DagTask]:
        """Return the tasks of the latest version of a DAG. The list is empty if Airflow does not
        have the DAG. If Airflow's data about a task is invalid, the list leaves out this task.
        """
        ...

    async def open_log(
        self, dag_id: str, run_id: str, task: TaskKey, try_number: int, token: str | None = None
    ) -> TaskLog | None:
        """Open the log of one try of a task instance for reading. Return None if Airflow does not
        have the try.

        Args:
            dag_id: The DAG.
            run_id: The run.
            task: The task id and the map index.
            try_number: The number of the try, from 1.
            token: :attr:`TaskLog.token` of an earlier log of this try, to read only later entries.
                None to read the log from its beginning.
        """
        ...

    async def questions(self, dag_id: str, run_id: str) -> dict[TaskKey, Question]:
        """Return the unanswered human-in-the-loop questions of the run's tasks, by task id and map
        index. The result is empty if the operator lacks the permission to read the questions.
        """
        ...

    async def outputs(self, dag_id: str, run_id: str, sources: Sequence[OutputSource]) -> Outputs:
        """Return the outputs of a run, and the names of the outputs that could not be read, for
        example because they are too large.

        Args:
            dag_id: The DAG.
            run_id: The run.
            sources: The entries of ``spec.outputs``. Each entry names an XCom that becomes an
                output. Outputs that a task published in the XCom ``mljob_outputs`` need no entry.
        """
        ...

    async def trigger_cancellation(self, dag_id: str, run_id: str, reason: str) -> None:
        """Trigger the cancellation DAG, which then ends this run. Further calls for the same run
        have no effect.

        Raises:
            DagRefused: The cancellation DAG is missing, broken or paused.
        """
        ...

    async def is_cancelling(self, run_id: str) -> bool:
        """Return whether a task of the cancellation DAG is now ending the run ``run_id``."""
        ...

    async def cancel(self, dag_id: str, run_id: str) -> None:
        """Cancel a run through the REST API: set its unfinished task instances to failed, and then
        the run. A run that does not exist is no error.
        """
        ...

    async def children(self, dag_id: str, run_id: str) -> list[Child]:
        """Return the queued and running runs that the tasks of this run have started with
        TriggerDagRunOperator, directly or through other runs.

        The ids of the started runs come from XComs. One call reads at most
        ``core.run.children.MAX_CHILDREN`` of these XComs. An XCom may name a run that no task has
        started, because any task can push an XCom. :attr:`.Child.by_task` of a returned run says
        whether Airflow itself has recorded that some task started this returned run.
        """
        ...

    async def set_note(self, dag_id: str, run_id: str, note: str) -> None:
        """Change the run's note. The call has no effect if Airflow does not have the run."""
        ...

    async def drop_cancellation(self, run_id: str) -> None:
        """If the cancellation DAG has a queued run that is to end the run ``run_id``, set this
        queued run to failed. Call this method when the run ``run_id`` has already ended.
        """
        ...

    async def changed_runs(self, since: datetime) -> list[RunChange]:
        """Return the operator's runs that changed at or after ``since``, a time on Airflow's clock.
        The ids of these runs have the operator's prefix.
        """
        ...

    async def changed_tasks(self, since: datetime) -> list[TaskChange]:
        """Return the changed task instances of the operator's runs. A task instance is returned if
        the task instance changed at or after ``since``, a time on Airflow's clock.
        """
        ...

    async def active_runs(self) -> list[RunChange]:
        """Return the queued and running runs whose ids have the operator's prefix."""
        ...

    async def halts(self, dag_ids: Sequence[str]) -> dict[str, Halt | None]:
        """Return, for each DAG, the reason why the DAG is halted, or None if the DAG is not halted.
        Airflow schedules no tasks of a halted DAG. A DAG is halted if it is paused or is in no DAG
        file.

        The result leaves out a DAG that the operator may not read, or for which Airflow's answer
        can't be read.
        """
        ...

    async def paused_dags(self) -> set[str]:
        """Return the ids of the paused DAGs."""
        ...
