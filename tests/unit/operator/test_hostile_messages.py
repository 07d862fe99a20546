"""Each valid message among many hostile messages reaches the status of its MLJob."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from random import Random
from typing import Any

import pytest

from mljob_operator.ports import Message
from mljob_operator.sources.topic import TopicReader
from tests.fakes.meter import SilentMeter
from tests.hostile import hostile

from .conftest import World
from .topics import FakeTopic

HOSTILE, JOBS, TASKS = 10_000, 20, 10
BATCH = 500
TOPIC = "airflow.events"


class CountingMeter(SilentMeter):
    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()

    def event(self, outcome: str) -> None:
        self.outcomes[outcome] += 1


async def world_with_runs() -> World:
    world = World()
    world.airflow.dags["wide"] = tuple(f"task_{i}" for i in range(TASKS))
    for i in range(JOBS):
        world.jobs.create(f"job-{i}", {"dagId": "wide"})
    await world.see_all()
    for run in world.airflow.runs.values():
        world.airflow.begin(run)
    await world.look()
    world.clock.tick(30)
    return world


def good_messages(world: World) -> list[dict[str, Any]]:
    """Return one message for each task of each run in the simulated Airflow. The message says that
    the task has succeeded. Half of the messages have the format of the MLJob provider, and the
    other half have the format of Airflow's own producer.
    """
    made = []
    ends = [(run.run_id, task) for run in world.airflow.runs.values() for task, _ in run.tasks]
    for n, (run_id, task) in enumerate(ends):
        form = {"schema_version": 1} if n % 2 else {"mljob_version": 1, "max_tries": 0}
        made.append(
            {
                **form,
                "event": "task_instance.success",
                "timestamp": (world.clock() + timedelta(milliseconds=n)).isoformat(),
                "dag_id": "wide",
                "run_id": run_id,
                "task_id": task,
                "try_number": 1,
                "map_index": -1,
            }
        )
    return made


async def deliver(world: World, values: Sequence[bytes | None]) -> tuple[FakeTopic, CountingMeter]:
    topic, meter = FakeTopic(), CountingMeter()
    pipeline = TopicReader(
        topic,
        world.job_controller,
        world.clock,
        meter,
        origins=lambda source: world.registry.origins(TOPIC, source),
        prefix="mljob",
    )
    messages = [Message((TOPIC, n % 3), n // 3, None, value, 0) for n, value in enumerate(values)]
    for start in range(0, len(messages), BATCH):
        pipeline.deliver(messages[start : start + BATCH])
        await world.settle()
    pipeline.revoked([])
    assert topic.pauses == [], "fetching was stopped"
    return topic, meter


def statuses(world: World) -> dict[str, Any]:
    return {
        body["metadata"]["name"]: {name: value for name, value in body["status"].items() if name != "submittedBy"}
        for body in world.jobs.objects.values()
    }


async def test_every_valid_message_is_in_its_status_and_nothing_stops(caplog: pytest.LogCaptureFixture) -> None:
    undisturbed = await world_with_runs()
    await deliver(undisturbed, [json.dumps(message).encode() for message in good_messages(undisturbed)])

    world, random = await world_with_runs(), Random(13)
    good = good_messages(world)
    values = [hostile(random, random.choice(good)) for _ in range(HOSTILE)]
    for message, at in zip(good, sorted(random.sample(range(HOSTILE), len(good))), strict=True):
        values.insert(at, json.dumps(message).encode())
    topic, meter = await deliver(world, values)

    assert {name: status["taskCounts"] for name, status in statuses(world).items()} == {
        f"job-{i}": {"total": TASKS, "success": TASKS} for i in range(JOBS)
    }
    assert statuses(world) == statuses(undisturbed)
    assert topic.committed == {(TOPIC, n): len(range(n, len(values), 3)) for n in range(3)}
    assert meter.outcomes.total() == len(values)
    assert meter.outcomes["unreadable"] == len(topic.dead_letters) > HOSTILE / 2
    assert meter.outcomes["tombstone"] > 0
    assert {why.partition(":")[0] for why in topic.dead_letters} == {
        "too_large",
        "not_json",
        "unknown_format",
        "invalid",
    }
    assert [record.message for record in caplog.records if record.levelno >= logging.ERROR] == []
    assert sum("unreadable message" in record.message for record in caplog.records) == 4, "each kind is logged once"
    assert len(world.job_controller.workers.tracked) == JOBS, "nobody is remembered who is not there"


async def test_error_in_one_message_does_not_affect_the_others(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world = await world_with_runs()
    good = good_messages(world)
    tell = world.job_controller.observe_event

    def breaks(key: Any, meant: Any, fact: Any, done: Any) -> None:
        if key[1] == "job-0":
            raise RecursionError("as nobody expected")
        tell(key, meant, fact, done)

    monkeypatch.setattr(world.job_controller, "observe_event", breaks)
    topic, meter = await deliver(world, [json.dumps(message).encode() for message in good])
    assert topic.committed == {(TOPIC, n): len(range(n, len(good), 3)) for n in range(3)}
    assert (meter.outcomes["applied"], meter.outcomes["unreadable"]) == (len(good) - TASKS, TASKS)
    assert topic.dead_letters[0].startswith("unexpected: RecursionError")
    assert statuses(world)["job-1"]["taskCounts"]["success"] == TASKS
