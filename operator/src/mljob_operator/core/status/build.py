"""Builds the whole status of an MLJob from its state."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from mljob_contract.mljob import MLJobStatus, Phase

from ..conf.redaction import NOTHING_HIDDEN, Redaction
from ..mljob import attempts
from ..mljob.classification.cancellation import CANCEL_REASONS
from ..mljob.classification.spec_change import SpecChange
from ..mljob.classification.state import Stage, State
from ..mljob.retry_request import with_retry_handled
from ..run.facts import RunFact, TaskFact
from ..run.observed_run import LONG_AGO, ObservedRun
from ..run.outputs import Outputs
from ..run.states import TERMINAL_PHASES, RunState
from ..text.storable import stored_size
from .conditions import transition
from .context import Context
from .disclosure import redacted_state
from .lost_outputs import lost_outputs
from .messages import closing, summarise
from .mljob_conditions import conditions_of, waits_to_rerun
from .summary import StatusSummary
from .task_entry import TaskEntry
from .tasks import MAX_TASKS_BYTES, RunTasks, TaskSummary, first_failure, within_bounds
from .tasks import summarise as summarise_tasks
from .whole_seconds import whole_seconds
from .workloads import workload

MAX_STATUS_BYTES = 64 * 1024
"""The limit of the whole status, in bytes of JSON in etcd. The tasks get the bytes that the other
parts of the status leave. Each of these parts has its own limit.
"""
RESERVED_BYTES = 256
"""Bytes that are reserved for the JSON between the parts, and for the count of omitted tasks."""
_LARGE = frozenset({"outputs", "outputsOmitted", "history", "backfill", "upstreams"})
"""The fields that may be so large that less than ``MAX_TASKS_BYTES`` is left for the tasks. A
status with none of these fields always has more room than that, so its size is not computed.
"""


def report(
    state: State,
    *,
    ui_url: str | None,
    outputs: Outputs | None = None,
    redaction: Redaction = NOTHING_HIDDEN,
    run_tasks: RunTasks | None = None,
) -> dict[str, Any]:
    """Return the new status of the MLJob, as JSON.

    Args:
        state: The state of the MLJob.
        ui_url: The base URL of Airflow's UI. With None, the stored URL of the run stays.
        outputs: The outputs that the run has published, or None if this call has no new outputs.
            With None, the stored outputs stay, unless the run's outputs can't be read any more. In
            this case, ``outputsOmitted`` says why.
        redaction: The texts from Secrets that the status must not show.
        run_tasks: A cache of the run's :class:`.RunTask` objects, or None if there is no cache.
    """
    state, outputs = redacted_state(state, outputs, redaction)
    context = _context(state, ui_url, run_tasks)
    summary = summarise(context)
    old = state.current.status
    status = (with_retry_handled(old, state.job) if state.handles_retry else old).model_copy(
        update={
            **_verdict(state, summary),
            **_of_run(context),
            **_of_tasks(context, summary),
            **workload(state.job).fields(state.observed_run, context.url),
            **_of_outputs(state, outputs),
            "conditions": transition(old.conditions, conditions_of(state, summary), state.job.generation, state.now),
        }
    )
    return _within_bounds(
        _with_completion(context, _with_ended_attempt(context, status, summary), summary), context.tasks
    )


def _context(state: State, ui_url: str | None, run_tasks: RunTasks | None) -> Context:
    url = None
    if state.current.submitted:
        url = state.current.status.dag_run_url if ui_url is None else workload(state.job).url(ui_url, state.run)
    return Context(state, _tasks(state.current.status, state.observed_run, url, run_tasks), url)


def _tasks(
    old: MLJobStatus, observed_run: ObservedRun, url: str | None, run_tasks: RunTasks | None
) -> TaskSummary | None:
    """Return the :class:`.TaskSummary` of the run, or None if the status keeps the stored tasks.
    The status keeps the stored tasks in two cases:

    - The operator knows no task of the run now.
    - The operator knows only some tasks now, for example after a restart, and the stored status
      counts all tasks.
    """
    if not observed_run.tasks or (old.progress is not None and not observed_run.complete):
        return None
    return summarise_tasks(observed_run, url, run_tasks)


def _verdict(state: State, summary: StatusSummary) -> dict[str, Any]:
    old = state.current.status
    suspended = summary.phase is Phase.SUSPENDED
    # While a finished MLJob waits to run its new spec, observedGeneration stays at the old spec. So
    # an operator that starts meanwhile sees that this MLJob needs another run.
    unobserved = state.change is SpecChange.RENEWED and waits_to_rerun(state)
    return {
        "observed_generation": old.observed_generation if unobserved else state.job.generation,
        "phase": summary.phase,
        "reason": summary.reason,
        "message": summary.message,
        "active_since": None if suspended else old.active_since or state.now.replace(microsecond=0),
    }


def _of_run(context: Context) -> dict[str, Any]:
    state = context.state
    new: dict[str, Any] = {}
    if state.current.submitted:
        new |= {"dag_run_url": context.url, "submit_time": _submit_time(state)}
        if (run := state.observed_run.shown_run) is not None:
            new["dag_run_state"] = str(run.state)
            new["start_time"] = whole_seconds(run.start) or state.current.status.start_time
    newest = _newest(state.observed_run)
    if newest is not None and newest.occurred_at > LONG_AGO:
        new |= {"last_event_time": newest.occurred_at, "status_source": newest.source}
    return new


def _of_tasks(context: Context, summary: StatusSummary) -> dict[str, Any]:
    state, tasks = context.state, context.tasks
    new: dict[str, Any] = {}
    if tasks is not None:
        totals = state.observed_run.complete or state.observed_run.listed
        new = {
            "progress": tasks.progress if totals else None,
            "percent": _percent(state, tasks) if totals else None,
            "current_task": tasks.current_task,
            "task_counts": tasks.counts,
            "tasks_omitted": None,
        }
    if not state.current.open or state.stage is Stage.ENDED:
        new["current_task"] = _failed_task(state, summary)
    return new


def _percent(state: State, tasks: TaskSummary) -> int | None:
    """Return how much of the run has succeeded, in percent, or None if no task is known. The
    percentage does not fall below the stored percentage, unless the run has failed.
    """
    run, before = state.observed_run.shown_run, state.current.status.percent
    if tasks.percent is None or before is None or (run is not None and run.state is RunState.FAILED):
        return tasks.percent
    return max(before, tasks.percent)


def _failed_task(state: State, summary: StatusSummary) -> str | None:
    if state.current.finished:
        return state.current.status.current_task
    if summary.phase is not Phase.FAILED or summary.reason in CANCEL_REASONS:
        return None
    failure = first_failure(state.observed_run)
    return failure.task_id if failure is not None else None


def _of_outputs(state: State, outputs: Outputs | None) -> dict[str, Any]:
    if outputs is None:
        lost = lost_outputs(state)
        return {"outputs": None, "outputs_omitted": [lost]} if lost is not None else {}
    return {"outputs": dict(outputs.values) or None, "outputs_omitted": list(outputs.omitted) or None}


def _with_ended_attempt(context: Context, status: MLJobStatus, summary: StatusSummary) -> MLJobStatus:
    """If the current attempt has ended and the MLJob has not ended, add the attempt to the history
    of the status. If this attempt failed, also increase ``failed_attempts``.
    """
    state = context.state
    if state.stage is not Stage.ENDED or summary.phase in TERMINAL_PHASES:
        return status
    entry = closing(context)
    failed = summary.reason == "RetryBackoff"
    return attempts.close(status, entry.phase, entry.reason, entry.message, context.ended_at, failed=failed)


def _with_completion(context: Context, status: MLJobStatus, summary: StatusSummary) -> MLJobStatus:
    """If the MLJob has just ended, set the completion time of the status. If the MLJob has just
    ended because its last attempt failed, also increase ``failed_attempts``. If the MLJob had ended
    before and the end time of the run is known, set the completion time to this end time.
    """
    state, run = context.state, context.state.observed_run.run
    if summary.phase not in TERMINAL_PHASES:
        return status
    if state.current.finished:
        # When the operator stored the final phase, Airflow may not have stored the run's end time
        # yet. The operator learns the end time at the latest when it lists the run's tasks for the
        # last time.
        has_end = run is not None and run.end is not None
        return (
            status.model_copy(update={"completion_time": whole_seconds(run.end)})
            if has_end and run is not None
            else status
        )
    failed = summary.phase is Phase.FAILED and state.stage is Stage.ENDED and state.ending.cancelled_for is None
    count = (status.failed_attempts or 0) + 1 if failed else status.failed_attempts
    return status.model_copy(update={"completion_time": whole_seconds(context.ended_at), "failed_attempts": count})


def _submit_time(state: State) -> datetime | None:
    """Return when Airflow queued the attempt's run, on Airflow's clock, to the microsecond. If this
    time is not known, return the stored submit time. If no submit time is stored, return
    ``occurred_at`` of the run's :class:`.RunFact`, or None if the operator knows no state of the
    run.

    After the end of the attempt, return the stored submit time. Airflow's queue time may be later,
    because somebody may have cleared the run.
    """
    stored, run = state.current.status.submit_time, state.observed_run.run
    if run is None or attempts.ended_at(state.current.status) is not None:
        return stored
    return run.queued_at or stored or run.occurred_at


def _newest(observed_run: ObservedRun) -> RunFact | TaskFact | None:
    facts: list[RunFact | TaskFact] = list(observed_run.tasks.values())
    if observed_run.shown_run is not None:
        facts.append(observed_run.shown_run)
    return max(facts, key=lambda fact: fact.occurred_at, default=None)


def _within_bounds(status: MLJobStatus, tasks: TaskSummary | None) -> dict[str, Any]:
    """Return the status as JSON of at most ``MAX_STATUS_BYTES`` bytes. Tasks that don't fit are
    left out, and ``tasksOmitted`` has their number. If ``tasks`` is None, use the tasks of
    ``status``.
    """
    entries = tasks.entries if tasks is not None else [TaskEntry.of(task) for task in status.tasks or ()]
    data = _without_tasks(status)
    room = MAX_TASKS_BYTES if _LARGE.isdisjoint(data) else MAX_STATUS_BYTES - stored_size(data) - RESERVED_BYTES
    kept = within_bounds(entries, room)
    if tasks is not None or status.tasks is not None:
        data["tasks"] = [entry.content for entry in kept]
    if omitted := (status.tasks_omitted or 0) + len(entries) - len(kept):
        data["tasksOmitted"] = omitted
    return data


def _without_tasks(status: MLJobStatus) -> dict[str, Any]:
    data = status.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"tasks", "tasks_omitted"})
    if counts := data.get("taskCounts"):
        data["taskCounts"] = {key: value for key, value in counts.items() if value or key == "total"}
    return data
