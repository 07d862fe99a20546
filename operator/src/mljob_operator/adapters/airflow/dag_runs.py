"""Implements the interface :class:`.ports.DagRuns`. Each method calls a function of another module,
for example of :mod:`.run_requests`, in a thread. The module :mod:`.lanes` starts the threads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from mljob_contract.mljob import OutputSource
from mljob_contract.run_id import RunId

from ...core.run.children import Child
from ...core.run.facts import Question, RunFact, TaskFact, TaskKey
from ...core.run.halt import Halt
from ...core.run.outputs import Outputs
from ...ports import DagTask, RunChange, RunInputs, TaskChange
from .backfills import AirflowBackfills
from .cancellation import RunCanceller
from .changes import Changes
from .children import Children
from .lanes import Run, Work
from .output_turns import OutputTurns
from .outputs import XComOutputs
from .refusals import Refusals
from .run_requests import RunRequests
from .session import Session
from .structure import Structure
from .task_logs import AirflowLog, TaskLogs


class AirflowRuns:
    """Sends requests about the dag runs of one Airflow. Each method sends its requests in a thread.

    Args:
        session: The session with the Airflow.
        run: Runs a function in a thread for the given kind of request (:mod:`.lanes`).
        output_turns: The turns of the reads of outputs. All objects that use the same threads share
            the turns.
        prefix: The prefix of the ids of the dag runs that the operator submits.
        cancel_dag_id: The id of the cancellation DAG. Each run of this DAG ends one run of another
            DAG.
    """

    def __init__(
        self, session: Session, run: Run, output_turns: OutputTurns, *, prefix: str, cancel_dag_id: str
    ) -> None:
        self._session = session
        self._run = run
        self._output_turns = output_turns
        refusals = Refusals(session)
        self._runs = RunRequests(session, refusals)
        self._outputs = XComOutputs(session)
        self._structure = Structure(session)
        self._cancellation = RunCanceller(session, self._runs, self._structure, dag_id=cancel_dag_id)
        self._children = Children(session, self._runs)
        self._changes = Changes(session, prefix=prefix)
        self._logs = TaskLogs(session, run)
        self.backfills = AirflowBackfills(session, run, refusals, prefix=prefix)
        """The Airflow's backfills."""

    @property
    def clock_offset(self) -> timedelta:
        """How far Airflow's clock is ahead of the operator's clock, according to the last answer of
        Airflow. Negative if Airflow's clock is behind. Zero before the first answer. A difference
        of up to two seconds counts as zero, because HTTP dates have no fractions of seconds. An
        answer that shows a difference of more than a day does not change the value.
        """
        return self._session.clock_offset

    @property
    def rows_read(self) -> int:
        """How many rows of lists were read so far (:attr:`.ListReader.rows_read`)."""
        return self._session.lists.rows_read

    async def submit(
        self, dag_id: str, run_id: str, conf: Mapping[str, Any], note: str, logical_date: datetime | None = None
    ) -> RunFact:
        """Submit a run (:meth:`.RunRequests.submit`)."""
        return await self._run(Work.SUBMISSIONS, "submit", self._runs.submit, dag_id, run_id, conf, note, logical_date)

    async def params(self, dag_id: str) -> dict[str, Any] | None:
        """Request a DAG's params (:meth:`.RunRequests.params`)."""
        return await self._run(Work.SUBMISSIONS, "params", self._runs.params, dag_id)

    async def inputs(self, dag_id: str, run_id: str) -> RunInputs:
        """Request the conf and the logical date of a run (:meth:`.RunRequests.inputs`)."""
        return await self._run(Work.SUBMISSIONS, "inputs", self._runs.inputs, dag_id, run_id)

    async def clear_failed(
        self, dag_id: str, run_id: str, *, since: datetime | None, latest_version: bool | None = None
    ) -> RunFact | None:
        """Clear the failed tasks of an ended run (:meth:`.RunRequests.clear_failed`)."""
        clear = self._runs.clear_failed
        return await self._run(Work.SUBMISSIONS, "clear_failed", clear, dag_id, run_id, since, latest_version)

    async def get(self, dag_id: str, run_id: str) -> RunFact | None:
        """Request the state of a run (:meth:`.RunRequests.get`)."""
        return await self._run(Work.LOOKUPS, "get", self._runs.get, dag_id, run_id)

    async def tasks(self, dag_id: str, run_id: str) -> list[TaskFact]:
        """Request the task instances of a run (:meth:`.RunRequests.tasks`)."""
        return await self._run(Work.LOOKUPS, "tasks", self._runs.tasks, dag_id, run_id)

    async def structure(self, dag_id: str) -> list[DagTask]:
        """Request the tasks of a DAG (:meth:`.Structure.tasks`)."""
        return await self._run(Work.LOOKUPS, "structure", self._structure.tasks, dag_id)

    async def open_log(
        self, dag_id: str, run_id: str, task: TaskKey, try_number: int, token: str | None = None
    ) -> AirflowLog | None:
        """Request the log of one try of a task instance (:meth:`.TaskLogs.open`)."""
        return await self._logs.open(dag_id, run_id, task, try_number, token)

    async def questions(self, dag_id: str, run_id: str) -> dict[TaskKey, Question]:
        """Request the unanswered human-in-the-loop questions of a run's tasks
        (:meth:`.RunRequests.questions`).
        """
        return await self._run(Work.LOOKUPS, "questions", self._runs.questions, dag_id, run_id)

    async def outputs(self, dag_id: str, run_id: str, sources: Sequence[OutputSource]) -> Outputs:
        """Request the outputs of a run (:meth:`.XComOutputs.read`). If the run has published nothing
        and ``sources`` is empty, the call does not wait for the outputs of other runs.
        """
        published = await self._run(Work.LOOKUPS, "published", self._outputs.published, dag_id, run_id)
        if not published and not sources:
            return Outputs({})
        run = RunId.parse(run_id)
        read = partial(self._run, Work.OUTPUTS, "outputs", self._outputs.read, dag_id, run_id, published, sources)
        return await self._output_turns.read(run.namespace if run is not None else "", read)

    async def trigger_cancellation(self, dag_id: str, run_id: str, reason: str) -> None:
        """Trigger the cancellation DAG, which then ends a run (:meth:`.RunCanceller.trigger`)."""
        trigger = self._cancellation.trigger
        await self._run(Work.CANCELLATIONS, "trigger_cancellation", trigger, dag_id, run_id, reason)

    async def is_cancelling(self, run_id: str) -> bool:
        """Return True if a task of the cancellation DAG is now ending the run ``run_id``, otherwise
        False (:meth:`.RunCanceller.is_cancelling`).
        """
        return await self._run(Work.CANCELLATIONS, "is_cancelling", self._cancellation.is_cancelling, run_id)

    async def cancel(self, dag_id: str, run_id: str) -> None:
        """End a run through the REST API (:meth:`.RunCanceller.cancel`)."""
        await self._run(Work.CANCELLATIONS, "cancel", self._cancellation.cancel, dag_id, run_id)

    async def children(self, dag_id: str, run_id: str) -> list[Child]:
        """Request the active runs that a run has started, directly or indirectly
        (:meth:`.Children.active`).
        """
        return await self._run(Work.CANCELLATIONS, "children", self._children.active, dag_id, run_id)

    async def set_note(self, dag_id: str, run_id: str, note: str) -> None:
        """Set a run's note (:meth:`.RunRequests.set_note`)."""
        await self._run(Work.CANCELLATIONS, "set_note", self._runs.set_note, dag_id, run_id, note)

    async def drop_cancellation(self, run_id: str) -> None:
        """If the cancellation DAG has a queued run that is to end the run ``run_id``, set this
        queued run to failed. Call this method when the run ``run_id`` has ended
        (:meth:`.RunCanceller.drop`).
        """
        await self._run(Work.CANCELLATIONS, "drop_cancellation", self._cancellation.drop, run_id)

    async def changed_runs(self, since: datetime) -> list[RunChange]:
        """Request the operator's runs that changed at or after ``since``, by Airflow's clock
        (:meth:`.Changes.runs`).
        """
        return await self._run(Work.FEED, "changed_runs", self._changes.runs, since)

    async def changed_tasks(self, since: datetime) -> list[TaskChange]:
        """Request the changed task instances of the operator's runs. A task instance is returned if
        the task instance changed at or after ``since``, by Airflow's clock
        (:meth:`.Changes.tasks`).
        """
        return await self._run(Work.FEED, "changed_tasks", self._changes.tasks, since)

    async def active_runs(self) -> list[RunChange]:
        """Request the operator's runs that are queued or running (:meth:`.Changes.active_runs`)."""
        return await self._run(Work.FEED, "active_runs", self._changes.active_runs)

    async def halts(self, dag_ids: Sequence[str]) -> dict[str, Halt | None]:
        """Request for each DAG in ``dag_ids`` whether the DAG is paused or stale
        (:meth:`.Changes.halts`). A stale DAG is in no DAG file.
        """
        return await self._run(Work.FEED, "halts", self._changes.halts, dag_ids)

    async def paused_dags(self) -> set[str]:
        """Request the ids of the paused DAGs (:meth:`.Changes.paused_dags`)."""
        return await self._run(Work.FEED, "paused_dags", self._changes.paused_dags)
