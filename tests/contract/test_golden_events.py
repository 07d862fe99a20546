"""Recorded events of the provider (golden/) have the format of ``mljob_contract.events``, and agree
with the recorded answers of Airflow's REST API.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mljob_contract.events import CE_TYPE_PREFIX, EventName, TaskEvent

GOLDEN = Path(__file__).parent / "golden"
OURS = sorted((GOLDEN / "ours").glob("*.json"))


def messages(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.stem)
def test_each_message_is_an_event_of_its_run_with_cloudevents_headers(path: Path) -> None:
    for message in messages(path):
        event = TaskEvent.model_validate(message["value"])
        headers = dict(message["headers"])
        assert message["key"] == f"{event.dag_id}/{event.run_id}"
        assert headers["ce_type"] == CE_TYPE_PREFIX + event.event
        assert headers["ce_source"] == event.source
        assert event.mljob is not None


def test_recordings_contain_every_kind_of_event() -> None:
    seen = {message["value"]["event"] for path in OURS for message in messages(path)}
    assert seen == {name.value for name in EventName}


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.stem)
def test_end_of_a_try_agrees_with_rest(path: Path) -> None:
    answer = json.loads((GOLDEN / "rest" / f"{path.stem}.task_instances.json").read_text(encoding="utf-8"))
    rest = {(ti["task_id"], ti["map_index"], ti["try_number"]): ti for ti in answer["task_instances"]}
    ends = {"task_instance.success", "task_instance.failed", "task_instance.skipped"}
    for value in (message["value"] for message in messages(path) if message["value"]["event"] in ends):
        said = rest[value["task_id"], value["map_index"], value["try_number"]]
        assert (said["state"], said["operator"]) == (value["state"], value["operator"])
        assert said["max_tries"] == value["max_tries"]
