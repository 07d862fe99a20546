"""A silent MLJob's status is kept packed, and nobody can tell."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from mljob_contract.mljob import MLJobStatus, Phase
from mljob_operator.core.mljob.stored_status import StoredStatus

CONTENT: dict[str, Any] = {
    "phase": "Running",
    "attempts": 2,
    "outputs": {"score": 0.1 + 0.2, "name": "Zürich \ud83d\ude80".encode("utf-16", "surrogatepass").decode("utf-16")},
    "tasks": [
        {"taskId": f"task_{number}", "state": "none", "tryNumber": 0, "logUrl": f"https://airflow/{number}"}
        for number in range(20)
    ],
}


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
    """A status of 20 tasks has about 2 KB of JSON, and 100 objects of Python."""
    stored = StoredStatus(CONTENT)
    stored.pack()
    kept = [getattr(stored, name) for name in StoredStatus.__slots__]
    assert sum(map(sys.getsizeof, kept)) < 700
