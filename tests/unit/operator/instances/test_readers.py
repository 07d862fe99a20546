"""The operator runs one reader for each Kafka topic with task events, and one reader for the
changes in each Airflow.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.live.eventually import until

from .conftest import Platform


class SilentConsumer:
    def __init__(self, topic: str, closed: list[str], started: list[str] | None = None) -> None:
        self._topic, self._closed, self._started = topic, closed, started

    def start(self, *_: Any) -> None:
        if self._started is not None:
            self._started.append(self._topic)

    def commit(self, *_: Any) -> None: ...

    async def close(self) -> None:
        self._closed.append(self._topic)


async def test_dead_letter_topic_is_never_read_as_an_event_topic(
    world: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    running: list[str] = []

    def do(duty: Any, name: str) -> asyncio.Task[None]:
        running.append(name)
        duty.close()
        return asyncio.create_task(asyncio.sleep(0))

    readers = world.supervisor(do, lambda topic: SilentConsumer(topic, []), dead_letter_topic="mljob.unreadable")
    await world.add_instance("third", kafka={"topic": "mljob.unreadable"})
    readers.start()
    readers.follow()
    assert "status pipeline airflow.events" in running
    assert "status pipeline mljob.unreadable" not in running
    assert [record.levelname for record in caplog.records if "mljob.unreadable is not read" in record.message] == [
        "WARNING"
    ]


async def test_readers_start_and_stop_with_their_instances(world: Platform) -> None:
    running: dict[str, asyncio.Task[None]] = {}
    closed: list[str] = []
    started: list[str] = []

    def do(duty: Any, name: str) -> asyncio.Task[None]:
        running[name] = asyncio.create_task(duty, name=name)
        running[name].add_done_callback(lambda _: running.pop(name))
        return running[name]

    readers = world.supervisor(do, lambda topic: SilentConsumer(topic, closed, started))
    readers.start()
    assert set(running) == {"resync prod", "resync staging", "status pipeline airflow.events"}
    await world.add_instance("third", kafka={"topic": "third.events"})
    readers.follow()
    readers.follow()
    assert set(running) == {
        "resync prod",
        "resync staging",
        "resync third",
        "status pipeline airflow.events",
        "status pipeline third.events",
    }
    await until(lambda: "third.events" in started)
    uid = world.instance_objects.get("third").uid
    world.instance_objects.user_deletes("third")
    await world.see_all()
    await world.instances.reconcile("third")
    world.instances.observe_deletion("third", uid)
    readers.follow()
    await until(lambda: len(running) == 3)
    assert closed == ["third.events"]
    for task in list(running.values()):
        task.cancel()
    await until(lambda: not running)
