from __future__ import annotations

import sys
from typing import Any

import pytest

from mljob_contract.mljob import MLJobStatus, Phase
from mljob_operator.core.mljob.resource.stored_status import StoredStatus

CONTENT: dict[str, Any] = {
    "phase": "Running",
    "attempts": 2,
    "outputs": {"score": 0.1 + 0.2, "name": "Zürich \ud83d\ude80".encode("utf-16", "surrogatepass").decode("utf-16")},
    "tasks": [
        {"taskId": f"task_{number}", "state": "none", "tryNumber": 0, "logUrl": f"https://airflow/{number}"}
        for number in range(20)
    ],
}


def changed(number: int, **fields: Any) -> dict[str, Any]:
    tasks = [task | fields if index == number else task for index, task in enumerate(CONTENT["tasks"])]
    return CONTENT | {"attempts": 3, "tasks": tasks}


LATER: dict[str, dict[str, Any]] = {
    "a task has changed": changed(3, state="running", startTime="2026-01-01T00:00:00+24:00"),
    "a task is invalid": changed(3, state=["running"]),
    "a task was added in front": CONTENT | {"tasks": [{"taskId": "first", "state": "none"}, *CONTENT["tasks"]]},
    "a task was removed": CONTENT | {"tasks": CONTENT["tasks"][1:]},
    "the tasks are gone": {"phase": "Queued"},
    "the tasks are no list": CONTENT | {"tasks": "none"},
    "a field is invalid": CONTENT | {"attempts": "many"},
    "conditions were added": CONTENT | {"conditions": [{"type": "Ready", "status": "True", "reason": "R"}]},
}


@pytest.mark.parametrize("packed", [False, True], ids=["known", "packed"])
@pytest.mark.parametrize("earlier", [{}, CONTENT, LATER["a task is invalid"]], ids=["nothing", "all", "invalid"])
@pytest.mark.parametrize("later", LATER.values(), ids=LATER)
def test_later_version_reads_the_same_whatever_is_known(
    later: dict[str, Any], earlier: dict[str, Any], packed: bool
) -> None:
    before = StoredStatus(earlier)
    if packed:
        before.pack()
    alone, after = StoredStatus(later), StoredStatus(later, before)
    assert (after.content, after.fields, after.is_invalid) == (alone.content, alone.fields, alone.is_invalid)


def test_only_the_changed_item_of_a_list_is_read_again() -> None:
    before = StoredStatus(CONTENT)
    after = StoredStatus(LATER["a task has changed"], before)
    tasks = list(zip(before.fields.tasks or (), after.fields.tasks or (), strict=True))
    assert [number for number, (one, other) in enumerate(tasks) if one is not other] == [3]


@pytest.mark.parametrize("content", [{}, CONTENT])
def test_packed_status_reads_as_before(content: dict[str, Any]) -> None:
    stored = StoredStatus(content)
    fields = stored.fields
    stored.pack()
    assert (stored.content, stored.fields) == (content, fields)
    stored.pack()
    assert stored == StoredStatus(content)


def test_field_that_does_not_fit_is_absent_and_named_after_packing_too() -> None:
    stored = StoredStatus({"phase": "Running", "attempts": "many"})
    stored.pack()
    assert (stored.is_invalid, stored.fields.phase, stored.fields.attempts) == (True, Phase.RUNNING, None)
    assert stored.content["attempts"] == "many", "the next patch replaces it"


@pytest.mark.parametrize("value", [None, "Running", ["Running"]])
def test_anything_but_an_object_is_an_empty_status(value: object) -> None:
    assert StoredStatus(value).content == {}


def test_status_of_fields_has_their_content() -> None:
    assert StoredStatus.of(MLJobStatus(phase=Phase.QUEUED, attempts=1)).content == {"phase": "Queued", "attempts": 1}


def test_packed_status_takes_little_memory() -> None:
    stored = StoredStatus(CONTENT)
    stored.pack()
    kept = [getattr(stored, name) for name in StoredStatus.__slots__]
    assert sum(map(sys.getsizeof, kept)) < 700
