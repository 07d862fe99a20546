"""The annotation that records how an MLJob ended."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from mljob_contract.mljob import FINISHED, MAX_RETRY_REQUEST, MLJobStatus, Phase
from mljob_operator.core.mljob.resource.finished import MAX_RECORD, record, restored

KEY = ("team-a", "churn")
AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ENDED = MLJobStatus(
    phase=Phase.SUCCEEDED,
    reason="Succeeded",
    message="All tasks succeeded.",
    attempts=2,
    dag_id="train",
    dag_run_id="mljob.team-a.churn.aaaaaaaaaa-2",
    airflow_instance="prod",
    spec_hash="bbbbbbbbbb",
    submit_time=AT,
    start_time=AT,
    completion_time=AT,
    last_handled_retry="now",
)


def read(text: str | None, status: MLJobStatus | None = None, prefix: str = "mljob") -> MLJobStatus | None:
    return restored(KEY, {FINISHED: text}, status or MLJobStatus(observed_generation=-1), prefix)


def test_a_record_is_read_as_it_was_written() -> None:
    assert read(record(ENDED)) == ENDED.model_copy(update={"observed_generation": -1})


@pytest.mark.parametrize("character", ["a", "ä", "🙏", '"', "\x01"])
def test_the_longest_record_fits(character: str) -> None:
    long = ENDED.model_copy(
        update={"message": character * 100_000, "last_handled_retry": character * MAX_RETRY_REQUEST}
    )
    text = record(long)

    assert text is not None
    assert len(text) <= MAX_RECORD
    found = read(text)
    assert found is not None
    assert found.last_handled_retry == character * MAX_RETRY_REQUEST


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"phase": Phase.RUNNING}, id="in progress"),
        pytest.param({"phase": None}, id="not seen yet"),
        pytest.param({"dag_run_id": None}, id="without a run"),
        pytest.param({"completion_time": None}, id="without an end"),
    ],
)
def test_only_a_finished_mljob_with_a_run_has_a_record(fields: dict[str, Any]) -> None:
    assert record(ENDED.model_copy(update=fields)) is None


@pytest.mark.parametrize(
    "status", [MLJobStatus(phase=Phase.PENDING), MLJobStatus(attempts=1)], ids=["a phase", "an attempt"]
)
def test_a_status_is_stronger_than_a_record(status: MLJobStatus) -> None:
    assert read(record(ENDED), status) is None


def test_another_operators_record_does_not_count() -> None:
    assert read(record(ENDED), prefix="other") is None


@pytest.mark.parametrize("annotations", [None, [], "", {FINISHED: 7}, {FINISHED: ""}, {}])
def test_annotations_of_any_form_are_read(annotations: object) -> None:
    assert restored(KEY, annotations, MLJobStatus(), "mljob") is None


def test_an_unknown_field_of_a_record_is_ignored() -> None:
    text = json.dumps(json.loads(record(ENDED) or "") | {"outputs": {"a": 1}, "new": 1})
    found = read(text)

    assert found is not None
    assert found.outputs is None
