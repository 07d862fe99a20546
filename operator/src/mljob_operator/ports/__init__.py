"""The ports: protocol classes (:class:`typing.Protocol`) through which the operator and mljob-api
use Airflow, Kubernetes, Kafka, metrics and traces. Classes in ``adapters`` implement most ports.
Classes in ``controllers`` implement ``Airflows`` and ``Gate``.

The methods of the ports raise only errors of :mod:`mljob_operator.errors`.
"""

from __future__ import annotations

from .airflow import Airflow, Airflows, ProbeResult, User
from .backfills import BackfillRunChange, Backfills
from .clock import Clock
from .dag_runs import DagRuns, DagTask, RunChange, RunInputs, TaskChange, TaskLog
from .kafka import EventSource, History, HistoryBatch, Link, Message, RunHistory
from .kubernetes import ConfObject, InstanceStore, JobStore, OperatorStore, SourceChanges
from .leadership import Gate, LeaseStore, ReadOnly
from .metrics import JobMeter, Meter, RequestMeter
from .tracing import Telemetry, Tracer

__all__ = [
    "Airflow",
    "Airflows",
    "BackfillRunChange",
    "Backfills",
    "Clock",
    "ConfObject",
    "DagRuns",
    "DagTask",
    "EventSource",
    "Gate",
    "History",
    "HistoryBatch",
    "InstanceStore",
    "JobMeter",
    "JobStore",
    "LeaseStore",
    "Link",
    "Message",
    "Meter",
    "OperatorStore",
    "ProbeResult",
    "ReadOnly",
    "RequestMeter",
    "RunChange",
    "RunHistory",
    "RunInputs",
    "SourceChanges",
    "TaskChange",
    "TaskLog",
    "Telemetry",
    "Tracer",
    "User",
]
