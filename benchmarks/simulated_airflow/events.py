"""Makes the Kafka messages of the simulated Airflow, in the formats of ``docs/spec/events.md``.

``provider`` is the format of ``mljob_airflow``'s callbacks (:mod:`mljob_contract.events`), and
``airflow`` is the format of Airflow's own ``kafka_event_producer``. ``tests/contract/golden`` has
recordings of both.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from mljob_contract.events import CE_TYPE_PREFIX
from mljob_contract.run_id import RunId
from mljob_operator.core.run.states import RunState, TaskState

from .dags import CANCEL_DAG
from .runs import Run, TaskInstance, now, text

SOURCE = "simulated"
_OFFICIAL_TASK = {
    TaskState.RUNNING: "TaskInstanceState.QUEUED",
    TaskState.SUCCESS: "TaskInstanceState.RUNNING",
    TaskState.FAILED: "TaskInstanceState.RUNNING",
    TaskState.SKIPPED: "TaskInstanceState.RUNNING",
}
"""The task states about which events are sent. The value is the previous state in the event of
Airflow's own producer.
"""


class Format(StrEnum):
    """The format of messages. With ``both``, messages are sent in both formats."""

    PROVIDER = "provider"
    AIRFLOW = "airflow"
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class Message:
    """A Kafka message."""

    key: str
    value: bytes
    headers: tuple[tuple[str, str], ...] = ()


class Events:
    """Makes the Kafka messages about runs and task instances.

    Args:
        form: The format of the messages.
        source: The name of this Airflow in the messages.
    """

    def __init__(self, form: Format, source: str = SOURCE) -> None:
        self._provider = form in (Format.PROVIDER, Format.BOTH)
        self._airflow = form in (Format.AIRFLOW, Format.BOTH)
        self._source = source

    def of_run(self, run: Run, state: RunState) -> list[Message]:
        """Return the messages about a run's new state. The list is empty if the format is
        ``provider``, or if the state is queued.
        """
        if not self._airflow or state is RunState.QUEUED:
            return []
        body = self._official(f"dag_run.{state}", run) | {
            "run_type": run.run_type,
            "logical_date": str(run.date or ""),
            "start_date": str(run.start or ""),
            "end_date": str(run.end or ""),
            "msg": state.value,
        }
        return [Message(_key(run), _bytes(body))]

    def of_task(self, task: TaskInstance, error: str | None = None) -> list[Message]:
        """Return the messages about a task instance's new state. The list is empty unless the state
        is running, success, failed or skipped.
        """
        found = []
        if self._airflow and task.state in _OFFICIAL_TASK:
            body = self._official(f"task_instance.{task.state}", task.run)
            body |= {"task_id": task.task_id, "try_number": task.try_number, "map_index": task.map_index}
            body["previous_state"] = _OFFICIAL_TASK[task.state]
            found.append(Message(_key(task.run), _bytes(body | ({"error": error} if error else {}))))
        if self._provider and task.state in _OFFICIAL_TASK:
            more: dict[str, Any] = {"state": task.state.value}
            if task.end is not None and task.start is not None:
                more |= {"end_date": text(task.end), "duration": (task.end - task.start).total_seconds()}
            if error:
                more["error"] = {"type": "RuntimeError", "message": error}
            found.append(self._ours(task, f"task_instance.{task.state}", more))
        return found

    def of_progress(self, task: TaskInstance, progress: float) -> list[Message]:
        """Return the messages about progress and metrics of a running task. The list is empty for
        the format ``airflow``.
        """
        if not self._provider:
            return []
        more = {"state": "running", "progress": progress, "metrics": {"loss": round(1 / (1 + progress), 4)}}
        return [self._ours(task, "task_instance.progress", more)]

    def of_cancellation(self, target: Run, canceller: Run, ended: int) -> list[Message]:
        """Return the messages about a cancellation. The list is empty for the format ``airflow``.

        Args:
            target: The cancelled run.
            canceller: The run of the cancellation DAG.
            ended: The number of task instances that were set to failed.
        """
        if not self._provider:
            return []
        body = self._envelope("dag_run.cancellation", target, now()) | {
            "outcome": "cancelled",
            "state": target.state.value,
            "mode": "immediate",
            "reason": str(canceller.conf.get("reason", ""))[:1000],
            "failed_task_instances": ended,
            "rounds": 1,
            "duration": 0.05,
            "cancelled_by": f"{CANCEL_DAG}/{canceller.run_id}",
        }
        return [self._with_headers(target, body, target.run_id)]

    def _official(self, event: str, run: Run) -> dict[str, Any]:
        return {
            "schema_version": 1,
            "source": self._source,
            "event": event,
            "timestamp": now().isoformat(),
            "dag_id": run.dag_id,
            "run_id": run.run_id,
        }

    def _ours(self, task: TaskInstance, event: str, more: dict[str, Any]) -> Message:
        body = self._envelope(event, task.run, now()) | {
            "task_id": task.task_id,
            "map_index": task.map_index,
            "try_number": task.try_number,
            "max_tries": 0,
            "operator": "_PythonDecoratedOperator",
            "start_date": text(task.start),
            "log_url": f"http://airflow.invalid/dags/{task.run.dag_id}/runs/{task.run.run_id}/tasks/{task.task_id}",
            "hostname": "simulated",
        }
        return self._with_headers(task.run, body | more, task.task_id)

    def _envelope(self, event: str, run: Run, at: datetime) -> dict[str, Any]:
        body = {
            "mljob_version": 1,
            "event": event,
            "timestamp": text(at),
            "source": self._source,
            "dag_id": run.dag_id,
            "run_id": run.run_id,
        }
        parsed = RunId.parse(run.run_id)
        return body | ({"mljob": {"namespace": parsed.namespace, "name": parsed.name}} if parsed else {})

    def _with_headers(self, run: Run, body: dict[str, Any], subject: str) -> Message:
        headers = (
            ("ce_specversion", "1.0"),
            ("ce_id", str(uuid.uuid4())),
            ("ce_source", self._source),
            ("ce_type", CE_TYPE_PREFIX + body["event"]),
            ("ce_time", str(body["timestamp"])),
            ("ce_subject", f"{_key(run)}/{subject}"),
            ("content-type", "application/json"),
        )
        return Message(_key(run), _bytes(body), headers)


def _key(run: Run) -> str:
    return f"{run.dag_id}/{run.run_id}"


def _bytes(body: dict[str, Any]) -> bytes:
    return json.dumps(body).encode()
