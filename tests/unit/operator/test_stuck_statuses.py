"""The topic is read on if the status of one MLJob can't be stored."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from mljob_operator.core.mljob.resource.job import Job
from mljob_operator.core.run.offsets import Partition
from mljob_operator.core.run.run_key import SETTINGS_AIRFLOW, RunKey
from mljob_operator.core.run.states import TaskState
from mljob_operator.errors import StoreForbidden
from mljob_operator.ports import Message
from mljob_operator.sources.topic import TopicReader
from tests.fakes.meter import SilentMeter
from tests.strategies import event

from .conftest import KEY, World
from .runs import begin, newest
from .topics import FakeTopic

PARTITION: Partition = ("airflow.events", 0)
MAX_IN_FLIGHT = 300
"""The number of messages that are not done above which the reader of these tests pauses."""
MAX_UNACKNOWLEDGED = 20
"""The number of events that one MLJob of these tests may keep unacknowledged."""


class StatusDenial:
    """Denies the statuses of one MLJob, as an admission webhook does.

    Attributes:
        denies: Whether statuses are denied.
        denied: Is set when a status has been denied.
    """

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self.denies = True
        self.denied = asyncio.Event()
        write_status = world.jobs.write_status

        async def write(job: Job, *args: Any) -> Any:
            if self.denies and job.key == KEY:
                self.denied.set()
                raise StoreForbidden("admission webhook denied the request")
            return await write_status(job, *args)

        monkeypatch.setattr(world.jobs, "write_status", write)
        monkeypatch.setattr("mljob_operator.controllers.mljob.steps.backoff", lambda *_: 0.01)


@pytest.fixture
async def denial(world: World, monkeypatch: pytest.MonkeyPatch) -> StatusDenial:
    monkeypatch.setattr("mljob_operator.sources.topic.MAX_IN_FLIGHT", MAX_IN_FLIGHT)
    monkeypatch.setattr("mljob_operator.controllers.mljob.worker_state.MAX_UNACKNOWLEDGED", MAX_UNACKNOWLEDGED)
    await world.apply()
    await begin(world)
    return StatusDenial(world, monkeypatch)


def reader_of(world: World, topic: FakeTopic) -> TopicReader:
    return TopicReader(
        topic, world.job_controller, world.clock, SilentMeter(), origins=lambda _: {SETTINGS_AIRFLOW}, prefix="mljob"
    )


def message(world: World, partition: Partition, offset: int, task: str = "extract", map_index: int = -1) -> Message:
    """Return a message about a task of the MLJob's run."""
    content = {
        "schema_version": 1,
        "event": "task_instance.success",
        "timestamp": world.clock().isoformat(),
        "dag_id": "train",
        "run_id": newest(world).run_id,
        "task_id": task,
        "try_number": 1,
        "map_index": map_index,
    }
    return Message(partition, offset, None, json.dumps(content).encode(), 0)


async def test_messages_that_no_mljob_needs_do_not_count(world: World, denial: StatusDenial) -> None:
    topic = FakeTopic()
    reader = reader_of(world, topic)
    reader.deliver([message(world, PARTITION, 0)])
    for offset in range(1, 2 * MAX_IN_FLIGHT):
        reader.deliver([Message(PARTITION, offset, None, None, 0)])
    reader.revoked([])
    assert (topic.pauses, topic.committed) == ([], {PARTITION: 0})
    denial.denies = False
    await world.settle()
    reader.revoked([])
    assert (topic.pauses, topic.committed) == ([], {PARTITION: 2 * MAX_IN_FLIGHT})


@pytest.mark.parametrize("first_batch", [0, MAX_IN_FLIGHT], ids=["in the inbox", "in the inbox and in a denied status"])
async def test_events_of_one_mljob_do_not_pause_the_reader(
    world: World, denial: StatusDenial, first_batch: int
) -> None:
    topic, number = FakeTopic(), 2 * MAX_IN_FLIGHT
    reader = reader_of(world, topic)
    messages = [message(world, PARTITION, offset, "fit", offset) for offset in range(number)]
    if first_batch:
        reader.deliver(messages[:first_batch])
        await denial.denied.wait()
    reader.deliver(messages[first_batch:])
    reader.revoked([])
    assert (topic.pauses, topic.committed) == ([], {PARTITION: number - MAX_UNACKNOWLEDGED})
    denial.denies = False
    await world.settle()
    reader.revoked([])
    assert topic.committed == {PARTITION: number}
    assert world.status.task_counts is not None
    assert world.status.task_counts.success == number, "the facts of all events are kept"


async def test_reader_resumes_when_the_partition_of_the_messages_is_revoked(
    world: World, denial: StatusDenial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mljob_operator.sources.topic.MAX_IN_FLIGHT", MAX_UNACKNOWLEDGED // 2)
    topic = FakeTopic()
    reader = reader_of(world, topic)
    reader.deliver([message(world, PARTITION, offset, "fit", offset) for offset in range(MAX_UNACKNOWLEDGED)])
    assert topic.pauses == [True]
    reader.revoked([PARTITION])
    assert topic.pauses == [True, False]
    denial.denies = False
    await world.settle()


async def test_inbox_keeps_the_newest_facts(
    world: World, denial: StatusDenial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mljob_operator.controllers.mljob.worker_state.MAX_UNREAD_FACTS", MAX_UNACKNOWLEDGED)
    run = RunKey(SETTINGS_AIRFLOW, "train", newest(world).run_id)
    facts = [event("fit", TaskState.RUNNING, map_index=n) for n in range(2 * MAX_UNACKNOWLEDGED)]
    for fact in facts:
        world.job_controller.observe_event(KEY, {run}, fact, lambda: world.done.append(1))
    worker = world.job_controller.workers.get(KEY)
    assert worker is not None
    assert [fact for _, fact in worker.inbox.facts] == facts[MAX_UNACKNOWLEDGED:]
    assert len(world.done) == MAX_UNACKNOWLEDGED
    denial.denies = False
    await world.settle()
    assert len(world.done) == 2 * MAX_UNACKNOWLEDGED
