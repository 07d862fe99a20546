from __future__ import annotations

from typing import Any

import pytest

from mljob.resource import RETRY_REQUESTED_AT, MLJob
from mljob.view.pages.actions import Action, actions_for

RUN = "mljob.team-a.train.abc-1"


def actions(status: dict[str, Any], *, is_deleting: bool = False, requested: str = "", **spec: Any) -> list[Action]:
    metadata: dict[str, Any] = {"name": "train", "annotations": {RETRY_REQUESTED_AT: requested}}
    if is_deleting:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return list(actions_for(MLJob({"metadata": metadata, "spec": {"dagId": "train", **spec}, "status": status})))


def verbs(status: dict[str, Any], **arguments: Any) -> list[str]:
    return [str(action.verb) for action in actions(status, **arguments)]


RUNNING = {"phase": "Running", "dagRunId": RUN, "taskCounts": {"total": 5, "running": 2}}


@pytest.mark.parametrize(
    ("status", "spec", "expected"),
    [
        ({"phase": "Pending"}, {}, ["suspend", "cancel", "delete"]),
        (RUNNING, {}, ["suspend", "cancel", "delete"]),
        (RUNNING, {"cancel": True}, ["suspend", "delete"]),
        ({"phase": "Suspended"}, {"suspend": True}, ["resume", "cancel", "delete"]),
        ({"phase": "Failed"}, {}, ["retry", "delete"]),
        ({"phase": "Succeeded"}, {}, ["retry", "delete"]),
        ({"phase": "Cancelled"}, {"cancel": True}, ["delete"]),
        ({}, {}, ["suspend", "cancel", "delete"]),
    ],
    ids=lambda value: str(value),
)
def test_actions_fit_the_state(status: dict[str, Any], spec: dict[str, Any], expected: list[str]) -> None:
    assert verbs(status, **spec) == expected


@pytest.mark.parametrize(
    ("phase", "spec", "expected"),
    [
        ("Failed", {}, ["delete"]),
        ("Succeeded", {}, ["delete"]),
        ("Failed", {"suspend": True}, ["resume", "delete"]),
        ("Cancelled", {"suspend": True}, ["delete"]),
    ],
)
def test_retry_that_waits_is_not_offered_again(phase: str, spec: dict[str, Any], expected: list[str]) -> None:
    assert verbs({"phase": phase, "lastHandledRetry": "1"}, requested="2", **spec) == expected
    assert "resume" not in verbs({"phase": phase, "lastHandledRetry": "2"}, requested="2", **spec)


def test_nothing_is_offered_for_what_is_being_deleted() -> None:
    assert verbs(RUNNING, is_deleting=True) == []


def test_cancel_names_the_run_and_its_tasks_and_is_final() -> None:
    cancel = actions(RUNNING)[1]

    assert cancel.consequences[:2] == (f"Run {RUN} is cancelled in Airflow.", "2 tasks are running.")
    assert cancel.is_final
    assert cancel.question("train") == "Cancel train?"


def test_retry_says_what_runs_again() -> None:
    def first(status: dict[str, Any], **spec: Any) -> str:
        return actions(status, **spec)[0].consequences[0]

    assert "failed" in first({"phase": "Failed", "reason": "TaskFailed"})
    assert "in a new run" in first({"phase": "Failed", "reason": "TaskFailed"}, retryStrategy="NewRun")
    assert "in a new run" in first({"phase": "Failed", "reason": "DeadlineExceeded"})
    assert "outputs of the last run" in first({"phase": "Succeeded"})


def test_deletion_says_what_becomes_of_the_run() -> None:
    def delete(status: dict[str, Any], **spec: Any) -> str:
        return " ".join(actions(status, **spec)[-1].consequences)

    assert "is cancelled in Airflow" in delete(RUNNING)
    assert "continues in Airflow" in delete(RUNNING, deletionPolicy="Retain")
    assert "Its run stays in Airflow" in delete({"phase": "Succeeded", "dagRunId": RUN})
    assert "No run was submitted" in delete({"phase": "Pending"})
