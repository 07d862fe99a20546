"""Nobody measures, but for what a test wants to know."""

from __future__ import annotations

from typing import Any


class SilentMeter:
    """Keeps what a test wants to know, and nothing else.

    Attributes:
        disbelieved: How many events Airflow has contradicted.
        vanished: How many runs are missing, by Airflow, where many have vanished at once.
        orphaned: How many runs no MLJob follows, by Airflow.
        connected: Whether the brokers are connected, by topic.
    """

    def __init__(self) -> None:
        self.disbelieved = 0
        self.vanished: dict[str, int] = {}
        self.orphaned: dict[str, int] = {}
        self.connected: dict[str, bool | None] = {}

    def runs_vanished(self, airflow: str, runs: int) -> None:
        """Runs are missing."""
        self.vanished[airflow] = runs

    def orphaned_runs(self, airflow: str, runs: int) -> None:
        """Runs are orphaned."""
        self.orphaned[airflow] = runs

    def kafka_connected(self, topic: str, connected: bool | None) -> None:
        """The brokers are connected, or not."""
        self.connected[topic] = connected

    def events_disbelieved(self, number: int) -> None:
        """Airflow has contradicted events."""
        self.disbelieved += number

    def __getattr__(self, _: str) -> Any:
        return lambda *_, **__: None
