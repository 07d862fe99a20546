"""Task callbacks that tell what a task instance does, as one event for every state it enters.

Airflow runs them in the task's own process, or, when the scheduler had to fail the task because that process was lost, in
the DAG processor; the latter knows less (no exception, no dates), so every field but the identity may be absent.
States set from outside (through the UI or REST) call nothing: the operator learns of those from REST.
Airflow docs: "Callbacks"; ``airflow.sdk.execution_time.task_runner.finalize`` and ``airflow.dag_processing.processor``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from mljob_airflow.compatibility import assert_supported, installed_version, masked
from mljob_contract.backfill_marker import Marker
from mljob_contract.events import EventName, MLJobRef, TaskError, TaskEvent
from mljob_contract.run_id import RunId

assert_supported(installed_version())

Context = Mapping[str, Any]
TaskCallback = Callable[[Context], None]

MAX_ERROR_LENGTH = 1000
"""Characters of an exception's text that an event carries: enough to see what is wrong, small enough for a status."""

_STATES = {
    EventName.TASK_RUNNING: "running",
    EventName.TASK_SUCCESS: "success",
    EventName.TASK_FAILED: "failed",
    EventName.TASK_SKIPPED: "skipped",
    EventName.TASK_UP_FOR_RETRY: "up_for_retry",
    EventName.TASK_PROGRESS: "running",
}


def mljob_callbacks() -> dict[str, list[TaskCallback]]:
    """The five callbacks, for a DAG's ``default_args`` (or a task's own arguments)::

        with DAG("train", default_args={**mljob_callbacks(), "retries": 2}): ...

    A task that has callbacks of its own replaces these, as it does any default argument; list both to have both.
    """
    return {argument: [callback] for argument, callback in CALLBACKS.items()}


def on_execute(context: Context) -> None:
    """The task begins, or goes on after a deferral or between two pokes of a rescheduled sensor."""
    _publish(EventName.TASK_RUNNING, context)


def on_success(context: Context) -> None:
    """The task has succeeded."""
    _publish(EventName.TASK_SUCCESS, context)


def on_failure(context: Context) -> None:
    """The task has failed for good: no tries are left, or it asked not to be tried again."""
    _publish(EventName.TASK_FAILED, context)


def on_retry(context: Context) -> None:
    """This try has failed, and Airflow will try again."""
    _publish(EventName.TASK_UP_FOR_RETRY, context)


def on_skipped(context: Context) -> None:
    """The task has skipped itself."""
    _publish(EventName.TASK_SKIPPED, context)


CALLBACKS: Mapping[str, TaskCallback] = {
    "on_execute_callback": on_execute,
    "on_success_callback": on_success,
    "on_failure_callback": on_failure,
    "on_retry_callback": on_retry,
    "on_skipped_callback": on_skipped,
}
"""Airflow's name of each callback argument, and what we put there."""


def event_from_context(event: EventName, context: Context, *, source: str, now: datetime) -> TaskEvent:
    """What happened to the task instance of ``context``, as an event.

    Args:
        event: What happened.
        context: Airflow's task context. Only ``ti`` is needed; ``task`` and ``exception`` are used where they are given.
        source: Which Airflow this is: ``[mljob] source``.
        now: When it happened, with a time zone.
    """
    ti = context["ti"]
    start_date = getattr(ti, "start_date", None)
    end_date = getattr(ti, "end_date", None)
    if end_date is None and start_date is not None and event not in (EventName.TASK_RUNNING, EventName.TASK_PROGRESS):
        # Airflow leaves it empty where a task has skipped itself.
        end_date = now
    map_index = getattr(ti, "map_index", None)
    return TaskEvent(
        event=event,
        timestamp=now,
        source=source,
        dag_id=ti.dag_id,
        run_id=ti.run_id,
        task_id=ti.task_id,
        map_index=-1 if map_index is None else map_index,
        try_number=ti.try_number,
        max_tries=getattr(ti, "max_tries", None),
        state=_STATES[event],
        operator=getattr(context.get("task"), "task_type", None),
        start_date=start_date,
        end_date=end_date,
        duration=(end_date - start_date).total_seconds() if start_date and end_date else None,
        log_url=getattr(ti, "log_url", None),
        hostname=getattr(ti, "hostname", None) or None,
        error=_error(context.get("exception"))
        if event in (EventName.TASK_FAILED, EventName.TASK_UP_FOR_RETRY)
        else None,
        mljob=mljob_of(ti.run_id, getattr(context.get("dag_run"), "conf", None)),
    )


def mljob_of(run_id: str, conf: Mapping[str, Any] | None = None) -> MLJobRef | None:
    """The MLJob that a run belongs to, by its id or, for a run of a backfill, by the marker in its conf; ``None`` for one that the operator did
    not start.
    """
    marker = Marker.read(conf) if conf else None
    parsed = RunId.parse(marker.run_id if marker else run_id)
    return MLJobRef(namespace=parsed.namespace, name=parsed.name) if parsed else None


def _error(exception: object) -> TaskError | None:
    if exception is None:
        return None
    kind = type(exception).__name__ if isinstance(exception, BaseException) else "Error"
    # Before it is cut, which would leave the beginning of what is to be masked.
    text = masked(str(exception))
    if len(text) > MAX_ERROR_LENGTH:
        text = text[: MAX_ERROR_LENGTH - 1] + "…"
    return TaskError(type=kind, message=text)


def _publish(event: EventName, context: Context) -> None:
    # Late: a DAG file that only names the callbacks must not load Kafka whenever it is parsed.
    from mljob_airflow import settings
    from mljob_airflow.events import producer
    from mljob_airflow.tasks import progress

    with producer.harmless(f"{event.value} event"):
        state_event = event_from_context(event, context, source=settings.source(), now=datetime.now(UTC))
        if event is EventName.TASK_RUNNING:
            producer.send(state_event)
            producer.flush(producer.DELIVERY_SECONDS)
            return
        last_report = progress.take_pending(state_event)
        if last_report is not None:
            producer.send(last_report)
        producer.send(state_event)
        producer.flush(producer.DELIVERY_SECONDS)
