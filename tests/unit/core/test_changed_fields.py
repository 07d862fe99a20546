from __future__ import annotations

from typing import Any

import pytest

from .situations import Given, Stored, finished, given, job, reported, running, under_way

PROD: dict[str, Any] = {"airflow_ref": {"name": "prod"}}
UNSHOWN = "conf, confFrom, airflowRef, backfill or logicalDate changed"
LONG_BEFORE: dict[str, Any] = {"dag_id": "練" * 250, "airflow_ref": {"name": "a" * 253}}
LONG_AFTER: dict[str, Any] = {"dag_id": "訓" * 250, "airflow_ref": {"name": "b" * 253}}


def message_of(situation: Given) -> str:
    (told,) = [each["message"] for each in reported(situation)["conditions"] if each["type"] == "SpecApplied"]
    return str(told)


@pytest.mark.parametrize(
    ("spec", "status", "expected"),
    [
        pytest.param({}, under_way(ran={"dag_id": "other"}), "dagId changed from 'other' to 'train'", id="another DAG"),
        pytest.param(
            PROD,
            under_way(ran={"airflow_ref": {"name": "old"}}, airflow="old"),
            "airflowRef changed from AirflowInstance old to AirflowInstance prod",
            id="another AirflowInstance",
        ),
        pytest.param(
            PROD,
            under_way(ran={"airflow_ref": None, "dag_id": "other"}),
            "dagId changed from 'other' to 'train' and "
            "airflowRef changed from the Airflow of the operator's settings to AirflowInstance prod",
            id="another DAG, and an AirflowInstance instead of the operator's settings",
        ),
        pytest.param({}, under_way(ran={"conf": {"epochs": 2}}), UNSHOWN, id="a field that the status does not show"),
        pytest.param(
            {}, under_way(ran=PROD, airflow="prod"), UNSHOWN, id="no airflowRef: the default may be another one now"
        ),
        pytest.param(
            PROD, under_way(ran={"airflow_ref": None}, airflow="prod"), UNSHOWN, id="an airflowRef with the old default"
        ),
    ],
)
def test_refusal_names_the_changed_fields(spec: dict[str, Any], status: Stored, expected: str) -> None:
    message = message_of(given(job(**spec), status=status, run=running()))
    assert message.startswith(f"{expected} after the run was submitted")


def test_cancelled_change_names_the_changed_fields() -> None:
    changed = job(run_policy="OnChange", cancel=True, generation=2)
    message = message_of(given(changed, status=finished(ran={"dag_id": "other"})))
    assert message.startswith("dagId changed from 'other' to 'train', and cancel is true")


def test_long_names_leave_room_for_the_way_out() -> None:
    status = under_way(ran=LONG_BEFORE, airflow="a" * 253)
    message = message_of(given(job(**LONG_AFTER), status=status, run=running()))
    assert [name for name in ("練練", "訓訓", "aaa", "bbb") if name not in message] == []
    assert message.endswith("set runPolicy to OnChange.")
    assert len(message) <= 1024
