"""A Kafka broker of a test's own, with the listeners that the test is about; it ends with the block."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from devstack.component import Component
from devstack.kafka import Kafka
from devstack.ports import HOST, Ports
from devstack.processes import ManagedProcess
from tests.live.eventually import eventually

WITHIN = 180
"""Seconds that a JVM may take to begin on a machine that is busy."""


class Broker:
    """A broker, which runs while the block does.

    Args:
        directory: Where its data, its log and its ports are.
        topic: A topic that is there from the beginning.
        listeners: The names of its further listeners; the first, PLAINTEXT, has neither TLS nor login.
        properties: Its settings.
    """

    def __init__(self, directory: Path, topic: str, listeners: Sequence[str], properties: Mapping[str, object]) -> None:
        self._ports = Ports(directory)
        self._kafka = Kafka(
            directory,
            self._ports,
            topic,
            listeners={name: self._ports[name] for name in listeners},
            properties=properties,
        )
        self._process = ManagedProcess(directory, "kafka")
        self.plain = self._kafka.bootstrap_servers

    def address(self, listener: str) -> str:
        """Where this listener is."""
        return f"{HOST}:{self._ports[listener]}"

    def __enter__(self) -> Broker:
        try:
            self.start()
        except BaseException:
            self._process.kill()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()

    def start(self) -> None:
        """Start it, again with what it had."""
        for part in self._kafka.parts():
            if isinstance(part, Component):
                part.prepare()
                self._process.start(part.command())
                eventually(
                    part.ready,
                    "the broker is up",
                    within=WITHIN,
                    evidence=lambda: self._process.log.read_text()[-3000:],
                )
            else:
                part.run()

    def end(self) -> None:
        """End it as a crash would."""
        self._process.kill()
