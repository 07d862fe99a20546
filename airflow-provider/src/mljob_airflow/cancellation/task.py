"""What the task of the cancellation DAG does: cancel the runs of its params, tell Kafka of each, and fail if one is not over."""

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


def cancel(context: Context) -> dict[str, Any]:
    """Cancel what the params of ``context`` name.

    Returns:
        ``targets``: what came of each, in the order of the params; beside them ``mode`` and ``reason``.

    Raises:
        AirflowFailException: The params name no run.
        CancellationError: A run is not over; the message names each. Trying again leaves alone what is.
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
    if left := [summaries[target] for target in targets if not summaries[target].outcome.is_over]:
        raise CancellationError(not_over(left, len(targets)))
    return {
        "mode": mode.value,
        "reason": reason,
        "targets": [summaries[target].as_dict() for target in targets],
    }


def targets_of(params: Mapping[str, Any]) -> list[Target]:
    """The runs to cancel: the one of ``dag_id`` and ``dag_run_id``, then those of ``targets``; each once.

    Raises:
        ValueError: They name no run, or half of one.
    """
    dag_id, dag_run_id = params.get("dag_id"), params.get("dag_run_id")
    if bool(dag_id) != bool(dag_run_id):
        given, missing = ("dag_id", "dag_run_id") if dag_id else ("dag_run_id", "dag_id")
        raise ValueError(f"{given} is given without {missing}: a run is named by both")
    targets = [Target(dag_id, dag_run_id)] if dag_id and dag_run_id else []
    targets += [Target(target["dag_id"], target["dag_run_id"]) for target in params.get("targets") or ()]
    if not targets:
        raise ValueError("no run to cancel: give dag_id and dag_run_id, or targets, a list of {dag_id, dag_run_id}")
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
    """What came of one run, as an event."""
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
        mljob=mljob_of(summary.target.dag_run_id),
    )


def not_over(left: Iterable[Summary], asked: int) -> str:
    """The runs that are not over, and why, in one text."""
    named = [f"{summary.target}: {summary.errors[-1] if summary.errors else summary.state}" for summary in left]
    return f"{len(named)} of {asked} run(s) are not over: " + "; ".join(named)


def _connect() -> Runs:
    from airflow.sdk import Connection

    from mljob_airflow.rest.client import AirflowRuns, Endpoint

    return AirflowRuns(Endpoint.from_connection(Connection.get(settings.airflow_conn_id())))


def _report(summary: Summary, **about: Any) -> None:
    """Hand the event over to be delivered. Nobody's listening is no reason to leave a run uncancelled."""
    from mljob_airflow.events import producer

    with producer.harmless(f"event of {summary.target}'s cancellation"):
        producer.send(event_of(summary, **about, source=settings.source(), now=datetime.now(UTC)))


def _deliver() -> None:
    from mljob_airflow.events import producer

    with producer.harmless("events of the cancellation"):
        producer.flush(producer.DELIVERY_SECONDS)
