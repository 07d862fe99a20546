"""The protocol classes for recording metrics for Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from ..core.mljob.resource.job_labels import JobLabels
from ..core.run.run_key import Key


class RequestMeter(Protocol):
    """Records the outcomes and the durations of operations on Airflow, as metrics."""

    def airflow_request(self, airflow: str, operation: str, outcome: str, seconds: float) -> None:
        """Record the outcome and the duration of an operation on an Airflow.

        Args:
            airflow: The name of the AirflowInstance.
            operation: The operation, such as ``submit``.
            outcome: ``ok``, ``error``, or the reason of an error, such as ``AirflowUnavailable``.
            seconds: The duration.
        """
        ...


class JobMeter(Protocol):
    """Records the values of the metrics of MLJobs. ``adapters/job_metrics.py`` has the names of the
    metrics. All durations are in seconds. ``run_id`` is the id of the dag run to which a duration
    belongs. Prometheus gets the id as the exemplar of the duration, so that people find the run.
    """

    def follow(self, key: Key, labels: JobLabels) -> None:
        """Count an unfinished MLJob. ``labels`` are the labels of the metric. The MLJob is counted
        with these labels until the next call of this method or of :meth:`forget` for the same
        MLJob.
        """
        ...

    def forget(self, key: Key) -> None:
        """Stop counting an MLJob as unfinished, because the MLJob has finished or does not exist
        any more.
        """
        ...

    def finished(self, labels: JobLabels) -> None:
        """Count an MLJob that has finished."""
        ...

    def submission_wait(self, labels: JobLabels, seconds: float, run_id: str) -> None:
        """Record how long an attempt waited, from the time at which the attempt was due to start
        until the run of the attempt was queued in Airflow.
        """
        ...

    def queue_wait(self, labels: JobLabels, seconds: float, run_id: str) -> None:
        """Record how long a run was queued in Airflow before it started."""
        ...

    def run(self, labels: JobLabels, seconds: float, run_id: str) -> None:
        """Record how long a run took from its start to its end."""
        ...

    def duration(self, labels: JobLabels, phase: str, seconds: float, run_id: str) -> None:
        """Record how long an attempt took, from the time at which the attempt was due to start
        until the end of the attempt. ``phase`` is the phase with which the attempt ended.
        """
        ...

    def namespace_deleted(self, namespace: str) -> None:
        """Remove all series of a namespace, because the namespace does not exist any more."""
        ...

    def airflow_exists(self, airflow: str) -> None:
        """Record that an AirflowInstance exists. From then on, its MLJobs are counted with its name
        as the value of the label ``airflow``. To record the deletion of the AirflowInstance, call
        :meth:`Meter.airflow_ready` with None.
        """
        ...


class Meter(RequestMeter, Protocol):
    """Records the values of the metrics for Prometheus. ``adapters/metrics.py`` has the names of
    the metrics.
    """

    @property
    def jobs(self) -> JobMeter:
        """The object that records the metrics of MLJobs."""
        ...

    def event(self, outcome: str) -> None:
        """Count a Kafka message that was read.

        Args:
            outcome: One of four words. ``applied``: the message was passed to the worker of an
                MLJob. ``foreign``: the message has nothing for any MLJob's worker. ``tombstone``:
                the message has no value. ``unreadable``: the message has no valid format.
        """
        ...

    def events_contradicted(self, number: int) -> None:
        """Count Kafka events that Airflow's REST API has contradicted, so that the status does not
        show them any more.
        """
        ...

    def status_written(self, seconds: float) -> None:
        """Record how long a successful patch of an MLJob's status took, in seconds."""
        ...

    def write_lag(self, seconds: float) -> None:
        """Record the seconds from the first input that woke an MLJob's worker until the worker
        stored a status. An input is an event, an answer of Airflow or a change of the MLJob.
        """
        ...

    def follow_writes(self, waiting: Callable[[], Mapping[str, int]]) -> None:
        """From now on, export how many writes to the Kubernetes API wait for their turn. Each
        scrape calls ``waiting``, which returns the number of waiting writes by the name of the
        priority.
        """
        ...

    def status_refused(self) -> None:
        """Count a status that the Kubernetes API refused as invalid."""
        ...

    def event_latency(self, seconds: float) -> None:
        """Record the seconds from the timestamp of a Kafka message until a status that takes the
        message into account was stored, or until the MLJob's worker dropped the message.
        """
        ...

    def resync(self, airflow: str, outcome: str) -> None:
        """Count a pass over an Airflow's change feed: the operator requests the recent changes of
        all runs every few seconds. ``outcome`` is ``ok`` or ``failed``.
        """
        ...

    def airflow_ready(self, airflow: str, ready: bool | None) -> None:
        """Record whether an Airflow is ready. The Airflow is an AirflowInstance or the Airflow of
        the operator's own settings. If ``ready`` is None, the AirflowInstance was deleted, and all
        of its series are removed.
        """
        ...

    def runs_vanished(self, airflow: str, runs: int) -> None:
        """Record how many of the operator's runs are missing in an Airflow, if many runs have
        vanished at once. Otherwise ``runs`` is 0, even if a few runs are missing.
        """
        ...

    def orphaned_runs(self, airflow: str, runs: int) -> None:
        """Record the number of orphaned runs in an Airflow. An orphaned run is an active run that
        the operator has submitted, and whose MLJob does not exist any more or no longer follows the
        run.
        """
        ...

    def reservations(self, airflow: str, active: int, waiting: int) -> None:
        """Record how many MLJobs have, or may have, an active run in an AirflowInstance, and how
        many MLJobs wait until the limits of the AirflowInstance allow their run.
        """
        ...

    def kafka_connected(self, topic: str, connected: bool | None) -> None:
        """Record whether the operator is connected to the brokers of a topic. If ``connected`` is
        None, the operator doesn't read the topic any more, and all series of the topic are removed.
        """
        ...

    def kafka_lag(self, topic: str, messages: int) -> None:
        """Record the number of messages of a topic that were not read yet."""
        ...

    def leader(self, leads: bool) -> None:
        """Record whether this process is the leader."""
        ...

    def in_flight(self, messages: int) -> None:
        """Record the number of Kafka messages that are in progress: the operator has read the
        message, but has neither stored the content in a status nor dropped the message.
        """
        ...
