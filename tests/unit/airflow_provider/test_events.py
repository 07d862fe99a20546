from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from mljob_airflow.events import callbacks
from mljob_airflow.events.callbacks import MAX_ERROR_LENGTH, event_from_context, mljob_callbacks
from mljob_airflow.events.cloudevents import message_from_event
from mljob_contract.backfill_marker import Marker
from mljob_contract.events import EventName, MLJobRef, TaskError, TaskEvent

NOW = datetime(2026, 5, 4, 12, 0, 10, tzinfo=UTC)
RUN_ID = "mljob.team-a.churn.train.abcdefgh23-1"


def context(**ti: Any) -> dict[str, Any]:
    fields = {
        "dag_id": "train",
        "run_id": RUN_ID,
        "task_id": "fit",
        "map_index": -1,
        "try_number": 2,
        "max_tries": 3,
        "start_date": NOW - timedelta(seconds=10),
        "end_date": None,
        "log_url": "http://airflow/dags/train",
        "hostname": "worker-1",
    }
    return {"ti": SimpleNamespace(**fields | ti), "task": SimpleNamespace(task_type="PythonOperator")}


def event(name: EventName = EventName.TASK_SUCCESS, ctx: dict[str, Any] | None = None) -> TaskEvent:
    return event_from_context(name, ctx or context(), source="prod", now=NOW)


def test_a_run_of_a_backfill_belongs_to_the_mljob_in_its_conf() -> None:
    ctx = context(run_id="backfill__2026-01-01T00:00:00+00:00")
    assert event(ctx=ctx).mljob is None
    ctx["dag_run"] = SimpleNamespace(conf={"rows": 5, **Marker(RUN_ID, 1).as_conf()})
    assert event(ctx=ctx).mljob == MLJobRef(namespace="team-a", name="churn.train")


def test_the_conf_of_an_mljobs_run_does_not_name_another_mljob() -> None:
    ctx = context()
    for run_id in ("mljob.team-b.other.abcdefgh23-1", "nonsense"):
        ctx["dag_run"] = SimpleNamespace(conf=Marker(run_id, 1).as_conf())
        assert event(ctx=ctx).mljob == MLJobRef(namespace="team-a", name="churn.train")


def test_an_event_has_identity_state_and_dates() -> None:
    assert event(ctx=context(end_date=NOW)) == TaskEvent(
        event=EventName.TASK_SUCCESS,
        timestamp=NOW,
        source="prod",
        dag_id="train",
        run_id=RUN_ID,
        task_id="fit",
        map_index=-1,
        try_number=2,
        max_tries=3,
        state="success",
        operator="PythonOperator",
        start_date=NOW - timedelta(seconds=10),
        end_date=NOW,
        duration=10.0,
        log_url="http://airflow/dags/train",
        hostname="worker-1",
        mljob=MLJobRef(namespace="team-a", name="churn.train"),
    )


def test_a_skipped_task_without_an_end_date_ends_now() -> None:
    # Airflow calls the callback for a skipped task before it sets the end date.
    told = event(EventName.TASK_SKIPPED)
    assert (told.end_date, told.duration) == (NOW, 10.0)
    assert event(EventName.TASK_RUNNING).end_date is None


def test_a_run_without_an_mljob_has_no_reference() -> None:
    assert event(ctx=context(run_id="manual__2026-05-04")).mljob is None


def test_an_event_from_the_dag_processor_has_the_identity_only() -> None:
    # Airflow calls some callbacks in the DAG processor, for example after a missing heartbeat. The
    # task instance then has no dates, and the context has no exception.
    ti = SimpleNamespace(dag_id="train", run_id="r", task_id="fit", map_index=None, try_number=1)
    told = event_from_context(EventName.TASK_FAILED, {"ti": ti}, source="prod", now=NOW)
    assert (told.map_index, told.error, told.duration, told.hostname) == (-1, None, None, None)


@pytest.mark.parametrize("name", [EventName.TASK_FAILED, EventName.TASK_UP_FOR_RETRY])
def test_the_event_of_a_failed_try_has_the_error(name: EventName) -> None:
    told = event(name, {**context(), "exception": ValueError("no label column")})
    assert told.error == TaskError(type="ValueError", message="no label column")


def test_a_long_error_is_cut() -> None:
    told = event(EventName.TASK_FAILED, {**context(), "exception": ValueError("x" * 5000)})
    assert told.error is not None
    assert len(told.error.message) == MAX_ERROR_LENGTH
    assert told.error.message.endswith("…")


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("broken __str__")


def test_an_exception_without_a_text_has_the_name_of_its_class() -> None:
    told = event(EventName.TASK_FAILED, {**context(), "exception": Unprintable()})
    assert told.error == TaskError(type="Unprintable", message="Unprintable")


def test_an_error_is_masked_before_it_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    # Airflow's masker finds only whole secrets.
    monkeypatch.setattr(callbacks, "masked", lambda text: text.replace("hunter2", "***"))
    told = event(
        EventName.TASK_FAILED, {**context(), "exception": ValueError("x" * (MAX_ERROR_LENGTH - 4) + "hunter2")}
    )
    assert told.error is not None
    assert told.error.message.endswith("x***")


def test_the_event_of_a_success_has_no_error() -> None:
    assert event(EventName.TASK_SUCCESS, {**context(), "exception": ValueError("earlier")}).error is None


def test_callbacks_compose_with_other_default_args() -> None:
    merged = {**mljob_callbacks(), "retries": 2}
    assert sorted(merged) == [
        "on_execute_callback",
        "on_failure_callback",
        "on_retry_callback",
        "on_skipped_callback",
        "on_success_callback",
        "retries",
    ]


def test_two_dags_do_not_share_their_callback_lists() -> None:
    assert mljob_callbacks()["on_success_callback"] is not mljob_callbacks()["on_success_callback"]


def test_a_message_has_the_run_as_key_and_cloudevents_attributes_as_headers() -> None:
    message = message_from_event(event(), event_id="an-id")
    assert message.key == f"train/{RUN_ID}".encode()
    assert dict(message.headers) == {
        "ce_specversion": b"1.0",
        "ce_id": b"an-id",
        "ce_source": b"prod",
        "ce_type": b"dev.mljob.task_instance.success",
        "ce_time": b"2026-05-04T12:00:10+00:00",
        "ce_subject": f"train/{RUN_ID}/fit".encode(),
        "content-type": b"application/json",
    }


def test_a_message_is_read_as_the_same_event() -> None:
    written = event(EventName.TASK_FAILED, {**context(map_index=3), "exception": ValueError("äöü")})
    message = message_from_event(written, event_id="an-id")
    assert TaskEvent.model_validate_json(message.value) == written
    assert json.loads(message.value)["map_index"] == 3
    assert dict(message.headers)["ce_subject"].endswith(b"/fit/3")
