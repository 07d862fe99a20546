"""The ports: protocols that the controllers and sources use, and that :mod:`.adapters` implements.

Their methods raise only errors of :mod:`mljob_operator.errors`.
"""

from __future__ import annotations

from .airflow import (
    Airflow,
    Airflows,
    BackfillRunChange,
    Backfills,
    DagRuns,
    DagTask,
    ProbeResult,
    RunChange,
    TaskChange,
    TaskLog,
    User,
)
from .clock import Clock
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
    "SourceChanges",
    "TaskChange",
    "TaskLog",
    "Telemetry",
    "Tracer",
    "User",
]
