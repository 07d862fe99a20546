"""All inputs of the operator's decisions together, and what the operator makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, replace
from datetime import datetime
from typing import Any

from mljob_contract.mljob import UNOBSERVED, MLJobStatus
from mljob_operator.core.airflow_instance.catalog import AirflowCatalog
from mljob_operator.core.mljob import attempts
from mljob_operator.core.mljob.actions import Action
from mljob_operator.core.mljob.classification.inputs import Inputs
from mljob_operator.core.mljob.classification.state import State, classify
from mljob_operator.core.mljob.decisions import decide
from mljob_operator.core.mljob.resource.job import Job
from mljob_operator.core.mljob.run_count import RunCount
from mljob_operator.core.mljob.transient_state import CancelRequests, LastError, TransientState
from mljob_operator.core.mljob.upstream import Upstream
from mljob_operator.core.run.halt import Halt
from mljob_operator.core.run.observed_run import ObservedRun
from mljob_operator.core.run.outputs import Outputs
from mljob_operator.core.run.run_key import RunKey
from mljob_operator.core.run.states import RunState
from mljob_operator.core.status.build import report
from mljob_operator.core.status.events import events_of

from .airflows import catalog
from .mljobs import PREFIX, MLJob
from .statuses import UNSTORED, Numbered, Stored, attempt_of, cancelling, entry_of, under_way
from .times import JUST_NOW, NOW, QUEUED, SOON, as_text

UI_URL = "https://airflow.example.com"


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
        "submitTime": as_text(told.submitted),
        "completionTime": as_text(told.completed),
        "activeSince": as_text(told.active),
        "failedAttempts": told.failures,
        "history": [entry_of(given.job, entry) for entry in told.history] or None,
    }
    if told.attempt is not None:
        made = attempt_of(given.job, told.attempt)
        status |= {
            "attempts": made.number,
            "dagId": made.dag_id,
            "dagRunId": made.run_id,
            "specHash": made.spec_hash,
            "airflowInstance": made.airflow or None,
            "submittedBy": made.submitter,
        }
    return {name: value for name, value in (status | dict(told.fields)).items() if value is not None}


def error(
    reason: str = "AirflowUnavailable",
    message: str = "Airflow does not answer. Check MLJOB_AIRFLOW_URL.",
    *,
    again: datetime = SOON,
    generation: int = 1,
    failures: int = 1,
    starting: bool = False,
    stalls: bool = False,
    counting: bool = False,
) -> LastError:
    """Return the error of the operator's last failed request.

    Args:
        again: When the operator repeats the request.
        generation: The generation of the spec at the time of the request.
        failures: How many requests in a row have failed for this reason.
        starting: Whether the request was to start the run.
        stalls: Whether the request fails again until somebody changes the spec or the DAG.
        counting: Whether the request was to count the runs of the spec.
    """
    return LastError(reason, message, generation, again, failures, starting, stalls, counting)


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
    status: Stored | Mapping[str, Any] = UNSTORED
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
    begun = attempt_of(told.job, told.begun) if told.begun is not None else attempts.current(job.status)
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
