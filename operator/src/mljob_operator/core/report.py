"""The whole status of an MLJob, from the object, the ledger of its run and what stands in the way."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any
from urllib.parse import quote

from mljob_contract.mljob import MLJobStatus, Phase

from . import attempts, backfill_report, halt
from .conditions import Wanted, transition
from .disclosure import disclosed
from .facts import RunFact, TaskFact
from .instance import OWN
from .ledger import LONG_AGO, Ledger
from .outputs import Outputs
from .phases import ACTIVE_TASK, TERMINAL_PHASES, TaskState, run_phase
from .placement import LOST
from .progress import MAX_SUBJECT, Summary, error_text, first_failure, input_url, summarise, within_bounds
from .redaction import OPEN, Redaction
from .situation import RESUMING, Situation, Stop
from .storable import cut, stored_size
from .story import Story

_REFUSED = (
    "dagId, conf, confFrom, airflowRef, backfill or logicalDate changed after the run was submitted, and runPolicy is Once: the change is not acted on. "
    "Create an MLJob with another name to run the new spec, or set runPolicy to OnChange."
)
_UNREADABLE = "{}. A run that is there is not touched by it. Change the spec to have it acted on."
MAX_STATUS_BYTES = 64 * 1024
"""Of the whole status, as JSON in etcd. Each part has its share; the tasks get what the others leave."""
MAX_MESSAGE = 1024
MAX_MESSAGE_BYTES = 2048
"""Of a message, which the conditions repeat."""
SLACK = 256
"""Bytes for what joins the parts, and for the count of what is left out."""
NOT_READ = " Its outputs could not be read from Airflow yet; they follow."


def dag_url(base_url: str, dag_id: str) -> str:
    """The DAG's page in Airflow's UI; Airflow's REST API has no URLs in its answers."""
    return f"{base_url.rstrip('/')}/dags/{quote(dag_id, safe='')}"


def run_url(base_url: str, dag_id: str, run_id: str) -> str:
    """The run's page."""
    return f"{dag_url(base_url, dag_id)}/runs/{quote(run_id, safe='')}"


def _url(s: Situation, base_url: str) -> str:
    """Where in Airflow to see what the MLJob runs."""
    if s.job.is_backfill:
        return f"{dag_url(base_url, s.dag_id)}/{backfill_report.BACKFILLS}"
    return run_url(base_url, s.dag_id, s.run_id)


def report(
    s: Situation, *, ui_url: str | None, outputs: Outputs | None = None, redaction: Redaction = OPEN
) -> dict[str, Any]:
    """The status to be stored, as JSON, without what ``redaction`` hides.

    A terminal phase is absorbing for its attempt: what comes later may complete the tasks and outputs, never the verdict.
    ``ui_url`` is where people find the Airflow that the run is in; None: that is not known any more.
    """
    s, outputs = disclosed(s, outputs, redaction)
    old = s.status
    url = None
    if s.submitted:
        url = _url(s, ui_url) if ui_url is not None else old.dag_run_url
    summary = _summary(old, s.ledger, url)
    story = _story(s, summary, url)
    ended = story.phase in TERMINAL_PHASES

    new: dict[str, Any] = {
        # A finished MLJob that waits to run another spec is not done with that: it is looked at again, also after a restart.
        "observed_generation": s.job.generation if s.kept_from_running_again is None else old.observed_generation,
        "phase": story.phase,
        "reason": story.reason,
        "message": story.message,
        "active_since": None if story.phase is Phase.SUSPENDED else old.active_since or s.now.replace(microsecond=0),
    }
    if s.submitted:
        new |= {"dag_run_url": url, "submit_time": _submit_time(s)}
    if s.submitted and (run := s.ledger.shown_run) is not None:
        new["dag_run_state"] = str(run.state)
        new["start_time"] = _whole(run.start) or old.start_time
    newest = _newest(s.ledger)
    if newest is not None and newest.at > LONG_AGO:
        new |= {"last_event_time": newest.at, "status_source": newest.source}
    if summary is not None:
        totals = s.ledger.complete or s.ledger.listed
        new |= {
            "progress": summary.progress if totals else None,
            "percent": summary.percent if totals else None,
            "current_task": summary.current_task,
            "task_counts": summary.counts,
            "tasks": summary.tasks,
            "tasks_omitted": None,
        }
    if s.ledger.course is not None:
        new |= backfill_report.fields(s.ledger.course, url)
    if ended or s.over:
        new["current_task"] = None
    if outputs is not None:
        new["outputs"] = dict(outputs.values) or None
        new["outputs_omitted"] = list(outputs.omitted) or None
    status = old.model_copy(update=new)

    # An event tells of the end before Airflow has stored when it was: its word comes with the last look at the tasks.
    end = s.ledger.run.end or s.ledger.run.at if s.ledger.run is not None and s.ledger.over else s.now
    if s.over and not ended:
        entry = _entry(s)
        status = attempts.close(
            status, entry.phase, entry.reason, entry.message, end, failed=story.reason == "RetryBackoff"
        )
    if ended and not s.finished:
        status = status.model_copy(
            update={
                "completion_time": _whole(end),
                "failed_attempts": (old.failed_attempts or 0) + 1
                if story.phase is Phase.FAILED and s.over and s.ending is None
                else old.failed_attempts,
            }
        )
    elif ended and s.ledger.run is not None and s.ledger.run.end is not None:
        status = status.model_copy(update={"completion_time": _whole(s.ledger.run.end)})
    status = status.model_copy(
        update={"conditions": transition(old.conditions, _conditions(s, story), s.job.generation, s.now)}
    )
    return _within_bounds(status)


def _submit_time(s: Situation) -> datetime | None:
    """When the attempt's run was queued, on Airflow's clock, to the microsecond: after the attempt's end, a later time tells that the run was cleared.
    An attempt that was given up before its run was there has none, whatever arrives later.
    """
    known, run = s.status.submit_time, s.ledger.run
    if run is None or attempts.ended_at(s.status) is not None:
        return known
    return run.created or known or run.at


def _summary(old: MLJobStatus, ledger: Ledger, url: str | None) -> Summary | None:
    """None keeps the old list: after a restart a few events know less than the status that was written before."""
    if not ledger.tasks or (old.progress is not None and not ledger.complete):
        return None
    return summarise(ledger, url)


def _story(s: Situation, summary: Summary | None, url: str | None) -> Story:
    story = _told(s, summary, url)
    return replace(story, message=cut(story.message, MAX_MESSAGE, MAX_MESSAGE_BYTES))


def _told(s: Situation, summary: Summary | None, url: str | None) -> Story:
    status, trouble = s.job.status, s.effort.trouble
    if s.finished:
        message = status.message or ""
        if s.effort.over_since is not None:
            message = message.removesuffix(NOT_READ)
        return Story(status.phase or Phase.FAILED, status.reason or str(status.phase), message)
    if s.over:
        return _end(s, summary)
    if s.open and (s.submitted or s.stop is not None):
        if s.stop is not None:
            stuck = trouble is not None and not trouble.starting
            return Story(Phase.CANCELLING, s.stop, trouble.message if trouble and stuck else _cancelling(s, s.stop))
        return _under_way(s, summary, url)
    if s.stop is not None:
        return _stopped(s, s.stop)
    if s.due and (obstacle := s.obstacle) is not None:
        return Story(Phase.PENDING, obstacle.reason, obstacle.message)
    if trouble is not None:
        return Story(Phase.PENDING, trouble.reason, trouble.message)
    if (at := s.next_attempt_at) is not None and s.now < at and not s.open:
        last = (status.history or [])[-1]
        return Story(Phase.PENDING, "RetryBackoff", _retry_message(s, last.message, status.failed_attempts or 0, at))
    if s.announced_in_vain and s.effort.unknown_until is not None and not s.absent:
        return Story(
            Phase.PENDING,
            "Submitting",
            f"Waiting until {s.effort.unknown_until:%H:%M:%S} UTC for the submission before, which may still reach Airflow; then a {_what(s)} of DAG "
            f"{s.dag_id} is submitted.",
        )
    return Story(Phase.PENDING, "Submitting", f"Submitting a {_what(s)} of DAG {s.dag_id}.")


def _under_way(s: Situation, summary: Summary | None, url: str | None) -> Story:
    status, ledger = s.job.status, s.ledger
    if s.lost:
        return Story(
            _known_phase(status),
            LOST,
            f"AirflowInstance {s.airflow}, in which the run is, was deleted: what has become of the run is not known. Create it again to have the run followed."
            if s.airflow != OWN
            else "The run is in the Airflow of the operator's settings, where MLJOB_AIRFLOW_URL is not set any more: set it again to have the run followed.",
        )
    if s.vanished and s.airflow in s.around.not_ready:
        return Story(
            _known_phase(status),
            "RunsVanished",
            f"Airflow says that it has no such {_what(s)}. It says so of many MLJobs at once, so the {_what(s)} does not count as deleted, and is asked for "
            "again each minute. Whoever runs the platform can say how to go on.",
        )
    if (end := s.end_unasked) is not None and not ledger.over:
        why = f" {trouble.message}" if (trouble := s.effort.trouble) is not None else ""
        return Story(
            Phase.SUSPENDED if status.phase is Phase.SUSPENDED else Phase.RUNNING,
            "EndUnconfirmed",
            f"An event says that the {_what(s)} has ended ({end.state}). That counts when Airflow confirms it.{why}",
        )
    run = ledger.shown_run
    if run is None:
        # After a restart, before Airflow has answered: what was written stands.
        if status.phase in (Phase.QUEUED, Phase.RUNNING, Phase.SUSPENDED):
            return Story(status.phase, status.reason or "Submitted", status.message or "")
        return Story(Phase.QUEUED, "Submitted", "Airflow has accepted the run.")
    if ledger.course is not None and s.pause and s.paused_as_wanted:
        return backfill_report.suspended(ledger.course)
    if ledger.course is not None and s.pause is not None and not s.paused_as_wanted:
        return backfill_report.being_paused(s, ledger.course)
    if run_phase(run.state) is Phase.QUEUED:
        if s.effort.halt is not None:
            return Story(Phase.QUEUED, s.effort.halt, halt.told(s.effort.halt, s.dag_id, _what(s)))
        if ledger.course is not None:
            return backfill_report.under_way(ledger.course)
        return Story(Phase.QUEUED, "Queued", "Airflow has accepted the run; its first task has not started.")
    if ledger.course is not None:
        return backfill_report.under_way(ledger.course)
    if ledger.over:
        why = f" {trouble.message}" if (trouble := s.effort.trouble) is not None else ""
        return Story(
            Phase.RUNNING,
            "CollectingOutputs",
            f"The run has ended ({run.state}); its tasks and outputs are being read.{why}",
        )
    if s.effort.halt is not None:
        return Story(Phase.RUNNING, s.effort.halt, halt.told(s.effort.halt, s.dag_id, _what(s)))
    return _running(ledger, summary, url)


def _known_phase(status: MLJobStatus) -> Phase:
    """The phase that stands while Airflow tells nothing new of the run."""
    return status.phase if status.phase in (Phase.RUNNING, Phase.SUSPENDED) else Phase.QUEUED


def _end(s: Situation, summary: Summary | None) -> Story:
    """What the end of the attempt means for the MLJob: its own end, or that another attempt may follow."""
    if s.succeeded:
        if s.ledger.course is not None:
            return backfill_report.succeeded(s.ledger.course)
        unread = "" if s.effort.over_since is not None or s.job.deleting else NOT_READ
        return Story(Phase.SUCCEEDED, "Succeeded", f"The run succeeded{_of_tasks(summary)}.{unread}")
    if s.ending is not None:
        return _stopped(s, s.ending)
    failure = _entry(s)
    limit, failures = s.job.spec.backoff_limit, (s.job.status.failed_attempts or 0) + 1
    if s.retries_left:
        run = s.ledger.run
        at = ((run.end or run.at) if run is not None else s.now).replace(microsecond=0) + attempts.retry_delay(failures)
        return Story(Phase.PENDING, "RetryBackoff", _retry_message(s, failure.message, failures, at))
    if limit:
        return Story(
            Phase.FAILED,
            "BackoffLimitExceeded",
            f"{failures} attempts failed (backoffLimit {limit}). The last one: {failure.message}",
        )
    return failure


def _entry(s: Situation) -> Story:
    """How the attempt ended, for the history."""
    if s.ending is not None:
        return Story(Phase.CANCELLED, s.ending, _why(s, s.ending))
    if s.ledger.gone:
        return Story(
            Phase.FAILED,
            "DagRunDeleted",
            f"The {_what(s)} was deleted in Airflow. Delete and create the MLJob to run it again.",
        )
    return _failed(s.ledger) if s.ledger.course is None else backfill_report.failed(s.ledger.course)


def _retry_message(s: Situation, message: str, failures: int, at: datetime) -> str:
    left = s.job.spec.backoff_limit - failures + 1
    what = "one more attempt" if left == 1 else f"up to {left} more attempts"
    return f"Attempt {s.job.status.attempts} failed; {what}, the next at {at:%H:%M:%S} UTC. {message}"


def _stopped(s: Situation, stop: Stop) -> Story:
    """Nothing runs any more, or never did."""
    match stop:
        case Stop.DELETED:
            gone = (
                f"The {_what(s)} is not in Airflow any more."
                if s.ledger.gone and s.submitted
                else f"The {_what(s)} was cancelled because the MLJob was deleted."
            )
            return Story(
                Phase.CANCELLED, "Cancelled", gone if s.open else "The MLJob was deleted; it has no run in progress."
            )
        case Stop.CANCEL:
            return Story(Phase.CANCELLED, stop, _why(s, stop))
        case Stop.DEADLINE | Stop.PRE_RUNNING:
            return Story(Phase.FAILED, stop, _why(s, stop))
        case Stop.SUSPEND if s.job.spec.suspend:
            return Story(Phase.SUSPENDED, "Suspended", "The MLJob is suspended: set spec.suspend to false to run it.")
        case _:
            return Story(Phase.PENDING, "Submitting", f"{_why(s, stop)} The next attempt is being submitted.")


def _why(s: Situation, stop: Stop) -> str:
    spec = s.job.spec
    match stop:
        case Stop.DELETED:
            return "The MLJob was deleted."
        case Stop.CANCEL:
            return "The MLJob was cancelled: spec.cancel is true."
        case Stop.DEADLINE:
            return f"The MLJob was active for longer than activeDeadlineSeconds ({spec.active_deadline_seconds} s)."
        case Stop.PRE_RUNNING:
            why = s.effort.kept_by or (halt.told(s.effort.halt, s.dag_id, _what(s)) if s.effort.halt else "")
            return f"No task had started after preRunningDeadlineSeconds ({spec.pre_running_deadline_seconds} s). {why}".rstrip()
        case Stop.SUSPEND:
            return "The MLJob was suspended."
        case Stop.SPEC_CHANGED:
            return f"The spec changed (runPolicy {spec.run_policy})."


def _cancelling(s: Situation, stop: Stop) -> str:
    how = _how_cancelled(s) if s.submitted else f"Checking Airflow for a {_what(s)} to cancel."
    return how if stop is Stop.DELETED else f"{_why(s, stop)} {how}"


def _running(ledger: Ledger, summary: Summary | None, url: str | None) -> Story:
    if asking := [fact for fact in ledger.tasks.values() if fact.awaits_input]:
        return _awaiting_input(asking, summary, url)
    waiting = [fact for fact in ledger.tasks.values() if fact.shown_state is TaskState.UP_FOR_RETRY]
    if waiting:
        fact = max(waiting, key=lambda fact: (fact.at, fact.key))
        error = error_text(fact)
        return Story(
            Phase.RUNNING,
            "TaskRetrying",
            f"Task {_name(fact)} failed at try {fact.try_number} and will be retried{': ' + error if error else '.'}",
        )
    if deferred := _nothing_but(ledger, TaskState.DEFERRED):
        return Story(
            Phase.RUNNING,
            "TaskDeferred",
            f"{_all_of(deferred)} deferred: waiting in the triggerer, without a worker{_of_tasks(summary)}.",
        )
    if rescheduled := _nothing_but(ledger, TaskState.UP_FOR_RESCHEDULE):
        return Story(
            Phase.RUNNING,
            "TaskRescheduled",
            f"{_all_of(rescheduled)} rescheduled: waiting for the next look, without a worker{_of_tasks(summary)}.",
        )
    if summary is not None and summary.current_task:
        return Story(Phase.RUNNING, "TaskRunning", f"Task {summary.current_task} is running{_of_tasks(summary)}.")
    return Story(Phase.RUNNING, "Running", "The run is in progress.")


def _awaiting_input(asking: list[TaskFact], summary: Summary | None, url: str | None) -> Story:
    """Whose turn it is: a person's."""
    first, *others = sorted(asking, key=lambda fact: (fact.start or fact.at, fact.key))
    subject = f": {cut(first.question.subject, MAX_SUBJECT)}" if first.question and first.question.subject else ""
    more = f" ({len(others)} more wait as well)" if others else ""
    where = f" Answer at {input_url(url, asking)}" if url else ""
    return Story(
        Phase.RUNNING,
        "AwaitingInput",
        f"Task {_name(first)} waits for a person's answer{more}{_of_tasks(summary)}{subject}{'' if subject.endswith(('.', '?', '!')) else '.'}{where}",
    )


def _nothing_but(ledger: Ledger, state: TaskState) -> list[TaskFact]:
    """The tasks in a state, where nothing else is going on."""
    active = [fact for fact in ledger.tasks.values() if fact.state in ACTIVE_TASK]
    if any(fact.state is not state for fact in active):
        return []
    return sorted(active, key=lambda fact: (fact.start or fact.at, fact.key))


def _all_of(facts: list[TaskFact]) -> str:
    """Several tasks, as the subject of a sentence."""
    return f"Task {_name(facts[0])}{f' and {len(facts) - 1} more are' if len(facts) > 1 else ' is'}"


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


def _how_cancelled(s: Situation) -> str:
    if s.job.is_backfill:
        return "Cancelling the backfill and its runs through Airflow's REST API."
    direct = not s.cancelled_by_dag or s.effort.cancel_dag_refused is not None
    if direct or s.effort.cancelled_directly_at is not None:
        why = s.effort.cancel_dag_refused
        return f"Cancelling the run through Airflow's REST API{f' ({why})' if why else ''}."
    return "Cancelling the run by the cancellation DAG."


def _what(s: Situation) -> str:
    """What the MLJob has in Airflow."""
    return "backfill" if s.job.is_backfill else "run"


def _name(fact: TaskFact) -> str:
    return fact.task_id if fact.map_index < 0 else f"{fact.task_id}[{fact.map_index}]"


def _of_tasks(summary: Summary | None) -> str:
    return f" ({summary.progress} tasks finished)" if summary and summary.progress else ""


def _conditions(s: Situation, story: Story) -> list[Wanted]:
    """Reduce the story to conditions, in one place."""
    phase, trouble, obstacle = story.phase, s.effort.trouble, s.obstacle
    ended = phase in TERMINAL_PHASES
    suspended = phase is Phase.SUSPENDED
    # As in the story, what is in the way now counts, whatever went wrong before.
    in_the_way = obstacle if s.due else None
    hopeless = in_the_way.stalls if in_the_way else trouble is not None and trouble.stalls
    stuck = phase is Phase.PENDING and hopeless
    wanted = []
    if phase is Phase.SUCCEEDED:
        wanted.append(Wanted("Complete", True, story.reason, story.message))
    if phase in (Phase.FAILED, Phase.CANCELLED):
        wanted.append(Wanted("Failed", True, story.reason, story.message))
    wanted += _suspension(s, story)
    unapplied = _unapplied(s)
    wanted += unapplied
    if (waits_for := s.kept_from_running_again) is not None:
        wanted.append(Wanted("SpecApplied", False, waits_for.reason, waits_for.message))
        wanted.append(Wanted("Reconciling", not waits_for.stalls, waits_for.reason, waits_for.message))
        return [*wanted, Wanted("Stalled", waits_for.stalls, waits_for.reason, waits_for.message)]
    # What does not hold needs no explanation; `kubectl describe` stays short.
    moving = not (ended or stuck or (suspended and s.job.spec.suspend))
    wanted.append(Wanted("Reconciling", moving, story.reason, story.message if moving else ""))
    if phase is Phase.SUCCEEDED and unapplied:
        # Something has succeeded, and it is not what the spec says: who waits for that waits in vain, and must not take it for done.
        wanted += [replace(condition, type="Stalled", holds=True) for condition in unapplied]
    else:
        stalled = stuck or phase in (Phase.FAILED, Phase.CANCELLED)
        wanted.append(Wanted("Stalled", stalled, story.reason, story.message if stalled else ""))
    return wanted


def _suspension(s: Situation, story: Story) -> list[Wanted]:
    """Whether the MLJob is suspended; of a backfill also that it is to be, or is to go on, and Airflow has not taken that yet."""
    suspended, ended = story.phase is Phase.SUSPENDED, story.phase in TERMINAL_PHASES
    pending = s.pause is not None and not s.paused_as_wanted and not ended
    wanted, settled = Stop.SUSPEND if s.pause else RESUMING, "Suspended" if suspended else "Resumed"
    reason = wanted if pending else settled
    told = any(condition.type == "Suspended" for condition in s.job.status.conditions or ())
    if not (suspended or pending or told):
        return []
    return [Wanted("Suspended", suspended, reason, story.message if suspended else "")]


def _unapplied(s: Situation) -> list[Wanted]:
    """What keeps the spec as it is now from being what runs, or ran."""
    if s.spec_refused:
        return [Wanted("SpecApplied", False, "RunPolicyOnce", _REFUSED)]
    if s.job.problem is not None and s.attempt is not None and not s.startable and not s.job.deleting:
        return [
            Wanted(
                "SpecApplied",
                False,
                "ValidationFailed",
                cut(_UNREADABLE.format(s.job.problem), MAX_MESSAGE, MAX_MESSAGE_BYTES),
            )
        ]
    return []


def _newest(ledger: Ledger) -> RunFact | TaskFact | None:
    facts: list[RunFact | TaskFact] = list(ledger.tasks.values())
    if ledger.shown_run is not None:
        facts.append(ledger.shown_run)
    return max(facts, key=lambda fact: fact.at, default=None)


def _whole(at: datetime | None) -> datetime | None:
    """Kubernetes times have whole seconds (metav1.Time)."""
    return at.replace(microsecond=0) if at else None


def _within_bounds(status: MLJobStatus) -> dict[str, Any]:
    """The status as JSON, with as many tasks as there is room for beside the rest."""
    tasks = status.tasks or []
    data = _as_json(status.model_copy(update={"tasks": None, "tasks_omitted": None}))
    kept = within_bounds(tasks, MAX_STATUS_BYTES - stored_size(data) - SLACK)
    omitted = (status.tasks_omitted or 0) + len(tasks) - len(kept)
    return data | _as_json(
        MLJobStatus.model_construct(tasks=kept if status.tasks is not None else None, tasks_omitted=omitted or None)
    )


def _as_json(status: MLJobStatus) -> dict[str, Any]:
    data = status.model_dump(mode="json", by_alias=True, exclude_none=True)
    if counts := data.get("taskCounts"):
        data["taskCounts"] = {key: value for key, value in counts.items() if value or key == "total"}
    return data
