"""The ports: protocols that the controllers and sources use, and that :mod:`.adapters` implements.

Their methods raise only errors of :mod:`mljob_operator.errors`.
"""

from __future__ import annotations

from .airflow import Airflow, Airflows, BackfillRunChange, Backfills, DagRuns, ProbeResult, RunChange, TaskChange, User
from .clock import Clock
from .kafka import EventSource, Link, Message
from .kubernetes import ConfObject, InstanceStore, JobStore, OperatorStore, SourceChanges
from .leadership import Gate, LeaseStore, ReadOnly
from .metrics import Meter

__all__ = [
    "Airflow",
    "Airflows",
    "BackfillRunChange",
    "Backfills",
    "Clock",
    "ConfObject",
    "DagRuns",
    "EventSource",
    "Gate",
    "InstanceStore",
    "JobStore",
    "LeaseStore",
    "Link",
    "Message",
    "Meter",
    "OperatorStore",
    "ProbeResult",
    "ReadOnly",
    "RunChange",
    "SourceChanges",
    "TaskChange",
    "User",
]
