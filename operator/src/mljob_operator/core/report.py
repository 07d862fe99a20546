"""The whole status of an MLJob, from the object, the ledger of its run and what stands in the way."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

from mljob_contract.mljob import MLJobStatus, Phase

from .conditions import Wanted, transition
from .decisions import Effort
from .facts import RunFact, TaskFact
from .job import Job
from .ledger import Ledger
from .phases import TERMINAL_PHASES, TaskState, run_phase
from .progress import Summary, error_text, first_failure, summarise


@dataclass(frozen=True, slots=True)
class Story:
    """Phase, and why, for people."""

    phase: Phase
    reason: str
    message: str


def run_url(base_url: str, dag_id: str, run_id: str) -> str:
    """The run's page in Airflow's UI; Airflow's REST API has no URLs in its answers."""
    return f"{base_url.rstrip('/')}/dags/{quote(dag_id, safe='')}/runs/{quote(run_id, safe='')}"


def report(
    job: Job,
    ledger: Ledger,
    effort: Effort,
    *,
    dag_id: str,
    run_id: str,
    ui_url: str,
    now: datetime,
    outputs: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The status to be stored, as JSON.

    A terminal phase is absorbing: what comes later may complete the tasks and outputs, never the verdict.
    """
    old = job.status
    submitted = old.submit_time is not None or ledger.run is not None
    url = run_url(ui_url, dag_id, run_id) if submitted else None
    summary = _summary(old, ledger, url)
    if old.phase in TERMINAL_PHASES:
        story = Story(old.phase, old.reason or str(old.phase), old.message or "")
    else:
        story = _story(job, ledger, effort, dag_id=dag_id, submitted=submitted, summary=summary)
    ended = story.phase in TERMINAL_PHASES

    new: dict[str, Any] = {
        "observed_generation": job.generation,
        "phase": story.phase,
        "reason": story.reason,
        "message": story.message,
        "conditions": transition(old.conditions, _conditions(story, effort), job.generation, now),
    }
    if submitted:
        new |= {
            "dag_id": dag_id,
            "dag_run_id": run_id,
            "dag_run_url": url,
            "attempts": 1,
            "submit_time": old.submit_time or _whole(now),
        }
    if ledger.run is not None:
        new["dag_run_state"] = str(ledger.run.state)
        new["start_time"] = _whole(ledger.run.start) or old.start_time
    if ended:
        # An event tells of the end before Airflow has stored when it was: its word comes with the last look at the tasks.
        end = ledger.run.end if ledger.run else None
        new["completion_time"] = _whole(end) or old.completion_time or _whole(now)
    newest = _newest(ledger)
    if newest is not None:
        new |= {"last_event_time": newest.at, "status_source": newest.source}
    if summary is not None:
        totals = ledger.complete or ledger.listed
        new |= {
            "progress": summary.progress if totals else None,
            "percent": summary.percent if totals else None,
            "current_task": None if ended else summary.current_task,
            "task_counts": summary.counts,
            "tasks": summary.tasks,
            "tasks_omitted": summary.omitted or None,
        }
    if outputs is not None:
        new["outputs"] = outputs
    status = old.model_copy(update=new)
    return _as_json(status)


def _summary(old: MLJobStatus, ledger: Ledger, url: str | None) -> Summary | None:
    """None keeps the old list: after a restart a few events know less than the status that was written before."""
    if not ledger.tasks or (old.progress is not None and not ledger.complete):
        return None
    return summarise(ledger, url)


def _story(job: Job, ledger: Ledger, effort: Effort, *, dag_id: str, submitted: bool, summary: Summary | None) -> Story:
    cancelling = job.deleting and job.spec.deletion_policy == "Cancel"
    trouble = effort.trouble
    if ledger.gone and submitted:
        if cancelling:
            return Story(Phase.CANCELLED, "Cancelled", "The run is not in Airflow any more.")
        return Story(
            Phase.FAILED,
            "DagRunDeleted",
            "The run was deleted in Airflow. Delete and create the MLJob to run it again.",
        )
    if not submitted:
        if cancelling:
            return Story(
                Phase.CANCELLING, "Cancelling", trouble.message if trouble else "Checking Airflow for a run to cancel."
            )
        if trouble is not None:
            return Story(Phase.PENDING, trouble.reason, trouble.message)
        return Story(Phase.PENDING, "Submitting", f"Submitting a run of DAG {job.spec.dag_id}.")
    if ledger.run is None:
        # After a restart, before Airflow has answered: what was written stands.
        if cancelling:
            return Story(Phase.CANCELLING, "Cancelling", trouble.message if trouble else "Cancelling the run.")
        return Story(job.status.phase or Phase.QUEUED, job.status.reason or "Submitted", job.status.message or "")

    state = ledger.run.state
    phase = run_phase(state, cancelling=cancelling)
    if phase is Phase.CANCELLING:
        return Story(phase, "Cancelling", trouble.message if trouble else _how_cancelled(effort))
    if phase is Phase.CANCELLED:
        return Story(phase, "Cancelled", "The run was cancelled because the MLJob was deleted.")
    if phase is Phase.QUEUED:
        if effort.paused:
            return Story(
                phase,
                "DagPaused",
                f"The run waits because DAG {dag_id} is paused. Unpause it in Airflow's UI or with `airflow dags unpause {dag_id}`.",
            )
        return Story(phase, "Queued", "Airflow has accepted the run; its first task has not started.")
    if phase is Phase.RUNNING:
        return _running(ledger, summary)
    if phase is Phase.SUCCEEDED:
        return Story(phase, "Succeeded", f"The run succeeded{_of_tasks(summary)}.")
    return _failed(ledger)


def _running(ledger: Ledger, summary: Summary | None) -> Story:
    waiting = [fact for fact in ledger.tasks.values() if fact.shown_state is TaskState.UP_FOR_RETRY]
    if waiting:
        fact = max(waiting, key=lambda fact: (fact.at, fact.key))
        error = error_text(fact)
        return Story(
            Phase.RUNNING,
            "TaskRetrying",
            f"Task {_name(fact)} failed at try {fact.try_number} and will be retried{': ' + error if error else '.'}",
        )
    if summary is not None and summary.current_task:
        return Story(Phase.RUNNING, "TaskRunning", f"Task {summary.current_task} is running{_of_tasks(summary)}.")
    return Story(Phase.RUNNING, "Running", "The run is in progress.")


def _failed(ledger: Ledger) -> Story:
    fact = first_failure(ledger)
    if fact is None:
        return Story(
            Phase.FAILED,
            "DagRunFailed",
            "The run failed without a failed task: it ran into dagrun_timeout, or was set failed by hand. Its page in Airflow says more.",
        )
    others = sum(f.shown_state is TaskState.FAILED for f in ledger.tasks.values()) - 1
    error = error_text(fact)
    more = f" (and {others} more failed)" if others else ""
    return Story(
        Phase.FAILED,
        "TaskFailed",
        f"Task {_name(fact)} failed at try {fact.try_number}{more}{': ' + error if error else '; its log says why.'}",
    )


def _how_cancelled(effort: Effort) -> str:
    if effort.cancelled_directly_at is not None:
        why = effort.cancel_dag_refused
        return f"Cancelling the run through Airflow's REST API{f' ({why})' if why else ''}."
    return "Cancelling the run by the cancellation DAG."


def _name(fact: TaskFact) -> str:
    return fact.task_id if fact.map_index < 0 else f"{fact.task_id}[{fact.map_index}]"


def _of_tasks(summary: Summary | None) -> str:
    return f" ({summary.progress} tasks finished)" if summary and summary.progress else ""


def _conditions(story: Story, effort: Effort) -> list[Wanted]:
    """Reduce the story to conditions, in one place."""
    phase = story.phase
    ended = phase in TERMINAL_PHASES
    stuck = phase is Phase.PENDING and effort.trouble is not None and effort.trouble.retry_at is None
    wanted = []
    if phase is Phase.SUCCEEDED:
        wanted.append(Wanted("Complete", True, story.reason, story.message))
    if phase in (Phase.FAILED, Phase.CANCELLED):
        wanted.append(Wanted("Failed", True, story.reason, story.message))
    for name, holds in (("Reconciling", not ended and not stuck), ("Stalled", stuck or phase is Phase.FAILED)):
        # What does not hold needs no explanation; `kubectl describe` stays short.
        wanted.append(Wanted(name, holds, story.reason, story.message if holds else ""))
    return wanted


def _newest(ledger: Ledger) -> RunFact | TaskFact | None:
    facts: list[RunFact | TaskFact] = list(ledger.tasks.values())
    if ledger.run is not None:
        facts.append(ledger.run)
    return max(facts, key=lambda fact: fact.at, default=None)


def _whole(at: datetime | None) -> datetime | None:
    """Kubernetes times have whole seconds (metav1.Time)."""
    return at.replace(microsecond=0) if at else None


def _as_json(status: MLJobStatus) -> dict[str, Any]:
    data = status.model_dump(mode="json", by_alias=True, exclude_none=True)
    if counts := data.get("taskCounts"):
        data["taskCounts"] = {key: value for key, value in counts.items() if value or key == "total"}
    return data
