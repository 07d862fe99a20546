"""Which changes of a status the operator writes at once, and which changes may wait for a few
seconds. For example, a more exact time may wait.
"""

from __future__ import annotations

from typing import Any

import pytest

from mljob_operator.core.status.patches import merge_patch
from mljob_operator.core.status.significance import is_significant, shows_nothing_new

FIT = {"taskId": "fit", "state": "running", "startTime": "2026-01-01T12:00:00Z"}
LOAD = {"taskId": "load", "state": "success", "startTime": "2026-01-01T11:00:00Z", "endTime": "2026-01-01T11:30:00Z"}
READY = {"type": "Ready", "status": "False", "reason": "Running", "message": "1/2"}
STATUS: dict[str, Any] = {
    "phase": "Running",
    "message": "Task fit is running.",
    "currentTask": "fit",
    "startTime": "2026-01-01T11:00:00Z",
    "lastEventTime": "2026-01-01T12:00:00Z",
    "statusSource": "Kafka",
    "tasks": [FIT, LOAD],
    "conditions": [READY],
}
EXACT = "2026-01-01T12:00:00.250Z"


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"lastEventTime": EXACT}, id="the time of the last event"),
        pytest.param({"statusSource": "REST"}, id="the source"),
        pytest.param({"startTime": EXACT}, id="the start of the run"),
        pytest.param({"tasks": [FIT | {"startTime": EXACT}, LOAD]}, id="the start of a task"),
        pytest.param({"tasks": [FIT, LOAD | {"endTime": EXACT}]}, id="the end of a task"),
        pytest.param({"tasks": [LOAD, FIT]}, id="the order of the tasks"),
        pytest.param(
            {
                "tasks": [LOAD | {"startTime": EXACT}, FIT],
                "currentTask": "load",
                "message": "Task load is running.",
                "conditions": [READY | {"message": "Task load is running."}],
            },
            id="another current task, because of a more exact time",
        ),
    ],
)
def test_more_exact_times_wait_for_the_next_significant_change(change: dict[str, Any]) -> None:
    assert not is_significant(merge_patch(STATUS, STATUS | change), STATUS)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"phase": "Succeeded"}, id="the phase"),
        pytest.param({"message": "Task fit waits."}, id="the message, with the same current task"),
        pytest.param({"percent": 50}, id="a new field"),
        pytest.param({"conditions": []}, id="a condition less"),
        pytest.param({"conditions": [READY | {"status": "True"}]}, id="a condition's status"),
        pytest.param({"conditions": [READY | {"message": "2/2"}]}, id="a condition's message"),
        pytest.param({"tasks": [FIT]}, id="a task less"),
        pytest.param({"tasks": [FIT, LOAD, {"taskId": "score"}]}, id="a task more"),
        pytest.param({"tasks": [FIT | {"state": "success", "startTime": EXACT}, LOAD]}, id="the state of a task"),
        pytest.param({"tasks": None}, id="no tasks"),
    ],
)
def test_a_change_that_tells_readers_something_is_written_at_once(change: dict[str, Any]) -> None:
    changed = STATUS | change
    assert is_significant(merge_patch(STATUS, changed), STATUS)
    assert is_significant(merge_patch(changed, STATUS), changed)


def test_the_first_status_is_significant() -> None:
    assert is_significant(merge_patch({}, STATUS), {})
    assert not is_significant({}, {})


@pytest.mark.parametrize(
    ("patch", "source", "nothing"),
    [
        ({}, "Kafka", True),
        ({"lastEventTime": EXACT}, "REST", True),
        ({"lastEventTime": EXACT, "statusSource": "REST"}, "REST", True),
        ({"lastEventTime": EXACT}, "Kafka", False),
        ({"lastEventTime": EXACT, "startTime": EXACT}, "REST", False),
        ({"lastEventTime": EXACT, "percent": 50}, "REST", False),
    ],
)
def test_answer_that_repeats_the_stored_status_shows_nothing_new(
    patch: dict[str, Any], source: str, nothing: bool
) -> None:
    assert shows_nothing_new(patch, STATUS | {"statusSource": source} | patch) is nothing
