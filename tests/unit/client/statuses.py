from __future__ import annotations

from typing import Any

Status = dict[str, Any]


def condition(kind: str, status: str, **fields: Any) -> dict[str, Any]:
    return {"type": kind, "status": status, "reason": "Test", "lastTransitionTime": "2026-01-01T00:00:00Z", **fields}


def running(progress: str = "1/3", **fields: Any) -> Status:
    conditions = [condition("Reconciling", "True"), condition("Stalled", "False")]
    return {"observedGeneration": 1, "phase": "Running", "progress": progress, "conditions": conditions, **fields}


def succeeded(**fields: Any) -> Status:
    conditions = [condition("Complete", "True"), condition("Reconciling", "False"), condition("Stalled", "False")]
    return {"observedGeneration": 1, "phase": "Succeeded", "conditions": conditions, **fields}


def failed(**fields: Any) -> Status:
    conditions = [condition("Failed", "True"), condition("Reconciling", "False"), condition("Stalled", "True")]
    task = {"taskId": "fit", "state": "failed", "tryNumber": 1, "error": {"type": "ValueError", "message": "no data"}}
    return {
        "observedGeneration": 1,
        "phase": "Failed",
        "reason": "TaskFailed",
        "message": "Task fit failed: ValueError: no data",
        "currentTask": "fit",
        "tasks": [task],
        "conditions": conditions,
        **fields,
    }


def refused(**fields: Any) -> Status:
    """The status after a run has succeeded and a change of the spec was refused."""
    why = {"reason": "RunPolicyOnce", "message": "conf changed after the run was submitted.", "observedGeneration": 2}
    conditions = [
        condition("Complete", "True", observedGeneration=1),
        condition("SpecApplied", "False", **why),
        condition("Reconciling", "False"),
        condition("Stalled", "True", **why),
    ]
    message = "The run succeeded."
    return succeeded(observedGeneration=2, reason="Succeeded", message=message, conditions=conditions, **fields)


def cancelled(**fields: Any) -> Status:
    return failed(phase="Cancelled", reason="CancelRequested", message="spec.cancel is true", **fields)


def stalled(**fields: Any) -> Status:
    conditions = [condition("Reconciling", "False"), condition("Stalled", "True")]
    message = "spec.conf.epochs: 'many' is not of type 'integer'"
    return {
        "observedGeneration": 1,
        "phase": "Pending",
        "reason": "ValidationFailed",
        "message": message,
        "conditions": conditions,
        **fields,
    }
