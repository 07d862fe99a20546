"""Apache Kafka for the stack: one process that is both broker and controller (KRaft), and the topic
for events.
"""

from __future__ import annotations

import base64
import time
import uuid
from collections.abc import Mapping
from pathlib import Path

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from devstack import jars
from devstack.component import Component, Step
from devstack.errors import StackError
from devstack.ports import HOST, Ports, accepts
from devstack.processes import Command, run

PARTITIONS = 4


class Kafka:
    """The Kafka broker of one stack, and the topic for events.

    Args:
        listeners: The ports of further listeners, by the name of the listener. The broker always
            has the listener `PLAINTEXT`, which has neither TLS nor a login.
        properties: Properties of the broker and of its listeners. These properties override the
            properties that the stack sets itself.
    """

    def __init__(
        self,
        directory: Path,
        ports: Ports,
        topic: str,
        *,
        listeners: Mapping[str, int] | None = None,
        properties: Mapping[str, object] | None = None,
    ) -> None:
        self._directory = directory / "kafka"
        self._ports = ports
        self._topic = topic
        self._listeners = dict(listeners or {})
        self._properties = dict(properties or {})

    @property
    def bootstrap_servers(self) -> str:
        """The value of `bootstrap.servers` for clients."""
        return f"{HOST}:{self._ports['kafka']}"

    def parts(self) -> list[Component | Step]:
        """Return the component that runs the broker, and the step that creates the topic. The step
        is needed, because the broker does not create a topic when a client first uses the topic.
        """
        return [
            Component(
                "kafka",
                self._command,
                lambda: accepts(self._ports["kafka"]) and bool(self._admin().list_topics(timeout=5).brokers),
                ports=("kafka", "kafka-controller"),
                prepare=self._prepare,
                bound=180,
            ),
            Step("topics", self._make_topic, needs=("kafka",)),
        ]

    def _admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.bootstrap_servers, "log_level": 0})

    def _java(self, main: str, *arguments: str, memory: str) -> tuple[str, ...]:
        settings = Path(jars.__file__).parent / "jars" / "log4j2.properties"
        return (
            jars.java(),
            f"-Xmx{memory}",
            # Use only Java's first compiler (C1). For a broker that runs for minutes, the second
            # compiler costs more time than it saves.
            "-XX:TieredStopAtLevel=1",
            "-XX:+UseSerialGC",
            f"-Djava.io.tmpdir={self._directory}",
            f"-Dlog4j2.configurationFile={settings}",
            "-cp",
            f"{jars.kafka()}/*",
            main,
            *arguments,
        )

    def _command(self) -> Command:
        return Command(self._java("kafka.Kafka", str(self._directory / "server.properties"), memory="512m"))

    def _prepare(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        broker, controller = self._ports["kafka"], self._ports["kafka-controller"]
        further = "".join(f",{name}://{HOST}:{port}" for name, port in self._listeners.items())
        settings: dict[str, object] = {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@{HOST}:{controller}",
            "listeners": f"PLAINTEXT://{HOST}:{broker},CONTROLLER://{HOST}:{controller}{further}",
            "advertised.listeners": f"PLAINTEXT://{HOST}:{broker}{further}",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": self._directory / "data",
            "auto.create.topics.enable": "false",
            "num.partitions": PARTITIONS,
            "offsets.topic.num.partitions": 4,
            "offsets.topic.replication.factor": 1,
            "transaction.state.log.num.partitions": 4,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "share.coordinator.state.topic.replication.factor": 1,
            "share.coordinator.state.topic.min.isr": 1,
            # The first member of a consumer group does not wait for other members, because tests
            # start one consumer.
            "group.initial.rebalance.delay.ms": 0,
            **self._properties,
        }
        file = self._directory / "server.properties"
        file.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        if not (self._directory / "data" / "meta.properties").exists():
            cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
            # Write the option with an equals sign. One id in 64 begins with a hyphen, and without
            # the sign such an id would be read as an option.
            arguments = ("format", f"--cluster-id={cluster}", f"--config={file}")
            run(self._java("kafka.tools.StorageTool", *arguments, memory="128m"))

    def _make_topic(self) -> None:
        deadline = time.monotonic() + 30
        admin = self._admin()
        while True:
            [made] = admin.create_topics(
                [NewTopic(self._topic, num_partitions=PARTITIONS, replication_factor=1)]
            ).values()
            try:
                made.result(timeout=10)
            except KafkaException as problem:
                if problem.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
                    return
                if time.monotonic() > deadline:
                    raise StackError(f"The topic {self._topic} could not be created: {problem}") from problem
                time.sleep(0.5)
            else:
                return
