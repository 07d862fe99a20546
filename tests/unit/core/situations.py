"""Functions with which a test describes the situation of an MLJob, and functions that return what
the operator does in a situation::

    decided(job(suspend=True), run=running(), announced="Suspending")   # the next action
    reported(job(), run=failed(task("fit", "failed")))                  # the next status, as a dict

Another function returns the Events for a change of a status::

    events(old_status, new_status)                                      # (type, reason, message)

This module also exports the classes of the operator's actions, such as ``Wait``, so that fewer
tests import from the operator's modules.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic.alias_generators import to_camel

from mljob_contract.airflow_instance import AccessRule, Credentials
from mljob_contract.backfill_marker import Marker
from mljob_contract.mljob import (
    FINALIZER,
    FINISHED,
    RETRY_REQUESTED_AT,
    UNOBSERVED,
    MLJobStatus,
    ReprocessBehavior,
    StatusSource,
    UpstreamRun,
)
from mljob_contract.run_id import RunId
from mljob_operator.controllers.airflow_instance.registry import NOT_ASKED
from mljob_operator.core.airflow_instance.access import NAMESPACE_LABEL, Namespace
from mljob_operator.core.airflow_instance.catalog import NO_AIRFLOW, AirflowCatalog
from mljob_operator.core.airflow_instance.instance import Instance
from mljob_operator.core.mljob import attempts
from mljob_operator.core.mljob.actions import (
    Action,
    AddFinalizer,
    BeginAttempt,
    CancelDirectly,
    CheckCancellation,
    ClearFailed,
    CountRuns,
    Expire,
    HandleChildren,
    ListTasks,
    LookUpRun,
    NoteRetention,
    Pause,
    ReadQuestions,
    ReadUpstreams,
    Release,
    Store,
    Submit,
    TakeOver,
    TriggerCancellation,
    Wait,
)
from mljob_operator.core.mljob.classification.inputs import Inputs
from mljob_operator.core.mljob.classification.state import Stage, State, classify
from mljob_operator.core.mljob.decisions import decide
from mljob_operator.core.mljob.identity import dag_run_id, pin
from mljob_operator.core.mljob.resource.finished import record
from mljob_operator.core.mljob.resource.job import Job
from mljob_operator.core.mljob.run_count import RunCount
from mljob_operator.core.mljob.transient_state import CancelRequests, LastError, TransientState
from mljob_operator.core.mljob.upstream import Upstream
from mljob_operator.core.run.backfill import Backfill, BackfillRun, ObservedBackfill, as_one_run
from mljob_operator.core.run.facts import Details, Failure, Question, Report, RunFact, TaskFact, latest_report
from mljob_operator.core.run.halt import Halt
from mljob_operator.core.run.observed_run import ObservedRun
from mljob_operator.core.run.outputs import Outputs
from mljob_operator.core.run.run_key import RunKey
from mljob_operator.core.run.states import RunState, TaskState
from mljob_operator.core.run.vanishing import vanished_message
from mljob_operator.core.status.build import report
from mljob_operator.core.status.events import events_of

__all__ = [
    "NOT_ASKED_YET",
    "NOW",
    "NO_DEFAULT",
    "AddFinalizer",
    "BeginAttempt",
    "CancelDirectly",
    "CheckCancellation",
    "ClearFailed",
    "CountRuns",
    "Expire",
    "Given",
    "HandleChildren",
    "ListTasks",
    "LookUpRun",
    "MLJob",
    "NoteRetention",
    "Pause",
    "ReadQuestions",
    "ReadUpstreams",
    "Release",
    "Stage",
    "Store",
    "Submit",
    "TakeOver",
    "TriggerCancellation",
    "Wait",
    "ago",
    "attempt",
    "backfill",
    "backfill_job",
    "cancelling",
    "catalog",
    "classified",
    "decided",
    "ended",
    "error",
    "events",
    "failed",
    "finished",
    "given",
    "instance",
    "job",
    "later",
    "new",
    "not_found",
    "queued",
    "reported",
    "retrying",
    "run_event",
    "run_number",
    "running",
    "status_of",
    "stored",
    "submitting",
    "succeeded",
    "suspended",
    "task",
    "under_way",
    "unread",
    "upstream",
    "upstream_run",
    "upstream_that",
    "vanished_message",
]

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
PREFIX, NAMESPACE, NAME, UID = "mljob", "team-a", "train", "uid-1"
UI_URL = "https://airflow.example.com"
NO_DEFAULT = NO_AIRFLOW
"""The value of the argument ``default`` of :func:`catalog` if there is no default Airflow."""
NOT_ASKED_YET = NOT_ASKED.message
"""The message that says why an Airflow can't be used before it has answered for the first time."""


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


CREATED, ACTIVE, QUEUED, STARTED = ago(3600), ago(600), ago(590), ago(580)
"""Four default times: of the MLJob's creation, of its activation, and of the queueing and the start
of its run.
"""
MINUTES_AGO, A_WHILE_AGO, LATELY, JUST_NOW, SOON = ago(300), ago(50), ago(5), ago(1), later(5)


# The MLJob


@dataclass(frozen=True)
class MLJob:
    """An MLJob without its status.

    Attributes:
        deleted: The time of the deletion request; None if there is no request.
        retry: The value of the annotation that requests a retry; None for no annotation.
        restored: Whether the MLJob lost its status when it was restored from a backup. If True, the
            annotation mljob.dev/finished records how the MLJob ended before the backup.
    """

    spec: Mapping[str, Any]
    has_finalizer: bool = True
    deleted: datetime | None = None
    generation: int = 1
    created: datetime = CREATED
    retry: str | None = None
    restored: bool = False

    def body(self, status: Mapping[str, Any]) -> dict[str, Any]:
        """Return the JSON object of the MLJob with the status ``status``.

        If ``restored`` is True, ``status`` is the lost status, and must be the status of a finished
        MLJob. The object then has the status of a new MLJob, and an annotation with a record of
        ``status``.
        """
        annotations: dict[str, str] = {}
        if self.retry is not None:
            annotations[RETRY_REQUESTED_AT] = self.retry
        if self.restored:
            ended = record(MLJobStatus.model_validate(status))
            assert ended is not None, "only a finished MLJob has a record"
            annotations[FINISHED], status = ended, UNOBSERVED
        metadata: dict[str, Any] = {
            "namespace": NAMESPACE,
            "name": NAME,
            "uid": UID,
            "generation": self.generation,
            "resourceVersion": "7",
            "finalizers": [FINALIZER] if self.has_finalizer else [],
            "creationTimestamp": _text(self.created),
            "annotations": annotations,
        }
        if self.deleted is not None:
            metadata["deletionTimestamp"] = _text(self.deleted)
        return {"metadata": metadata, "spec": dict(self.spec), "status": dict(status)}


def job(
    *,
    held: bool = True,
    deleted: datetime | None = None,
    generation: int = 1,
    created: datetime = CREATED,
    retry: str | None = None,
    restored: bool = False,
    **spec: Any,
) -> MLJob:
    """Return an MLJob of the DAG ``train``.

    Args:
        held: Whether the MLJob has the operator's finalizer.
        spec: Further fields of the spec, in snake case.
    """
    return MLJob({"dagId": "train"} | _camel(spec), held, deleted, generation, created, retry, restored)


def backfill_job(**more: Any) -> MLJob:
    dates = {"from": "2025-12-01T00:00:00Z", "to": "2025-12-03T00:00:00Z"}
    return job(**{"type": "Backfill", "backfill": dates} | more)


# The stored status

FAILURE = "Task fit failed at try 1: ValueError: no such column"


@dataclass(frozen=True)
class Numbered:
    """An attempt of an MLJob. The run id is computed from the MLJob's spec.

    Attributes:
        number: The number of the attempt, from 1.
        run: The number at the end of the run id.
        ran: Fields of the spec that have changed since the attempt began, with their values at the
            beginning of the attempt. The names are in snake case.
        airflow: The name of the AirflowInstance; empty for the Airflow of the operator's settings.
        by: The name of the operator process that submits the run; None if the MLJob's status names
            no process.
    """

    number: int = 1
    run: int = 1
    ran: Mapping[str, Any] = field(default_factory=dict)
    airflow: str = ""
    by: str | None = "this-process"


def attempt(
    number: int = 1, *, run: int = 1, ran: Mapping[str, Any] | None = None, airflow: str = "", by: str = "this-process"
) -> Numbered:
    return Numbered(number, run, ran or {}, airflow, by)


@dataclass(frozen=True)
class Ended:
    """An entry of ``status.history``, which describes an ended attempt."""

    attempt: Numbered
    phase: str
    reason: str
    message: str
    at: datetime


def ended(
    number: int = 1,
    phase: str = "Failed",
    reason: str = "TaskFailed",
    *,
    run: int = 1,
    ran: Mapping[str, Any] | None = None,
    at: datetime = LATELY,
    message: str = FAILURE,
) -> Ended:
    return Ended(attempt(number, run=run, ran=ran), phase, reason, message, at)


@dataclass(frozen=True)
class Stored:
    """The stored status of an MLJob.

    Attributes:
        attempt: The newest attempt; None before the first attempt.
        submitted: ``status.submitTime``.
        completed: ``status.completionTime``.
        active: ``status.activeSince``.
        failures: ``status.failedAttempts``.
        fields: Other fields of the status, as in its JSON object.
    """

    attempt: Numbered | None
    phase: str | None = None
    reason: str | None = None
    message: str | None = None
    submitted: datetime | None = None
    completed: datetime | None = None
    active: datetime | None = ACTIVE
    history: Sequence[Ended] = ()
    failures: int | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)


def new(**more: Any) -> Stored:
    """Return the status of an MLJob without an attempt. ``more`` contains fields in snake case."""
    return Stored(None, active=more.pop("active", None), fields=_camel(more))


def submitting(number: int = 1, *, phase: str = "Pending", reason: str = "Submitting", **more: Any) -> Stored:
    """Return the status before the run of attempt ``number`` is submitted."""
    return _stored(number, phase, reason, {"submitted": None, **more})


def under_way(number: int = 1, *, phase: str = "Running", reason: str = "Running", **more: Any) -> Stored:
    """Return the status after the run of attempt ``number`` was submitted."""
    return _stored(number, phase, reason, more)


def cancelling(reason: str, number: int = 1, **more: Any) -> Stored:
    return _stored(number, "Cancelling", reason, more)


def finished(phase: str = "Succeeded", reason: str | None = None, number: int = 1, **more: Any) -> Stored:
    usual, message = {
        "Succeeded": ("Succeeded", "The run succeeded (1/1 tasks succeeded)."),
        "Failed": ("TaskFailed", FAILURE),
        "Cancelled": ("CancelRequested", "The MLJob was cancelled: spec.cancel is true."),
    }[phase]
    return _stored(number, phase, reason or usual, {"completed": ago(100), "message": message, **more})


def retrying(number: int = 1, *, failures: int = 1, at: datetime = LATELY, **more: Any) -> Stored:
    """Return the status during the wait before a retry. Attempt ``number`` failed at ``at``."""
    entry = ended(number, at=at, run=more.get("run", 1), ran=more.get("ran"))
    earlier = tuple(more.pop("history", ()))
    return _stored(number, "Pending", "RetryBackoff", {"failures": failures, "history": (*earlier, entry), **more})


def suspended(number: int = 1, *, at: datetime = A_WHILE_AGO, **more: Any) -> Stored:
    """Return the status of a suspended MLJob, whose run was cancelled at ``at``."""
    entry = ended(number, "Cancelled", "Suspending", at=at, message="The MLJob was suspended.")
    return _stored(number, "Suspended", "Suspended", {"history": (entry,), "active": None, **more})


_IN_WORDS = ("submitted", "completed", "active", "history", "failures", "message")


def _stored(number: int, phase: str, reason: str, more: Mapping[str, Any]) -> Stored:
    rest = dict(more)
    numbered = attempt(number, **{name: rest.pop(name) for name in ("run", "ran", "airflow", "by") if name in rest})
    own: dict[str, Any] = {"submitted": QUEUED, "message": f"{reason}."}
    own |= {name: rest.pop(name) for name in _IN_WORDS if name in rest}
    return Stored(numbered, phase, reason, **own, fields=_camel(rest))


def status_of(given: Given) -> dict[str, Any]:
    """Return the status that the API server has stored for the MLJob of a situation, as a dict. For
    a restored MLJob, this is the status of a new MLJob.
    """
    return dict(UNOBSERVED) if given.job.restored else _told_status(given)


def _told_status(given: Given) -> dict[str, Any]:
    told = given.status
    if not isinstance(told, Stored):
        return dict(told)
    status: dict[str, Any] = {
        "observedGeneration": given.job.generation if told.phase else -1,
        "phase": told.phase,
        "reason": told.reason,
        "message": told.message,
        "submitTime": _text(told.submitted),
        "completionTime": _text(told.completed),
        "activeSince": _text(told.active),
        "failedAttempts": told.failures,
        "history": [_entry(given.job, entry) for entry in told.history] or None,
    }
    if told.attempt is not None:
        made = _attempt(given.job, told.attempt)
        status |= {
            "attempts": made.number,
            "dagId": made.dag_id,
            "dagRunId": made.run_id,
            "specHash": made.spec_hash,
            "airflowInstance": made.airflow or None,
            "submittedBy": made.submitter,
        }
    return {name: value for name, value in (status | dict(told.fields)).items() if value is not None}


def _entry(of: MLJob, entry: Ended) -> dict[str, Any]:
    return {
        "attempt": entry.attempt.number,
        "dagRunId": _attempt(of, entry.attempt).run_id,
        "phase": entry.phase,
        "reason": entry.reason,
        "message": entry.message,
        "completionTime": _text(entry.at),
    }


def _attempt(of: MLJob, numbered: Numbered) -> attempts.Attempt:
    """Convert ``numbered`` to the operator's class ``Attempt``. The run id and the spec hash are
    computed from the spec that the MLJob had when the attempt began.
    """
    then = Job.from_object(replace(of, spec={**of.spec, **_camel(numbered.ran)}, restored=False).body({}))
    run_id = dag_run_id(PREFIX, then.namespace, then.name, pin(then), numbered.run)
    return attempts.Attempt(
        numbered.number, then.spec.dag_id, str(run_id), then.parsed.hash, numbered.airflow, numbered.by
    )


def run_number(run_id: str) -> int:
    run = RunId.parse(run_id)
    assert run is not None, run_id
    return run.number


# The run


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


# MLJobs whose outputs the MLJob takes


def upstream(name: str = "data", attempt: int = 1, **outputs: Any) -> Upstream:
    """Return an upstream MLJob that has succeeded. An upstream MLJob is an MLJob whose outputs
    another MLJob uses. ``outputs`` default to ``{"rows": 2000}``.
    """
    return Upstream(UpstreamRun(name=name, dag_run_id=f"run-of-{name}", attempt=attempt), outputs or {"rows": 2000})


def upstream_that(failure: str | None = None, *, waits_for: str = "") -> Upstream:
    """Return an upstream MLJob that has not succeeded. An upstream MLJob is an MLJob whose outputs
    another MLJob uses.

    Args:
        failure: Why the upstream MLJob can't succeed without a change; None if it may still
            succeed.
        waits_for: The name of the MLJob for whose outputs the upstream MLJob waits; empty for none.
    """
    return Upstream(failure=failure, waits_for=(waits_for,) if waits_for else ())


def upstream_run(name: str = "data", attempt: int = 1) -> dict[str, Any]:
    return {"name": name, "dagRunId": f"run-of-{name}", "attempt": attempt}


# Requests of this process


def error(
    reason: str = "AirflowUnavailable",
    message: str = "Airflow does not answer. Check MLJOB_AIRFLOW_URL.",
    *,
    again: datetime = SOON,
    generation: int = 1,
    failures: int = 1,
    starting: bool = False,
    stalls: bool = False,
) -> LastError:
    """Return the error of the operator's last failed request.

    Args:
        again: When the operator repeats the request.
        generation: The generation of the spec at the time of the request.
        failures: How many requests in a row have failed for this reason.
        starting: Whether the request was to start the run.
        stalls: Whether the request fails again until somebody changes the spec or the DAG.
    """
    return LastError(reason, message, generation, again, failures, starting, stalls)


# Airflows and the namespace


def instance(**spec: Any) -> dict[str, Any]:
    """Return the spec of an AirflowInstance, as :func:`catalog` takes it. ``spec`` contains fields
    in snake case. Without the field ``access``, every namespace may run every DAG.

    ``deleting=True`` is not a field of the spec: :func:`catalog` then makes an AirflowInstance that
    is being deleted.
    """
    usable = {"url": "http://airflow:8080", "credentials": {"tokenSecretRef": {"name": "token"}}, "access": [{}]}
    return usable | _camel(spec)


def catalog(
    *,
    instances: Mapping[str, Mapping[str, Any]] | None = None,
    not_ready: Mapping[str, str] | None = None,
    settings_airflow: bool = True,
    settings_access: Sequence[Mapping[str, Any]] | None = None,
    default: str = "",
    full: Collection[str] = (),
    labels: Mapping[str, str] | None = None,
    labels_pending: bool = False,
    logins: Mapping[tuple[str, str], str | None] | None = None,
) -> AirflowCatalog:
    """Return an ``AirflowCatalog``: the Airflows that exist, and what the MLJob's namespace may do
    with them. The empty name stands for the Airflow of the operator's settings.

    Args:
        instances: Specs of AirflowInstances by name.
        not_ready: Why an Airflow can't be used, by the Airflow's name.
        settings_airflow: Whether the operator's settings name an Airflow.
        settings_access: The access rules of the operator's settings; None if MLJOB_AIRFLOW_ACCESS
            is not set.
        default: The name of the Airflow for MLJobs without an airflowRef; ``NO_DEFAULT`` for none.
        full: The names of Airflows that have reached their limit of active runs.
        labels: Further labels of the namespace, in addition to the label with the namespace's name.
        labels_pending: Whether the operator has not read the labels yet.
        logins: Why an access rule's credentials can't be used; None for usable credentials. A key
            is a pair: the names of the Airflow and of the token Secret.
    """
    rules = [AccessRule.model_validate(rule) for rule in settings_access] if settings_access is not None else None
    read = {
        (airflow, Credentials.model_validate({"tokenSecretRef": {"name": secret}})): why
        for (airflow, secret), why in (logins or {}).items()
    }
    namespace = Namespace(NAMESPACE, {NAMESPACE_LABEL: NAMESPACE, **(labels or {})}, pending=labels_pending)
    return AirflowCatalog(
        instances={name: _instance(name, spec) for name, spec in (instances or {}).items()},
        not_ready=not_ready or {},
        own=settings_airflow,
        own_access=rules,
        default=default,
        namespace=namespace,
        logins=read,
        full=full,
    )


def _instance(name: str, spec: Mapping[str, Any]) -> Instance:
    manifest = dict(spec)
    metadata: dict[str, Any] = {"name": name, "uid": f"uid-{name}"}
    if manifest.pop("deleting", False):
        metadata["deletionTimestamp"] = _text(ago(10))
    return Instance.from_object({"metadata": metadata, "spec": manifest})


# All inputs together


@dataclass(frozen=True, kw_only=True)
class Given:
    """The situation of an MLJob, from which the operator derives the next action and the next
    status.

    Attributes:
        begun: An attempt that this process has begun and not stored yet.
        restarted: Whether another process has begun the attempt, and this process has not taken
            the attempt over.
        error: The error of the last failed request.
        kept_by: The text of the last error that prevented the start of the run.
        newest: The number of the newest run of the spec in Airflow; 0 for none; None until two
            counts of such runs have the same result.
        newest_state: The state of this run, if there is one.
        counted_at: When the operator finished the first of these two counts.
        unknown_until: Until when a submission without an answer may still create the run.
        left_until: Until when another process may still submit the run.
        nothing_to_clear: Whether Airflow answered that the run has no failed task.
        conf_lost: Whether Airflow has lost the backfill whose conf a retry would use.
        cancel_dag_refused: Why the cancellation DAG can't cancel the run; None if no reason is
            known.
        cancelled_at: When the operator last cancelled the run through Airflow's REST API.
        noted: Whether the operator has tried to write a note that the run continues without its
            MLJob.
        read_at: When the operator first read the tasks and outputs of the ended run.
        needs_look_up: Whether the operator must read the run and its tasks from Airflow.
        resumed: The generation of the spec for which this process has resumed the backfill.
        unknown_params: The message about unknown params in the conf; empty if there are none; None
            if the conf was not checked.
        halt: Why Airflow schedules no tasks: DagPaused or DagStale.
        refused: Whether the API server refused the last status.
        vanished: Whether the operator ignores the absence of the run, because many other runs are
            missing too.
        upstreams: Upstream MLJobs by name; None for an MLJob that does not exist.
        upstreams_known_at: When the operator last read the upstream MLJobs.
    """

    job: MLJob
    status: Stored | Mapping[str, Any] = Stored(None, active=None)
    run: ObservedRun = field(default_factory=ObservedRun)
    begun: Numbered | None = None
    restarted: bool = False
    error: LastError | None = None
    kept_by: str | None = None
    newest: int | None = None
    newest_state: str = "success"
    counted_at: datetime | None = None
    unknown_until: datetime | None = None
    left_until: datetime | None = None
    nothing_to_clear: bool = False
    conf_lost: bool = False
    cancel_dag_at: datetime | None = None
    cancel_dag_checked: datetime | None = None
    cancel_dag_running: bool = False
    cancel_dag_refused: str | None = None
    cancelled_at: datetime | None = None
    noted: bool = False
    children_seen: bool = False
    looked_up: datetime | None = None
    read_at: datetime | None = None
    needs_look_up: bool = False
    resumed: int | None = None
    unknown_params: str | None = None
    halt: str | None = None
    refused: bool = False
    vanished: bool = False
    upstreams: Mapping[str, Upstream | None] = field(default_factory=dict)
    upstreams_known_at: datetime | None = JUST_NOW
    catalog: AirflowCatalog = field(default_factory=catalog)
    outputs: Mapping[str, Any] | None = None
    ui_url: str | None = UI_URL
    now: datetime = NOW

    def __repr__(self) -> str:
        unusual = {
            each.name: getattr(self, each.name) for each in fields(self) if getattr(self, each.name) != _usual(each)
        }
        return f"given({', '.join(f'{name}={value!r}' for name, value in unusual.items())})"


def _usual(of: Field[Any]) -> Any:
    return of.default_factory() if of.default_factory is not MISSING else of.default


def given(job: MLJob, *, announced: str | None = None, **known: Any) -> Given:
    """Return the situation of an MLJob.

    Args:
        job: The MLJob.
        announced: The reason for a cancellation, such as Suspending. The stored status then has the
            phase Cancelling and this reason. None for no cancellation.
        known: Other fields of :class:`Given`. If the field ``status`` is missing, ``announced`` is
            None, and the REST API has answered with the run, the stored status is ``under_way()``.
    """
    run = known.get("run")
    known_run = run is not None and run.run is not None
    if announced is not None:
        known.setdefault("status", cancelling(announced, submitted=QUEUED if known_run else None))
    elif known_run:
        known.setdefault("status", under_way())
    return Given(job=job, **known)


def stored(before: Given, status: Mapping[str, Any]) -> Given:
    """Return the situation after the operator has stored ``status``."""
    return replace(before, job=replace(before.job, restored=False), status=status)


def decided(job: MLJob | Given, **known: Any) -> Action:
    """Return the operator's next action.

    Args:
        job: A :class:`Given`, or an MLJob from which :func:`given` makes a Given.
        known: Fields of the Given to replace, or, with an MLJob, arguments of :func:`given`.
    """
    return decide(_state(_given(job, known)))


def reported(job: MLJob | Given, **known: Any) -> dict[str, Any]:
    """Return the status that the operator computes from a situation, as a dict. The arguments are
    the same as for :func:`decided`.
    """
    told = _given(job, known)
    outputs = Outputs(told.outputs) if told.outputs is not None else None
    return report(_state(told), ui_url=told.ui_url, outputs=outputs)


def classified(job: MLJob | Given, **known: Any) -> State:
    """Return the :class:`.State` that the operator derives from a situation. The arguments are the
    same as for :func:`decided`.
    """
    return _state(_given(job, known))


def events(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return the Events that the operator records when the status changes from ``old`` to ``new``.
    An Event is a tuple of type, reason and message.
    """
    told = events_of(MLJobStatus.model_validate(old), MLJobStatus.model_validate(new))
    return [(notice.type, notice.reason, notice.message) for notice in told]


def _given(job: MLJob | Given, known: Mapping[str, Any]) -> Given:
    return replace(job, **known) if isinstance(job, Given) else given(job, **known)


def _state(told: Given) -> State:
    job = Job.from_object(told.job.body(_told_status(told)), prefix=PREFIX)
    known = Inputs(
        job,
        told.run,
        _transient(told, job),
        told.now,
        PREFIX,
        catalog=told.catalog,
        absence_withheld=told.vanished,
        upstreams=told.upstreams,
        upstreams_known_at=told.upstreams_known_at,
    )
    if told.newest is not None or told.counted_at is not None:
        known = replace(known, transient=replace(known.transient, run_count=_run_count(told, known.first_run)))
    return classify(known)


def _run_count(told: Given, first: RunKey) -> RunCount:
    state = RunState(told.newest_state) if told.newest else None
    return RunCount(first, told.newest or 0, state, told.counted_at, complete=told.newest is not None)


def _transient(told: Given, job: Job) -> TransientState:
    begun = _attempt(told.job, told.begun) if told.begun is not None else attempts.current(job.status)
    return TransientState(
        attempt=None if told.restarted else begun,
        last_error=told.error,
        kept_by=told.kept_by,
        unknown_until=told.unknown_until,
        left_until=told.left_until,
        cleared_nothing=told.nothing_to_clear,
        conf_lost=told.conf_lost,
        cancel_requests=CancelRequests(
            dag_triggered_at=told.cancel_dag_at,
            dag_checked_at=told.cancel_dag_checked,
            dag_running=told.cancel_dag_running,
            dag_refused=told.cancel_dag_refused,
            sent_at=told.cancelled_at,
        ),
        retention_noted=told.noted,
        children_handled=told.children_seen,
        looked_up_at=told.looked_up,
        over_since=told.read_at,
        needs_look_up=told.needs_look_up,
        resumed=told.resumed,
        unknown_params=told.unknown_params,
        halt=Halt(told.halt) if told.halt is not None else None,
        refused=told.refused,
    )


def _camel(named: Mapping[str, Any]) -> dict[str, Any]:
    return {to_camel(name): value for name, value in named.items()}


def _text(at: datetime | None) -> str | None:
    return at.isoformat().replace("+00:00", "Z") if at is not None else None
