from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from devstack.component import Component
from devstack.kafka import Kafka
from devstack.ports import HOST, Ports
from devstack.processes import ManagedProcess
from tests.live.eventually import eventually

WITHIN = 180
"""Seconds that the broker may take to start on a busy machine."""


class Broker:
    """A Kafka broker that runs while the ``with`` block runs.

    Args:
        directory: The folder for the broker's data and log.
        topic: The name of a topic that is created when the broker starts.
        listeners: The names of further listeners. The listener PLAINTEXT always exists.
        properties: Further settings of the broker.

    Attributes:
        plain: The ``host:port`` of the listener PLAINTEXT.
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
        self._process.kill()
