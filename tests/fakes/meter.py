"""A fake of the operator's metrics, which keeps the few measurements that tests read."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry

from mljob_operator.adapters.job_metrics import JobMetrics


class SilentMeter:
    """A fake of the object to which the operator reports its metrics. The fake keeps a few
    measurements in attributes, and ignores all other measurements.

    Attributes:
        contradicted: The number of events that Airflow's REST API has contradicted.
        vanished: The last reported number of vanished runs, by the name of the Airflow. A vanished
            run is missing in its Airflow.
        orphaned: The last reported number of orphaned runs, by the name of the Airflow. An orphaned
            run is an active run that the operator has started, but that belongs to no MLJob.
        connected: For each topic, whether the operator is connected to Kafka to read the topic.
            None if the operator doesn't read the topic any more.
        jobs: The metrics of MLJobs.
    """

    def __init__(self) -> None:
        self.contradicted = 0
        self.vanished: dict[str, int] = {}
        self.orphaned: dict[str, int] = {}
        self.connected: dict[str, bool | None] = {}
        self.jobs = JobMetrics(CollectorRegistry())

    def runs_vanished(self, airflow: str, runs: int) -> None:
        """Store the number of vanished runs of an Airflow in ``vanished``."""
        self.vanished[airflow] = runs

    def orphaned_runs(self, airflow: str, runs: int) -> None:
        """Store the number of orphaned runs of an Airflow in ``orphaned``."""
        self.orphaned[airflow] = runs

    def kafka_connected(self, topic: str, connected: bool | None) -> None:
        """Store in ``connected`` whether the operator is connected to Kafka for a topic."""
        self.connected[topic] = connected

    def events_contradicted(self, number: int) -> None:
        """Add ``number`` to ``contradicted``, the number of events that Airflow's REST API has
        contradicted.
        """
        self.contradicted += number

    def __getattr__(self, _: str) -> Any:
        return lambda *_, **__: None
