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
    durations are in seconds. ``run_id`` is the id of the dag run. Prometheus stores this id with
    the duration, as an exemplar.
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
        """Record how long an attempt waited until Airflow had queued its run. The wait of the first
        attempt begins when the MLJob is created. The wait of a later attempt begins when the
        previous attempt has ended. A suspension, a changed spec or a requested retry may postpone
        the beginning of the wait.
        """
        ...

    def queue_wait(self, labels: JobLabels, seconds: float, run_id: str) -> None:
        """Record how long a run was queued in Airflow before it started."""
        ...

    def run(self, labels: JobLabels, seconds: float, run_id: str) -> None:
        """Record how long a run took from its start to its end."""
        ...

    def duration(self, labels: JobLabels, phase: str, seconds: float, run_id: str) -> None:
        """Record how long an attempt took, including the wait of :meth:`submission_wait`. ``phase``
        is the phase with which the attempt ended.
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
            outcome: ``applied`` if the message was passed to an MLJob's worker. ``foreign`` if the
                message is not about a run of this operator's MLJobs, or reports no change that the
                operator uses. ``tombstone`` if the message has no value. Otherwise ``unreadable``.
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
        """Record the seconds from the time at which an MLJob's worker was woken, for example by an
        event, until the worker has stored a status. If the worker was woken several times for
        this status, the first time counts.
        """
        ...

    def follow_writes(self, waiting: Callable[[], Mapping[str, int]]) -> None:
        """Set the function that counts the writes that wait to be sent to the Kubernetes API. Each
        scrape calls this function.

        Args:
            waiting: Returns a dict from the name of each priority to the number of waiting writes
                with this priority.
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
        """Count a read of the recent changes of the operator's runs in an Airflow. ``outcome`` is
        ``ok`` or ``failed``.
        """
        ...

    def airflow_ready(self, airflow: str, ready: bool | None) -> None:
        """Record whether an Airflow is ready. If ``ready`` is None, the AirflowInstance was
        deleted, and all of its series are removed.
        """
        ...

    def runs_vanished(self, airflow: str, runs: int) -> None:
        """Record how many of the operator's runs are missing in an Airflow from which many runs
        have vanished at once. For any other Airflow, ``runs`` is 0.
        """
        ...

    def orphaned_runs(self, airflow: str, runs: int) -> None:
        """Record the number of orphaned runs in an Airflow. An orphaned run is an active run that
        the operator has submitted, but that belongs to no attempt of an existing MLJob.
        """
        ...

    def reservations(self, airflow: str, active: int, waiting: int) -> None:
        """Record how many MLJobs have an active run in an AirflowInstance, and how many wait.

        Args:
            airflow: The name of the AirflowInstance.
            active: How many MLJobs have, or possibly have, an active run.
            waiting: How many MLJobs wait because the AirflowInstance limits the number of active
                runs.
        """
        ...

    def kafka_connected(self, topic: str, connected: bool | None) -> None:
        """Record whether the operator is connected to the brokers of a topic, and the brokers have
        not refused the topic. If ``connected`` is None, the operator no longer reads the topic, and
        all series of the topic are removed.
        """
        ...

    def kafka_lag(self, topic: str, messages: int) -> None:
        """Record the number of messages of a topic that the operator has not read yet."""
        ...

    def leader(self, leads: bool, *, other: bool = False) -> None:
        """Record whether this process is the leader.

        Args:
            leads: Whether this process is the leader.
            other: Whether this process sees in the Lease that another process is the leader.
        """
        ...

    def in_flight(self, messages: int) -> None:
        """Record the number of Kafka messages that were read, but are not done: they are not in a
        stored status yet, and were not dropped.
        """
        ...
