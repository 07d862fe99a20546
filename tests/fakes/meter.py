from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry

from mljob_operator.adapters.job_metrics import JobMetrics


class SilentMeter:
    """A fake of the operator's metrics. The fake ignores all measurements except those in its
    attributes.

    Attributes:
        contradicted: The number of events that Airflow's REST API has contradicted.
        vanished: The number of runs that are missing in an Airflow, by the name of the Airflow.
        orphaned: The number of active runs that belong to no MLJob, by the name of the Airflow.
        connected: Whether the operator is connected to Kafka, by topic. None if the operator no
            longer reads the topic.
        sees_leader: Whether the process is the leader, or sees that another process is.
    """

    def __init__(self) -> None:
        self.contradicted = 0
        self.vanished: dict[str, int] = {}
        self.orphaned: dict[str, int] = {}
        self.connected: dict[str, bool | None] = {}
        self.sees_leader = False
        self.jobs = JobMetrics(CollectorRegistry())

    def leader(self, leads: bool, *, other: bool = False) -> None:
        self.sees_leader = leads or other

    def runs_vanished(self, airflow: str, runs: int) -> None:
        self.vanished[airflow] = runs

    def orphaned_runs(self, airflow: str, runs: int) -> None:
        self.orphaned[airflow] = runs

    def kafka_connected(self, topic: str, connected: bool | None) -> None:
        self.connected[topic] = connected

    def events_contradicted(self, number: int) -> None:
        self.contradicted += number

    def __getattr__(self, _: str) -> Any:
        return lambda *_, **__: None
