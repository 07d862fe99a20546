"""The ports to Prometheus."""

from __future__ import annotations

from typing import Protocol


class RequestMeter(Protocol):
    """Records the requests to Airflow."""

    def airflow_request(self, airflow: str, operation: str, outcome: str, seconds: float) -> None:
        """Record an operation on an Airflow that has ended, with its outcome and its duration in
        seconds.
        """
        ...


class Meter(RequestMeter, Protocol):
    """Records the values of the metrics for Prometheus. ``adapters/metrics.py`` has the names of
    the metrics.
    """

    def event(self, outcome: str) -> None:
        """Count a Kafka message that was read.

        Args:
            outcome: One of four words. ``applied`` means that the message is about the run of an
                MLJob, ``foreign`` that the message is about another run, ``tombstone`` that the
                message has no value, and ``unreadable`` that the message has no valid format.
        """
        ...

    def events_contradicted(self, number: int) -> None:
        """Count events that Airflow's REST API has contradicted."""
        ...

    def status_written(self, seconds: float) -> None:
        """Record the duration of a patch of a status, in seconds."""
        ...

    def status_refused(self) -> None:
        """Count a status that the Kubernetes API refused as invalid."""
        ...

    def event_latency(self, seconds: float) -> None:
        """Record the seconds from the timestamp of a Kafka message until the status with the
        message's fact was stored.
        """
        ...

    def job_finished(self, phase: str) -> None:
        """Count an MLJob that has finished."""
        ...

    def resync(self, airflow: str, outcome: str) -> None:
        """Count a pass over an Airflow's change feed that has ended."""
        ...

    def unfinished_jobs(self, jobs: int) -> None:
        """Record the number of MLJobs that are not finished."""
        ...

    def airflow_ready(self, airflow: str, ready: bool | None) -> None:
        """Record whether an AirflowInstance is ready. None removes the metric, because the
        AirflowInstance does not exist any more.
        """
        ...

    def runs_vanished(self, airflow: str, runs: int) -> None:
        """Record the number of missing runs in an Airflow from which many runs vanished at once.
        The number is 0 if no runs are missing, or only few.
        """
        ...

    def orphaned_runs(self, airflow: str, runs: int) -> None:
        """Record the number of the operator's active runs in an Airflow that no MLJob follows."""
        ...

    def reservations(self, airflow: str, active: int, waiting: int) -> None:
        """Record how many MLJobs have a run in an AirflowInstance, and how many wait for
        admission.
        """
        ...

    def kafka_connected(self, topic: str, connected: bool | None) -> None:
        """Record whether the brokers of a topic are connected. None removes the metric, because the
        topic is no longer read.
        """
        ...

    def leader(self, leads: bool) -> None:
        """Record whether this process is the leader."""
        ...

    def in_flight(self, messages: int) -> None:
        """Record the number of Kafka messages that were read and whose facts are not in a stored
        status yet.
        """
        ...
