"""Functions with which a test describes the situation of an MLJob, and functions that return what
the operator does in a situation::

    decided(job(suspend=True), run=running(), announced="Suspending")   # the next action
    reported(job(), run=failed(task("fit", "failed")))                  # the next status, as a dict

Another function returns the Events for a change of a status::

    events(old_status, new_status)                                      # (type, reason, message)

This module also exports the classes of the operator's actions, such as ``Wait``, so that fewer
tests import from the operator's modules.
"""

from __future__ import annotations

from mljob_operator.core.mljob.actions import (
    AddFinalizer,
    BeginAttempt,
    CancelDirectly,
    CheckCancellation,
    ClearFailed,
    CountRuns,
    Expire,
    HandleChildren,
    ListTasks,
    LookUpRun,
    NoteRetention,
    Pause,
    ReadQuestions,
    ReadUpstreams,
    Release,
    Store,
    Submit,
    TakeOver,
    TriggerCancellation,
    Wait,
)
from mljob_operator.core.mljob.classification.state import Stage
from mljob_operator.core.run.vanishing import vanished_message

from .airflows import NO_DEFAULT, NOT_ASKED_YET, catalog, instance
from .given import Given, classified, decided, error, events, given, reported, status_of, stored
from .mljobs import MLJob, backfill_job, job
from .runs import backfill, failed, not_found, queued, run_event, running, succeeded, task, unread
from .statuses import (
    Stored,
    attempt,
    cancelling,
    ended,
    finished,
    new,
    retrying,
    run_number,
    submitting,
    suspended,
    under_way,
)
from .times import ACTIVE, NOW, QUEUED, ago, later
from .upstreams import upstream, upstream_run, upstream_that

__all__ = [
    "ACTIVE",
    "NOT_ASKED_YET",
    "NOW",
    "NO_DEFAULT",
    "QUEUED",
    "AddFinalizer",
    "BeginAttempt",
    "CancelDirectly",
    "CheckCancellation",
    "ClearFailed",
    "CountRuns",
    "Expire",
    "Given",
    "HandleChildren",
    "ListTasks",
    "LookUpRun",
    "MLJob",
    "NoteRetention",
    "Pause",
    "ReadQuestions",
    "ReadUpstreams",
    "Release",
    "Stage",
    "Store",
    "Stored",
    "Submit",
    "TakeOver",
    "TriggerCancellation",
    "Wait",
    "ago",
    "attempt",
    "backfill",
    "backfill_job",
    "cancelling",
    "catalog",
    "classified",
    "decided",
    "ended",
    "error",
    "events",
    "failed",
    "finished",
    "given",
    "instance",
    "job",
    "later",
    "new",
    "not_found",
    "queued",
    "reported",
    "retrying",
    "run_event",
    "run_number",
    "running",
    "status_of",
    "stored",
    "submitting",
    "succeeded",
    "suspended",
    "task",
    "under_way",
    "unread",
    "upstream",
    "upstream_run",
    "upstream_that",
    "vanished_message",
]
