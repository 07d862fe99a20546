"""The task of the DAG ``mljob_cancel``.

The task cancels the runs that are listed in the DAG's params, and sends a Kafka event about each
run. The task fails if one of the runs has not ended, or if the state of a run is unknown.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from mljob_airflow import settings
from mljob_airflow.cancellation.runs import CancellationError, Runs, Summary, Target, Timing, cancel_runs
from mljob_airflow.events.callbacks import mljob_of
from mljob_airflow.tasks.failing import fail_for_good
from mljob_contract.events import CancellationMode, RunCancellation

if TYPE_CHECKING:
    from airflow.sdk import Context

log = logging.getLogger(__name__)

MAX_REASON_LENGTH = 1000
"""The maximum number of characters of the reason in an event."""


def cancel(context: Context) -> dict[str, Any]:
    """Cancel the runs that are listed in the params of this run of ``mljob_cancel``.

    Args:
        context: Airflow's task context.

    Returns:
        A JSON object with the fields ``mode``, ``reason`` and ``targets``. ``targets`` has the
        summaries of the runs, in the order of the params.

    Raises:
        AirflowFailException: The params name no run, or have only one of ``dag_id`` and
            ``dag_run_id``.
        CancellationError: At least one run has not ended, or its state is unknown. The message
            names all such runs. A retry of the task leaves the other runs as they are, because they
            have ended.
    """
    params: Mapping[str, Any] = context["params"]
    try:
        targets = targets_of(params)
    except ValueError as error:
        raise fail_for_good(str(error)) from error
    mode, reason = CancellationMode(params["mode"]), str(params["reason"])
    ti = context["ti"]
    summaries: dict[Target, Summary] = {}
    timing = Timing(teardown=float(params["teardown_seconds"]))
    for summary in cancel_runs(_connect, targets, reason=reason, mode=mode, timing=timing):
        summaries[summary.target] = summary
        _report(summary, mode=mode, reason=reason, cancelled_by=ti.run_id, try_number=ti.try_number)
    _deliver()
    if unfinished := [summaries[target] for target in targets if not summaries[target].outcome.is_over]:
        raise CancellationError(not_over(unfinished, len(targets)))
    return {
        "mode": mode.value,
        "reason": reason,
        "targets": [summaries[target].as_dict() for target in targets],
    }


def targets_of(params: Mapping[str, Any]) -> list[Target]:
    """Return the runs to cancel, without duplicates.

    The run of the params ``dag_id`` and ``dag_run_id`` comes first, then the runs of ``targets``.

    Raises:
        ValueError: The params name no run, or have only one of ``dag_id`` and ``dag_run_id``.
    """
    dag_id, dag_run_id = params.get("dag_id"), params.get("dag_run_id")
    if bool(dag_id) != bool(dag_run_id):
        given, missing = ("dag_id", "dag_run_id") if dag_id else ("dag_run_id", "dag_id")
        raise ValueError(f"{given} is set, and {missing} is not: a run needs both")
    targets = [Target(dag_id, dag_run_id)] if dag_id and dag_run_id else []
    targets += [Target(target["dag_id"], target["dag_run_id"]) for target in params.get("targets") or ()]
    if not targets:
        raise ValueError("no run to cancel: set dag_id and dag_run_id, or targets to a list of {dag_id, dag_run_id}")
    return list(dict.fromkeys(targets))


def event_of(
    summary: Summary,
    *,
    mode: CancellationMode,
    reason: str,
    cancelled_by: str,
    try_number: int,
    source: str,
    now: datetime,
) -> RunCancellation:
    """Return the Kafka event about the cancellation of one run.

    Args:
        summary: The result of the cancellation.
        mode: The mode of the cancellation: graceful or immediate.
        reason: The reason of the cancellation. The event has the first ``MAX_REASON_LENGTH``
            characters of the reason.
        cancelled_by: The id of the run of ``mljob_cancel``.
        try_number: The try number of the task of ``mljob_cancel``.
        source: The name of this Airflow, from the option ``[mljob] source``.
        now: The time of the event, with a time zone.
    """
    return RunCancellation(
        timestamp=now,
        source=source,
        dag_id=summary.target.dag_id,
        run_id=summary.target.dag_run_id,
        outcome=summary.outcome,
        state=summary.state,
        mode=mode,
        reason=reason[:MAX_REASON_LENGTH],
        failed_task_instances=summary.failed_task_instances,
        rounds=summary.rounds,
        errors=tuple(summary.errors),
        duration=round(summary.seconds, 3),
        cancelled_by=cancelled_by,
        try_number=try_number,
        mljob=mljob_of(summary.target.dag_run_id, summary.conf),
    )


def not_over(unfinished: Iterable[Summary], asked: int) -> str:
    """Return an error message about the runs that have not ended (``unfinished``). For each of
    these runs, the message has the last error of the run's cancellation. If this cancellation had
    no error, the message has the run's state. ``asked`` is the number of all runs that were to be
    cancelled.
    """
    named = [f"{summary.target}: {summary.errors[-1] if summary.errors else summary.state}" for summary in unfinished]
    return f"{len(named)} of {asked} run(s) are not over: " + "; ".join(named)


def _connect() -> Runs:
    from mljob_airflow.cancellation.airflow_runs import AirflowRuns
    from mljob_airflow.rest.client import Endpoint

    return AirflowRuns(Endpoint.configured())


def _report(summary: Summary, **about: Any) -> None:
    """Send the Kafka event about the cancellation of a run. Don't wait until the event is
    delivered.

    If the event can't be sent, only log the error: runs must also be cancelled while Kafka is out
    of reach. ``about`` has the other arguments of :func:`event_of`.
    """
    from mljob_airflow.events import producer

    with producer.logging_errors(f"event of {summary.target}'s cancellation"):
        producer.send(event_of(summary, **about, source=settings.source(), now=datetime.now(UTC)))


def _deliver() -> None:
    from mljob_airflow.events import producer

    with producer.logging_errors("events of the cancellation"):
        producer.flush(producer.DELIVERY_SECONDS)
