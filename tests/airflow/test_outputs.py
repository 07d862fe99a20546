from __future__ import annotations

import json
import logging
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from airflow.sdk.bases.xcom import BaseXCom
from airflow.sdk.execution_time.comms import SetXCom, _RequestFrame

from mljob_airflow import publish_outputs
from mljob_airflow.tasks import omissions, outputs
from mljob_airflow.tasks.outputs import MAX_BYTES, MAX_OMITTED, OMITTED_KEY


class Task:
    """A fake task instance that serialises each XCom with Airflow's own code."""

    id = "0199-a-try"

    def __init__(self) -> None:
        self.xcom: Any = None
        self.refusal: Exception | None = None

    def xcom_push(self, key: str, value: Any) -> None:
        assert key == "mljob_outputs"
        if self.refusal:
            raise self.refusal
        stored = BaseXCom.serialize_value(value, key=key, task_id="fit", dag_id="train", run_id="run", map_index=-1)
        message = SetXCom(key=key, value=stored, dag_id="train", run_id="run", task_id="fit")
        _RequestFrame(id=1, body=message.model_dump()).as_bytes()
        message.model_dump_json().encode()
        self.xcom = value


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> Task:
    task = Task()
    monkeypatch.setattr("airflow.sdk.get_current_context", lambda: {"ti": task}, raising=False)
    monkeypatch.setattr(outputs, "_published", {})
    monkeypatch.setattr(omissions, "_warned", set())
    return task


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


class Rude:
    def __fspath__(self) -> str:
        raise RuntimeError("no path")


Rude.__name__ = Rude.__qualname__ = "Rude"
CIRCLE: list[Any] = []
CIRCLE.append(CIRCLE)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (
            np.zeros((2, 2)),
            "numpy.ndarray is not a JSON value: publish plain numbers, or write the data to a file and publish its path",
        ),
        ({"weights": [np.arange(3)]}, "numpy.ndarray is not a JSON value"),
        (object(), "object is not a JSON value"),
        (b"bytes", "bytes is not a JSON value"),
        (math.nan, "not JSON compliant"),
        ({"loss": [math.inf]}, "not JSON compliant"),
        (np.float32("nan"), "not JSON compliant"),
        (2**63, "an integer outside of -2^63 to 2^63-1"),
        (10**5000, "integer string conversion"),
        ("half \ud800", "a string that is not valid Unicode"),
        ({"\ud800": 1}, "a string that is not valid Unicode"),
        (deep(33), "more than 32 levels"),
        (deep(100_000), "more than 32 levels"),
        (CIRCLE, "Circular reference"),
        ({"__classname__": "airflow.models.DAG"}, "Airflow reserves the key __classname__"),
        (Rude(), "no path"),
        (
            "x" * MAX_BYTES,
            f"it has {MAX_BYTES + 2} bytes as JSON, and all outputs of a task together may have {MAX_BYTES}",
        ),
    ],
    ids=lambda value: (
        type(value).__name__ if not isinstance(value, str) else value[:12].encode("ascii", "replace").decode()
    ),
)
def test_an_output_that_cannot_be_published_is_left_out_and_named(
    running: Task, caplog: pytest.LogCaptureFixture, value: Any, why: str
) -> None:
    with caplog.at_level(logging.WARNING):
        publish_outputs(model=value, accuracy=0.9)
    assert running.xcom == {"accuracy": 0.9, OMITTED_KEY: ["model"]}
    [record] = caplog.records
    assert record.getMessage().startswith("publish_outputs(): 'model' is left out: ")
    assert why in record.getMessage()


def test_valid_outputs_are_published_without_a_warning(running: Task, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        publish_outputs(
            path=Path("/models/a"),
            accuracy=np.float32(0.5),
            rows=np.int64(3),
            one=np.array([7]),
            text="ü\n",
            deep=deep(31),
        )
    assert running.xcom == {"path": "/models/a", "accuracy": 0.5, "rows": 3, "one": 7, "text": "ü\n", "deep": deep(31)}
    assert caplog.records == []


def test_the_largest_outputs_are_left_out_when_all_are_too_large(running: Task) -> None:
    publish_outputs(**{f"o{size}": "x" * size for size in (5000, 10, 3000, 4000)})
    assert list(running.xcom) == ["o10", "o3000", "o4000", OMITTED_KEY]
    assert running.xcom[OMITTED_KEY] == ["o5000"]
    publish_outputs(late="y" * 2000)
    assert list(running.xcom) == ["o10", "o3000", "late", OMITTED_KEY]
    assert sorted(running.xcom[OMITTED_KEY]) == ["o4000", "o5000"]


def test_outputs_are_published_up_to_the_limit(running: Task) -> None:
    rest = MAX_BYTES - len(json.dumps({"a": 1, "b": ""}))
    publish_outputs(a=1, b="x" * rest)
    assert len(json.dumps(running.xcom)) == MAX_BYTES
    publish_outputs(b="x" * (rest + 1))
    assert running.xcom == {"a": 1, OMITTED_KEY: ["b"]}


def test_the_last_value_decides_whether_an_output_is_left_out(running: Task) -> None:
    publish_outputs(loss=math.nan, score=1)
    publish_outputs(loss=0.1)
    assert running.xcom == {"loss": 0.1, "score": 1}
    publish_outputs(score=math.nan)
    assert running.xcom == {"loss": 0.1, OMITTED_KEY: ["score"]}


def test_the_reserved_key_is_not_a_valid_name_of_an_output(running: Task, caplog: pytest.LogCaptureFixture) -> None:
    publish_outputs(**{OMITTED_KEY: 1, "a": 1})
    assert running.xcom == {"a": 1, OMITTED_KEY: [OMITTED_KEY]}
    assert "the name is reserved" in caplog.text


def test_names_are_bounded_and_can_be_stored(running: Task) -> None:
    publish_outputs(**{"\ud800" * 100: 1}, **{f"o{number}": object() for number in range(1000)})
    names = running.xcom[OMITTED_KEY]
    assert (len(names), names[0]) == (MAX_OMITTED, "?" * 63)


def test_an_xcom_that_airflow_refuses_does_not_fail_the_task(running: Task, caplog: pytest.LogCaptureFixture) -> None:
    running.refusal = RuntimeError("the API server is away")
    publish_outputs(a=1)
    assert "publish_outputs(): all of ['a'] is left out: RuntimeError: the API server is away" in caplog.text


def test_a_report_accepts_numpy_numbers(
    running: Task, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from mljob_airflow.tasks.progress import clean_metrics, clean_progress

    given = {"loss": np.float32(0.5), "rows": np.int64(3), "best": np.array([2.0]), "flag": np.bool_(True)}
    assert clean_metrics(given) == {"loss": 0.5, "rows": 3.0, "best": 2.0, "flag": 1.0}
    assert clean_progress(np.float64(0.25)) == 0.25
    assert caplog.records == []
    assert clean_metrics({"weights": np.zeros(3), "name": np.str_("x"), "loss": 1}) == {"loss": 1.0}
    assert "metric 'weights' is left out: numpy.ndarray is not a number" in caplog.text
