"""The protocol classes for recording metrics for Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from ..core.mljob.resource.job_labels import JobLabels
from ..core.run.run_key import Key


class RequestMeter(Protocol):
    """Records metrics of the operations on Airflow."""

    def airflow_request(self, airflow: str, operation: str, outcome: str, seconds: float) -> None:
        """Record the outcome and the duration of an operation on an Airflow.

        Args:
            airflow: The name of the AirflowInstance.
            operation: The operation, such as ``submit``.
            outcome: ``ok``; the reason of an error, such as ``AirflowUnavailable``; or ``error`` if
                the error has no reason.
            seconds: The duration.
        """
        ...


class JobMeter(Protocol):
    """Records the metrics of MLJobs. ``adapters/job_metrics.py`` has the names of the metrics. All
    durations are in seconds. ``run_id`` is the id of the dag run, which Prometheus stores as the
    exemplar of the duration.
    """

    def follow(self, key: Key, labels: JobLabels) -> None:
        """Count an unfinished MLJob with these labels, until the next call of :meth:`follow` or
        :meth:`forget` for the same MLJob.
        """
        ...

    def forget(self, key: Key) -> None:
        """Stop counting an MLJob as unfinished."""
        ...

    def finished(self, labels: JobLabels) -> None:
        """Count an MLJob that has finished."""
        ...

    def submission_wait(self, labels: JobLabels, seconds: float, run_id: str) -> None:
        """Record the time from the planned start of an attempt until Airflow queued the run of the
        attempt.
        """
        ...

    def queue_wait(self, labels: JobLabels, seconds: float, run_id: str) -> None:
        """Record how long a run was queued in Airflow before it started."""
        ...

    def run(self, labels: JobLabels, seconds: float, run_id: str) -> None:
        """Record how long a run took from its start to its end."""
        ...

    def duration(self, labels: JobLabels, phase: str, seconds: float, run_id: str) -> None:
        """Record the time from the planned start of an attempt until its end. ``phase`` is the
        phase at the end.
        """
        ...

    def namespace_deleted(self, namespace: str) -> None:
        """Remove all series of a namespace that no longer exists."""
        ...

    def airflow_exists(self, airflow: str) -> None:
        """Record that an AirflowInstance exists. From then on, the metrics of its MLJobs have the
        AirflowInstance's name in the label ``airflow``. To record the deletion of the
        AirflowInstance, call :meth:`Meter.airflow_ready` with None.
        """
        ...


class Meter(RequestMeter, Protocol):
    """Records the operator's metrics for Prometheus. ``adapters/metrics.py`` has the names of the
    metrics.
    """

    @property
    def jobs(self) -> JobMeter:
        """The object that records the metrics of MLJobs."""
        ...

    def event(self, outcome: str) -> None:
        """Count a Kafka message that was read.

        Args:
            outcome: ``applied`` if an MLJob's worker received the message, ``foreign`` if no MLJob
                needs the message, ``tombstone`` if the message has no value, or ``unreadable``.
        """
        ...

    def events_contradicted(self, number: int) -> None:
        """Count Kafka events that Airflow's REST API has contradicted. The status no longer shows
        these events.
        """
        ...

    def status_written(self, seconds: float) -> None:
        """Record the duration of a successful patch of an MLJob's status, in seconds."""
        ...

    def write_lag(self, seconds: float) -> None:
        """Record the seconds from the first input for an MLJob until a status was stored. An input
        is an event, an answer of Airflow or a change of the MLJob.
        """
        ...

    def follow_writes(self, waiting: Callable[[], Mapping[str, int]]) -> None:
        """Set the function that returns how many writes to the Kubernetes API are waiting, by the
        name of their priority. Each scrape calls this function.
        """
        ...

    def status_refused(self) -> None:
        """Count a status that the Kubernetes API refused as invalid."""
        ...

    def event_latency(self, seconds: float) -> None:
        """Record the seconds from the timestamp of a Kafka message until the message is in a stored
        status, or until the MLJob's worker dropped the message.
        """
        ...

    def resync(self, airflow: str, outcome: str) -> None:
        """Count a request for the recent changes of all runs in an Airflow. ``outcome`` is ``ok``
        or ``failed``.
        """
        ...

    def airflow_ready(self, airflow: str, ready: bool | None) -> None:
        """Record whether an Airflow is ready. If ``ready`` is None, the AirflowInstance was
        deleted, and all of its series are removed.
        """
        ...

    def runs_vanished(self, airflow: str, runs: int) -> None:
        """Record how many of the operator's runs have vanished from an Airflow at once. If only a
        few runs are missing, ``runs`` is 0.
        """
        ...

    def orphaned_runs(self, airflow: str, runs: int) -> None:
        """Record the number of orphaned runs in an Airflow: active runs of the operator that no
        MLJob follows.
        """
        ...

    def reservations(self, airflow: str, active: int, waiting: int) -> None:
        """Record the numbers of MLJobs in an AirflowInstance.

        Args:
            airflow: The name of the AirflowInstance.
            active: How many MLJobs have, or possibly have, an active run.
            waiting: How many MLJobs wait because the AirflowInstance limits the number of active
                runs.
        """
        ...

    def kafka_connected(self, topic: str, connected: bool | None) -> None:
        """Record whether the operator is connected to the brokers of a topic. If ``connected`` is
        None, the operator no longer reads the topic, and all series of the topic are removed.
        """
        ...

    def kafka_lag(self, topic: str, messages: int) -> None:
        """Record the number of messages of a topic that the operator has not read yet."""
        ...

    def leader(self, leads: bool) -> None:
        """Record whether this process is the leader."""
        ...

    def in_flight(self, messages: int) -> None:
        """Record the number of Kafka messages that the operator has read, but has neither stored in
        a status nor dropped.
        """
        ...
