"""The callbacks that send an event when a task starts, ends, is retried or skips itself.

If the process of a task is lost, Airflow's DAG processor runs the task's callback for a failure or
for a retry. The DAG processor knows neither the exception nor the times of the task, so the event
has no error, no start and end date, and no duration.

Airflow calls no callback for a state that is set through the UI or the REST API.

Sources: Airflow's documentation, "Callbacks"; ``airflow.sdk.execution_time.task_runner.finalize``;
``airflow.dag_processing.processor``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from mljob_airflow.compatibility import assert_supported, installed_version, masked
from mljob_airflow.truncation import truncated
from mljob_contract.backfill_marker import Marker
from mljob_contract.events import EventName, MLJobRef, TaskError, TaskEvent
from mljob_contract.run_id import RunId

assert_supported(installed_version())

Context = Mapping[str, Any]
TaskCallback = Callable[[Context], None]

MAX_ERROR_LENGTH = 1000
"""The maximum number of characters of an exception's text in an event. 1,000 characters suffice to
see the cause, and fit into the MLJob's status.
"""

_STATES = {
    EventName.TASK_RUNNING: "running",
    EventName.TASK_SUCCESS: "success",
    EventName.TASK_FAILED: "failed",
    EventName.TASK_SKIPPED: "skipped",
    EventName.TASK_UP_FOR_RETRY: "up_for_retry",
    EventName.TASK_PROGRESS: "running",
}


def mljob_callbacks() -> dict[str, list[TaskCallback]]:
    """Return callbacks that send events about a task. Use the callbacks in a DAG's ``default_args``
    or as arguments of a task::

        with DAG("train", default_args={**mljob_callbacks(), "retries": 2}): ...

    A callback that a task sets itself replaces the callback in ``default_args``. To use both
    callbacks, give the task a list with both.
    """
    return {argument: [callback] for argument, callback in CALLBACKS.items()}


def on_execute(context: Context) -> None:
    """Send the event ``running``: a try has started, a deferred task resumes, or a rescheduled
    sensor pokes.
    """
    _publish(EventName.TASK_RUNNING, context)


def on_success(context: Context) -> None:
    """Send the event ``success``: the task has succeeded."""
    _publish(EventName.TASK_SUCCESS, context)


def on_failure(context: Context) -> None:
    """Send the event ``failed``: the task has failed, and Airflow won't retry it."""
    _publish(EventName.TASK_FAILED, context)


def on_retry(context: Context) -> None:
    """Send the event ``up_for_retry``: this try has failed, and Airflow will retry the task."""
    _publish(EventName.TASK_UP_FOR_RETRY, context)


def on_skipped(context: Context) -> None:
    """Send the event ``skipped``: the task has skipped itself."""
    _publish(EventName.TASK_SKIPPED, context)


CALLBACKS: Mapping[str, TaskCallback] = {
    "on_execute_callback": on_execute,
    "on_success_callback": on_success,
    "on_failure_callback": on_failure,
    "on_retry_callback": on_retry,
    "on_skipped_callback": on_skipped,
}
"""The callback for each of Airflow's callback arguments, by the argument's name."""


def event_from_context(event: EventName, context: Context, *, source: str, now: datetime) -> TaskEvent:
    """Make an event about the task instance of ``context``.

    Args:
        event: The kind of the event.
        context: Airflow's task context. The keys ``task``, ``dag_run`` and ``exception`` may be
            missing.
        source: The name of this Airflow, from the option ``[mljob] source``.
        now: The time of the event, with a time zone.
    """
    ti = context["ti"]
    start_date = getattr(ti, "start_date", None)
    end_date = getattr(ti, "end_date", None)
    if end_date is None and start_date is not None and event not in (EventName.TASK_RUNNING, EventName.TASK_PROGRESS):
        # Airflow sets no end date if a task skips itself.
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
    """Return the :class:`.MLJobRef` of the MLJob that a run belongs to, or ``None`` if neither the
    run's id nor its conf names an MLJob.

    Args:
        run_id: The run's id, which names the MLJob unless the run is part of a backfill.
        conf: The run's conf, which names the MLJob if the run is part of a backfill. The conf is
            ignored if ``run_id`` names an MLJob, because the author of an MLJob may write any key
            into its conf.
    """
    parsed = RunId.parse(run_id)
    if parsed is None and (marker := Marker.read(conf)):
        parsed = RunId.parse(marker.run_id)
    return MLJobRef(namespace=parsed.namespace, name=parsed.name) if parsed else None


def _error(exception: object) -> TaskError | None:
    if exception is None:
        return None
    kind = type(exception).__name__ if isinstance(exception, BaseException) else "Error"
    try:
        text = str(exception)
    except Exception:
        # The author of a DAG may write an exception whose __str__ fails. Its event is still sent.
        text = kind
    # Mask the text before it is cut, because the masker does not recognise a cut secret.
    return TaskError(type=kind, message=truncated(masked(text), MAX_ERROR_LENGTH))


def _publish(event: EventName, context: Context) -> None:
    # Imported here, because the import of a DAG file that uses the callbacks must not import the
    # Kafka client.
    from mljob_airflow import settings
    from mljob_airflow.events import producer, throttle

    with producer.logging_errors(f"{event.value} event"):
        state_event = event_from_context(event, context, source=settings.source(), now=datetime.now(UTC))
        if event is EventName.TASK_RUNNING:
            producer.send(state_event)
            producer.flush(producer.DELIVERY_SECONDS)
            return
        last_report = throttle.reports.take(state_event)
        if last_report is not None:
            producer.send(last_report)
        producer.send(state_event)
        producer.flush(producer.DELIVERY_SECONDS)
