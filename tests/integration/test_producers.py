"""An MLJob ends with the same status, whether its events come from the callbacks of
``mljob_airflow``, from Airflow's own producer (``[kafka_event_producer]``) or from both.

Recorded runs are played again through a real topic and a real Kubernetes API.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from devstack.stack import Stack
from mljob_operator.adapters.kafka import KafkaEvents
from mljob_operator.adapters.kubernetes.client import connect
from mljob_operator.adapters.kubernetes.jobs import Jobs
from mljob_operator.core.run.run_key import SETTINGS_AIRFLOW
from mljob_operator.ports import Message
from mljob_operator.sources.topic import TopicReader
from tests.fakes.meter import SilentMeter
from tests.live.eventually import eventually
from tests.live.kubectl import Kubectl, Watch
from tests.live.mljobs import Object, manifest
from tests.recordings import PRODUCERS, RECORDINGS, Recording, assert_both_cost_no_more_than_one, comparable
from tests.unit.operator.conftest import World

RUNS = (
    "parity_deferral",
    "parity_killed",
    "parity_mapped_groups",
    "parity_retries",
    "parity_setup_teardown",
    "train_model",
)
"""The names of recordings, one for each kind of run. ``tests/unit/operator/test_producers.py``
plays all recordings.
"""
ARRIVES_WITHIN = 30
"""The maximum number of seconds that a message may take from the producer to the consumer."""


class Topic:
    """A new topic, and the operator's consumer of this topic."""

    def __init__(self, servers: str) -> None:
        name = self.name = f"producers-{secrets.token_hex(4)}"
        admin = AdminClient({"bootstrap.servers": servers})
        [made] = admin.create_topics([NewTopic(name, num_partitions=1, replication_factor=1)]).values()
        made.result(ARRIVES_WITHIN)
        # With a committed offset, the consumer misses no message that is sent while it joins the
        # group.
        member = Consumer({"bootstrap.servers": servers, "group.id": name})
        member.commit(offsets=[TopicPartition(name, 0, 0)], asynchronous=False)
        member.close()
        self._producer = Producer({"bootstrap.servers": servers})
        self._arrived: asyncio.Queue[Message] = asyncio.Queue()
        self.events = KafkaEvents({"bootstrap.servers": servers}, topic=name, group_id=name)
        self.events.start(self._take, lambda _: None)

    async def bring(self, value: bytes, pipeline: TopicReader) -> None:
        self._producer.produce(self.name, value)
        assert await asyncio.to_thread(self._producer.flush, ARRIVES_WITHIN) == 0
        message = await asyncio.wait_for(self._arrived.get(), ARRIVES_WITHIN)
        assert message.value == value
        pipeline.deliver([message])

    async def close(self) -> None:
        await self.events.close()
        self._producer.close()

    def _take(self, messages: Sequence[Message]) -> None:
        for message in messages:
            self._arrived.put_nowait(message)


@pytest.fixture
async def topic(stack: Stack) -> AsyncIterator[Topic]:
    topic = Topic(stack.env["KAFKA_BOOTSTRAP_SERVERS"])
    yield topic
    await topic.close()


@pytest.fixture
async def store(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Jobs]:
    monkeypatch.setenv("KUBECONFIG", stack.operator_env()["KUBECONFIG"])
    api = await connect()
    yield Jobs(api)
    await api.close()


def name_of(run: str, who: str) -> str:
    return f"{run.replace('_', '-')}-{who}"


async def play(recording: Recording, who: str, namespace: str, store: Jobs, topic: Topic) -> None:
    """Play a recorded run again, with the messages of the producers that ``PRODUCERS[who]``
    selects.
    """
    world = World(store)
    pipeline = TopicReader(
        topic.events,
        world.job_controller,
        world.clock,
        SilentMeter(),
        origins=lambda _: {SETTINGS_AIRFLOW},
        prefix="mljob",
    )

    async def begin() -> None:
        job = await store.get((namespace, name_of(recording.run, who)))
        assert job is not None
        world.job_controller.observe(job)
        await world.settle()

    async def tell(message: dict[str, Any]) -> None:
        await topic.bring(json.dumps(message).encode(), pipeline)
        await world.settle()

    await recording.play(world, PRODUCERS[who], begin=begin, tell=tell)


def versions(watch: Watch) -> dict[str, dict[str, Object]]:
    """Return all versions of MLJobs that ``kubectl get --watch`` has printed, by the MLJob's name
    and then by resourceVersion.
    """
    found: dict[str, dict[str, Object]] = {}
    for _, job in watch.events():
        found.setdefault(job["metadata"]["name"], {})[job["metadata"]["resourceVersion"]] = job
    return found


async def test_each_producer_leads_to_the_same_final_status_and_both_cost_no_more_patches(
    kubectl: Kubectl, store: Jobs, topic: Topic
) -> None:
    namespace = f"producers-{secrets.token_hex(3)}"
    kubectl("create", "namespace", namespace)
    there = kubectl.within(namespace)
    played = [(RECORDINGS[run], who) for run in RUNS for who in PRODUCERS]
    there.apply(*(manifest(name_of(recording.run, who), recording.dag_id) for recording, who in played))
    with there.watch("mljobs") as watch:
        for recording, who in played:
            await play(recording, who, namespace, store, topic)
        newest = {
            item["metadata"]["name"]: item["metadata"]["resourceVersion"] for item in there.get("mljobs")["items"]
        }

        def seen() -> bool:
            shown = versions(watch)
            return all(version in shown.get(name, {}) for name, version in newest.items())

        eventually(seen, "the watch has seen the end of all")
    shown = versions(watch)
    there("delete", "mljobs", "--all", "--wait=false")
    for run in RUNS:
        names = {who: name_of(run, who) for who in PRODUCERS}
        for name in names.values():
            assert "Kafka" in {job["status"].get("statusSource") for job in shown[name].values()}, name
        ends = {who: shown[name][newest[name]]["status"] for who, name in names.items()}
        said = comparable(ends)
        assert said["ours"] == said["official"] == said["both"], run
        assert_both_cost_no_more_than_one({who: len(shown[name]) for who, name in names.items()})
