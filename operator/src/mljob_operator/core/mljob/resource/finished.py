"""The record of how an MLJob ended, in the annotation ``mljob.dev/finished``.

The Kubernetes API server drops the status of an object that is created from a manifest. So an MLJob
that is restored with ``kubectl apply`` or Velero has no status, and would run again. An MLJob with
a record but without a status counts as finished, as if its status had been restored.

People can write annotations. So the operator limits the size of a record, and ignores the record
unless its run id has the prefix of this operator and the namespace and name of the MLJob. The
record gives its author no further permissions, because access rules are checked before each request
to Airflow.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mljob_contract.mljob import FINISHED, MLJobStatus
from mljob_contract.run_id import RunId

from ...run.run_key import Key
from ...run.states import TERMINAL_PHASES
from ...text.fitting import fitting
from ...text.storable import cut

MAX_RECORD = 16_384
"""The maximum length of a record, in characters. A longer annotation counts as absent."""
MAX_MESSAGE = 1024
MAX_MESSAGE_BYTES = 2048
"""The limits of the message in a record, in characters (``MAX_MESSAGE``) and in bytes of JSON
(``MAX_MESSAGE_BYTES``).
"""
MAX_ATTEMPTS = 999_999
"""The highest number of an attempt, because this number has at most six digits in a run id."""

_FIELDS = frozenset(
    {
        "phase",
        "reason",
        "message",
        "attempts",
        "failed_attempts",
        "last_handled_retry",
        "dag_id",
        "dag_run_id",
        "airflow_instance",
        "spec_hash",
        "submit_time",
        "start_time",
        "completion_time",
    }
)
_NAMES = frozenset(str(MLJobStatus.model_fields[name].alias or name) for name in _FIELDS)


def record(status: MLJobStatus) -> str | None:
    """Return the record of a finished MLJob as JSON. Return None if the MLJob has not finished, or
    had no run.
    """
    if status.phase not in TERMINAL_PHASES or status.dag_run_id is None or status.completion_time is None:
        return None
    short = status.model_copy(update={"message": cut(status.message or "", MAX_MESSAGE, MAX_MESSAGE_BYTES)})
    fields = short.model_dump(mode="json", by_alias=True, include=set(_FIELDS), exclude_none=True)
    return json.dumps(fields, separators=(",", ":"), sort_keys=True)


def restored(key: Key, annotations: object, status: MLJobStatus, prefix: str) -> MLJobStatus | None:
    """Return the status in an MLJob's record (the annotation ``mljob.dev/finished``). Return None
    if the MLJob has a status, or has no valid record, or if the run in the record belongs to
    another MLJob or operator.

    Args:
        key: Namespace and name of the MLJob.
        annotations: The annotations of the MLJob, as the Kubernetes API server sends them.
        status: The status of the MLJob.
        prefix: The prefix of this operator's dag run ids.
    """
    text = annotations.get(FINISHED) if isinstance(annotations, Mapping) else None
    if status.phase is not None or status.attempts is not None or not isinstance(text, str):
        return None
    fields = _fields(text)
    recorded, problems = fitting(MLJobStatus, fields, "status", bounds={}, placeholders={})
    if problems or not _is_complete(recorded) or not _is_own(key, recorded.dag_run_id or "", prefix):
        return None
    message = cut(recorded.message or "", MAX_MESSAGE, MAX_MESSAGE_BYTES)
    return recorded.model_copy(update={"observed_generation": status.observed_generation, "message": message})


def _fields(text: str) -> dict[str, Any]:
    if len(text) > MAX_RECORD:
        return {}
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return {name: field for name, field in value.items() if name in _NAMES} if isinstance(value, dict) else {}


def _is_complete(status: MLJobStatus) -> bool:
    ended = status.phase in TERMINAL_PHASES and status.completion_time is not None
    counted = 1 <= (status.attempts or 0) <= MAX_ATTEMPTS and (status.failed_attempts or 0) <= MAX_ATTEMPTS
    return ended and counted and status.dag_id is not None


def _is_own(key: Key, run_id: str, prefix: str) -> bool:
    run = RunId.parse(run_id)
    return run is not None and (run.prefix, run.namespace, run.name) == (prefix, *key)
