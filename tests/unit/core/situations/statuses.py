"""The stored status of an MLJob, and its attempts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from mljob_contract.run_id import RunId
from mljob_operator.core.mljob import attempts
from mljob_operator.core.mljob.identity import dag_run_id, pin
from mljob_operator.core.mljob.resource.job import Job

from .mljobs import PREFIX, MLJob, camel
from .times import A_WHILE_AGO, ACTIVE, LATELY, QUEUED, ago, as_text

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
    """An entry of ``status.history``, which describes an ended attempt. ``submitted`` is None if
    Airflow had no run of the attempt.
    """

    attempt: Numbered
    phase: str
    reason: str
    message: str
    at: datetime
    submitted: datetime | None


def ended(
    number: int = 1,
    phase: str = "Failed",
    reason: str = "TaskFailed",
    *,
    run: int = 1,
    ran: Mapping[str, Any] | None = None,
    at: datetime = LATELY,
    message: str = FAILURE,
    submitted: datetime | None = QUEUED,
) -> Ended:
    return Ended(attempt(number, run=run, ran=ran), phase, reason, message, at, submitted)


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


UNSTORED = Stored(None, active=None)
"""The status of an MLJob that the operator has not observed yet."""


def new(**more: Any) -> Stored:
    """Return the status of an MLJob without an attempt. ``more`` contains fields in snake case."""
    return Stored(None, active=more.pop("active", None), fields=camel(more))


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
    return Stored(numbered, phase, reason, **own, fields=camel(rest))


def entry_of(of: MLJob, entry: Ended) -> dict[str, Any]:
    return {
        "attempt": entry.attempt.number,
        "dagRunId": attempt_of(of, entry.attempt).run_id,
        "phase": entry.phase,
        "reason": entry.reason,
        "message": entry.message,
        "completionTime": as_text(entry.at),
        **({"submitTime": as_text(entry.submitted)} if entry.submitted is not None else {}),
    }


def attempt_of(of: MLJob, numbered: Numbered) -> attempts.Attempt:
    """Convert ``numbered`` to the operator's class ``Attempt``. The run id and the spec hash are
    computed from the spec that the MLJob had when the attempt began.
    """
    then = Job.from_object(replace(of, spec={**of.spec, **camel(numbered.ran)}, restored=False).body({}))
    run_id = dag_run_id(PREFIX, then.namespace, then.name, pin(then), numbered.run)
    return attempts.Attempt(
        numbered.number, then.spec.dag_id, str(run_id), then.parsed.hash, numbered.airflow, numbered.by
    )


def run_number(run_id: str) -> int:
    run = RunId.parse(run_id)
    assert run is not None, run_id
    return run.number
