"""The task of the DAG ``mljob_cancel``. The task cancels the runs that the params of the current run
of ``mljob_cancel`` name, and sends a Kafka event with the result for each of these runs.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from contextlib import closing
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
    """Cancel the runs that the params of the current run of ``mljob_cancel`` name.

    Args:
        context: Airflow's task context.

    Returns:
        A JSON object with the fields ``mode``, ``reason`` and ``targets``. ``targets`` is a list
        with the result of :meth:`.Summary.as_dict` for each of the runs.

    Raises:
        AirflowFailException: The params name no run, or have only one of ``dag_id`` and
            ``dag_run_id``.
        CancellationError: At least one of the runs, or one of their task instances, has not ended,
            or the state of a run is unknown.
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
    with closing(cancel_runs(_connect, targets, reason=reason, mode=mode, timing=timing)) as ended:
        for summary in ended:
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
    """Return the runs in the params, without duplicates. The run of ``dag_id`` and ``dag_run_id``
    comes before the runs of ``targets``.

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
    """Return the Kafka event about the cancellation of a run.

    Args:
        summary: The result of the cancellation.
        mode: The mode of the cancellation.
        reason: The reason of the cancellation, cut to ``MAX_REASON_LENGTH`` characters in the
            event.
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
    """Return the error message about runs that have not ended. The message has the last error of
    each run. If a run has no error, the message has the run's state.

    Args:
        unfinished: The runs that have not ended.
        asked: The number of all runs that were to be cancelled.
    """
    named = [f"{summary.target}: {summary.errors[-1] if summary.errors else summary.state}" for summary in unfinished]
    return f"{len(named)} of {asked} run(s) are not over: " + "; ".join(named)


def _connect() -> Runs:
    from mljob_airflow.cancellation.airflow_runs import AirflowRuns
    from mljob_airflow.rest.client import Endpoint

    return AirflowRuns(Endpoint.configured())


def _report(summary: Summary, **about: Any) -> None:
    from mljob_airflow.events import producer

    with producer.logging_errors(f"event of {summary.target}'s cancellation"):
        producer.send(event_of(summary, **about, source=settings.source(), now=datetime.now(UTC)))


def _deliver() -> None:
    from mljob_airflow.events import producer

    with producer.logging_errors("events of the cancellation"):
        producer.flush(producer.DELIVERY_SECONDS)
