"""The parts of a status that are special to an MLJob with a single run."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from mljob_contract.mljob import Phase

from ..mljob.classification.state import State
from ..run import halt
from ..run.facts import TaskFact, TaskKey
from ..run.observed_run import ObservedRun
from ..run.run_key import RunKey
from ..run.states import ACTIVE_TASK, RunState, TaskState
from ..text.storable import cut
from ..text.urls import path_segment
from .context import Context
from .lost_outputs import LOST, NOT_READ, lost_outputs
from .summary import StatusSummary
from .task_entry import MAX_SUBJECT, error_text, input_url
from .tasks import first_failure
from .workload import dag_url


class SingleRun:
    """Builds the parts of a single run's status that differ from the status of a backfill.
    Implements :class:`.workload.Workload`.
    """

    noun = "run"

    def url(self, ui_url: str, run: RunKey) -> str:
        """Return the URL of the run's page in Airflow's UI."""
        return f"{dag_url(ui_url, run.dag_id)}/runs/{path_segment(run.run_id)}"

    def fields(self, observed_run: ObservedRun, url: str | None) -> dict[str, Any]:
        """Return an empty dict: a single run adds no status fields."""
        return {}

    def in_progress(self, context: Context) -> StatusSummary:
        """Return the phase, reason and message of a run that is queued or running. If the DAG is
        paused or no longer in a DAG file, the reason and the message say so.
        """
        state = context.state
        run, halted = state.observed_run.shown_run, state.transient.halt
        phase = Phase.QUEUED if run is not None and run.state is RunState.QUEUED else Phase.RUNNING
        if halted is not None:
            return StatusSummary(phase, halted, halt.message_of(halted, state.run.dag_id, self.noun))
        if phase is Phase.QUEUED:
            return StatusSummary(phase, "Queued", "Airflow has accepted the run; its first task has not started.")
        return _running(context)

    def cancelling(self, state: State) -> str:
        """Return a sentence that says whether the cancellation DAG or Airflow's REST API cancels
        the run.
        """
        requests = state.transient.cancel_requests
        if state.cancellation.by_dag and requests.dag_refused is None and requests.sent_at is None:
            return "Cancelling the run by the cancellation DAG."
        why = f" ({requests.dag_refused})" if requests.dag_refused else ""
        return f"Cancelling the run through Airflow's REST API{why}."

    def collecting(self, context: Context) -> StatusSummary:
        """Return the phase, reason and message of a run that has ended, while the operator reads
        the run's tasks and outputs.
        """
        run = context.state.observed_run.run
        ended = f" ({run.state})" if run is not None else ""
        return StatusSummary(
            Phase.RUNNING,
            "CollectingOutputs",
            f"The run has ended{ended}; its tasks and outputs are being read.{context.last_error}",
        )

    def succeeded(self, context: Context) -> StatusSummary:
        """Return the phase, reason and message of a successful run. If the operator has not read
        the run's outputs yet, or can't read the outputs any more, the message says so.
        """
        state = context.state
        unread = "" if state.transient.over_since is not None or state.job.deleting else NOT_READ
        if lost_outputs(state) is not None:
            unread = LOST
        return StatusSummary(Phase.SUCCEEDED, "Succeeded", f"The run succeeded{context.of_tasks}.{unread}")

    def failed(self, observed_run: ObservedRun) -> StatusSummary:
        """Return the phase, reason and message of a failed run. The message names the task that
        failed first, and the error of this task if the operator knows the error. If no task failed,
        the message says so.
        """
        fact = first_failure(observed_run)
        if fact is None:
            return StatusSummary(
                Phase.FAILED,
                "DagRunFailed",
                "The run failed without a failed task: it exceeded dagrun_timeout, or somebody set it to failed. See the page of the run in Airflow.",
            )
        other_failures = sum(f.shown_state is TaskState.FAILED for f in observed_run.tasks.values()) - 1
        error = error_text(fact)
        more = f" (and {other_failures} more failed)" if other_failures else ""
        return StatusSummary(
            Phase.FAILED,
            "TaskFailed",
            f"Task {_name(fact)} failed at try {fact.try_number}{more}{': ' + error if error else '; its log says why.'}",
        )


SINGLE_RUN = SingleRun()


def _running(context: Context) -> StatusSummary:
    facts = context.state.observed_run.tasks.values()
    if waiting := [fact for fact in facts if fact.awaits_input]:
        return _awaiting_input(context, waiting)
    if retrying := [fact for fact in facts if fact.shown_state is TaskState.UP_FOR_RETRY]:
        return _retrying(max(retrying, key=lambda fact: (fact.occurred_at, fact.key)))
    active = [fact for fact in facts if fact.state in ACTIVE_TASK]
    states = {fact.state for fact in active}
    if states == {TaskState.DEFERRED}:
        return StatusSummary(
            Phase.RUNNING,
            "TaskDeferred",
            f"{_subject(active)} deferred: waiting in the triggerer, without a worker{context.of_tasks}.",
        )
    if states == {TaskState.UP_FOR_RESCHEDULE}:
        return StatusSummary(
            Phase.RUNNING,
            "TaskRescheduled",
            f"{_subject(active)} rescheduled: waiting for its next check, without a worker{context.of_tasks}.",
        )
    if context.tasks is not None and context.tasks.current_task:
        return StatusSummary(
            Phase.RUNNING, "TaskRunning", f"Task {context.tasks.current_task} is running{context.of_tasks}."
        )
    return StatusSummary(Phase.RUNNING, "Running", "The run is in progress.")


def _retrying(fact: TaskFact) -> StatusSummary:
    error = error_text(fact)
    return StatusSummary(
        Phase.RUNNING,
        "TaskRetrying",
        f"Task {_name(fact)} failed at try {fact.try_number} and will be retried{': ' + error if error else '.'}",
    )


def _awaiting_input(context: Context, waiting: list[TaskFact]) -> StatusSummary:
    first, *others = sorted(waiting, key=_start_order)
    question = first.details.question
    subject = f": {cut(question.subject, MAX_SUBJECT)}" if question and question.subject else ""
    more = f" ({len(others)} more wait as well)" if others else ""
    stop = "" if subject.endswith((".", "?", "!")) else "."
    where = f" Answer at {input_url(context.url, waiting)}" if context.url else ""
    return StatusSummary(
        Phase.RUNNING,
        "AwaitingInput",
        f"Task {_name(first)} waits for a person's answer{more}{context.of_tasks}{subject}{stop}{where}",
    )


def _subject(facts: list[TaskFact]) -> str:
    first = min(facts, key=_start_order)
    return f"Task {_name(first)}{f' and {len(facts) - 1} more are' if len(facts) > 1 else ' is'}"


def _start_order(fact: TaskFact) -> tuple[datetime, TaskKey]:
    return fact.start or fact.occurred_at, fact.key


def _name(fact: TaskFact) -> str:
    return fact.task_id if fact.map_index < 0 else f"{fact.task_id}[{fact.map_index}]"
