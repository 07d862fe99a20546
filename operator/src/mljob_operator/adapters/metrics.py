"""The operator's metrics for Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

from .job_metrics import JobMetrics
from .waiting_writes import WaitingWrites

_EVENT_OUTCOMES = ("applied", "foreign", "tombstone", "unreadable")
_RESYNC_OUTCOMES = ("ok", "failed")
_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_LATE = (*_FAST, 20, 40, 80, 160)
"""Buckets of durations that include the pause between two patches of a status, at most 60 s. The
chart's alerts rely on this: from 2.5 s on, no bucket ends above twice its lower bound.
"""


class Metrics:
    """The operator's metrics, in their own Prometheus registry.

    Names follow Prometheus' conventions: base units, ``_total`` for counters.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.jobs = JobMetrics(self.registry)
        self._deleted_airflows: set[str] = set()
        """The names of deleted AirflowInstances. A request that ends after the deletion must not
        create the series of the AirflowInstance again."""
        self._events = Counter(
            "mljob_events",
            f"Kafka messages read, by outcome: {', '.join(_EVENT_OUTCOMES)}",
            ["outcome"],
            registry=self.registry,
        )
        # Prometheus does not count the increase from no series to a series with the value 1, so the
        # alert about unreadable messages would miss the first one.
        for outcome in _EVENT_OUTCOMES:
            self._events.labels(outcome)
        self._contradicted = Counter(
            "mljob_events_disbelieved",
            "Kafka events that Airflow's REST API has contradicted; statuses do not show them any more",
            registry=self.registry,
        )
        self._patches = Histogram(
            "mljob_status_patch_seconds", "How long a status patch took", buckets=_FAST, registry=self.registry
        )
        self._refused = Counter(
            "mljob_statuses_refused", "Statuses that the Kubernetes API refused as invalid", registry=self.registry
        )
        self._waiting_writes = WaitingWrites(self.registry)
        self._latency = Histogram(
            "mljob_event_to_status_seconds",
            "Time from a Kafka message's timestamp to the stored status that includes the message",
            buckets=_LATE,
            registry=self.registry,
        )
        self._requests = Histogram(
            "mljob_airflow_request_seconds",
            "Operations on Airflow's REST API",
            ["airflow", "operation", "outcome"],
            buckets=_FAST,
            registry=self.registry,
        )
        self._lag = Histogram(
            "mljob_status_write_lag_seconds",
            "Time from the first input that wakes an MLJob's worker to the stored status",
            buckets=_LATE,
            registry=self.registry,
        )
        self._resyncs = Counter(
            "mljob_resyncs", "Passes over Airflow's change feed", ["airflow", "outcome"], registry=self.registry
        )
        self._read_at = Gauge(
            "mljob_feed_read_timestamp_seconds",
            "When a pass over Airflow's change feed has last succeeded, in seconds since the epoch",
            ["airflow"],
            registry=self.registry,
        )
        self._ready = Gauge(
            "mljob_airflow_ready", "Whether an Airflow is ready: 1 or 0", ["airflow"], registry=self.registry
        )
        self._active = Gauge(
            "mljob_airflow_active_runs", "MLJobs with a run in an AirflowInstance", ["airflow"], registry=self.registry
        )
        self._waiting = Gauge(
            "mljob_airflow_waiting_jobs",
            "MLJobs that wait for admission to an AirflowInstance",
            ["airflow"],
            registry=self.registry,
        )
        self._vanished = Gauge(
            "mljob_airflow_runs_vanished",
            "Missing runs of an Airflow from which many runs have vanished at once, otherwise 0",
            ["airflow"],
            registry=self.registry,
        )
        self._orphaned = Gauge(
            "mljob_airflow_orphaned_runs",
            "Runs in progress in an Airflow that the operator has submitted, but that belong to no MLJob",
            ["airflow"],
            registry=self.registry,
        )
        self._connected = Gauge(
            "mljob_kafka_connected",
            "Whether the operator is connected to the Kafka brokers of a topic: 1 or 0",
            ["topic"],
            registry=self.registry,
        )
        self._unread = Gauge(
            "mljob_kafka_lag",
            "Messages of a topic that the operator has not read yet",
            ["topic"],
            registry=self.registry,
        )
        self._leader = Gauge("mljob_leader", "Whether this process is the leader: 1 or 0", registry=self.registry)
        self._leader_seen = Gauge(
            "mljob_leader_seen",
            "Whether this process is the leader, or sees in the Lease that another process is: 1 or 0",
            registry=self.registry,
        )
        self._of_airflows: tuple[MetricWrapperBase, ...] = (
            self._requests,
            self._resyncs,
            self._read_at,
            self._ready,
            self._active,
            self._waiting,
            self._vanished,
            self._orphaned,
        )
        self._in_flight = Gauge(
            "mljob_events_in_flight",
            "Kafka messages that were read, but are not in a stored status yet",
            registry=self.registry,
        )

    def event(self, outcome: str) -> None:
        """Count a Kafka message.

        Args:
            outcome: ``applied`` if the message was passed to an MLJob's worker. ``foreign`` if the
                message is not about a run of this operator's MLJobs, or reports no change that the
                operator uses. ``tombstone`` if the message has no value. Otherwise ``unreadable``.
        """
        self._events.labels(outcome).inc()

    def events_contradicted(self, number: int) -> None:
        """Count ``number`` Kafka events that Airflow's REST API has contradicted."""
        self._contradicted.inc(number)

    def status_written(self, seconds: float) -> None:
        """Record the duration of a successful patch of an MLJob's status, in seconds."""
        self._patches.observe(seconds)

    def write_lag(self, seconds: float) -> None:
        """Record the seconds from the time at which an MLJob's worker was woken, for example by an
        event, until the worker has stored a status. If the worker was woken several times for
        this status, the first time counts.
        """
        self._lag.observe(seconds)

    def follow_writes(self, waiting: Callable[[], Mapping[str, int]]) -> None:
        """Set the function that counts the writes that wait to be sent to the Kubernetes API. Each
        scrape calls this function.

        Args:
            waiting: Returns a dict from the name of each priority to the number of waiting writes
                with this priority.
        """
        self._waiting_writes.numbers = waiting

    def status_refused(self) -> None:
        """Count a status that the Kubernetes API refused as invalid."""
        self._refused.inc()

    def event_latency(self, seconds: float) -> None:
        """Record the seconds from the timestamp of a Kafka message until the message is in a stored
        status, or until the MLJob's worker dropped the message.
        """
        self._latency.observe(seconds)

    def airflow_request(self, airflow: str, operation: str, outcome: str, seconds: float) -> None:
        """Record the duration of an operation on an Airflow's REST API.

        Args:
            airflow: The name of the AirflowInstance. Empty for the Airflow of the operator's
                settings.
            operation: The operation, such as ``submit``.
            outcome: ``ok``, ``error``, or the reason of an error, such as ``AirflowUnavailable``.
            seconds: The duration in seconds.
        """
        if airflow in self._deleted_airflows:
            return
        self._requests.labels(airflow, operation, outcome).observe(seconds)

    def resync(self, airflow: str, outcome: str) -> None:
        """Count a read of the recent changes of the operator's runs in an Airflow.

        Args:
            airflow: The name of the AirflowInstance. Empty for the Airflow of the operator's
                settings.
            outcome: ``ok`` or ``failed``. With ``ok``, this method also records the current time as
                the time of the last success.
        """
        if airflow in self._deleted_airflows:
            return
        self._resyncs.labels(airflow, outcome).inc()
        if outcome == "ok":
            self._read_at.labels(airflow).set_to_current_time()

    def airflow_ready(self, airflow: str, ready: bool | None) -> None:
        """Record whether an Airflow is ready.

        Args:
            airflow: The name of the AirflowInstance. Empty for the Airflow of the operator's
                settings.
            ready: None if the AirflowInstance was deleted. All series of the AirflowInstance are
                then removed.
        """
        if ready is not None:
            self._deleted_airflows.discard(airflow)
            self._ready.labels(airflow).set(ready)
            for outcome in _RESYNC_OUTCOMES:
                self._resyncs.labels(airflow, outcome)
            return
        self._deleted_airflows.add(airflow)
        self.jobs.airflow_deleted(airflow)
        for metric in self._of_airflows:
            metric.remove_by_labels({"airflow": airflow})

    def runs_vanished(self, airflow: str, runs: int) -> None:
        """Record how many of the operator's runs are missing in an Airflow from which many runs
        have vanished at once.

        Args:
            airflow: The name of the AirflowInstance. Empty for the Airflow of the operator's
                settings.
            runs: The number of missing runs. 0 for any other Airflow.
        """
        if airflow in self._deleted_airflows:
            return
        self._vanished.labels(airflow).set(runs)

    def orphaned_runs(self, airflow: str, runs: int) -> None:
        """Record the number of orphaned runs in an Airflow.

        An orphaned run is an active run that the operator has submitted, but that belongs to no
        attempt of an existing MLJob.
        """
        if airflow in self._deleted_airflows:
            return
        self._orphaned.labels(airflow).set(runs)

    def reservations(self, airflow: str, active: int, waiting: int) -> None:
        """Record how many MLJobs have an active run in an AirflowInstance, and how many wait.

        Args:
            airflow: The name of the AirflowInstance.
            active: How many MLJobs have, or possibly have, an active run.
            waiting: How many MLJobs wait because the AirflowInstance limits the number of active
                runs.
        """
        if airflow in self._deleted_airflows:
            return
        self._active.labels(airflow).set(active)
        self._waiting.labels(airflow).set(waiting)

    def kafka_connected(self, topic: str, connected: bool | None) -> None:
        """Record whether the operator is connected to a topic's brokers.

        Args:
            topic: The name of the topic.
            connected: None if the operator no longer reads the topic. All series of the topic are
                then removed.
        """
        if connected is None:
            for metric in (self._connected, self._unread):
                metric.remove_by_labels({"topic": topic})
        else:
            self._connected.labels(topic).set(connected)

    def kafka_lag(self, topic: str, messages: int) -> None:
        """Record the number of messages of a topic that the operator has not read yet."""
        self._unread.labels(topic).set(messages)

    def leader(self, leads: bool, *, other: bool = False) -> None:
        """Record whether this process is the leader.

        Args:
            leads: Whether this process is the leader.
            other: Whether this process sees in the Lease that another process is the leader.
        """
        self._leader.set(leads)
        self._leader_seen.set(leads or other)

    def stand_by(self) -> None:
        """Reset all gauges, because this process is no longer the leader.

        Gauges with labels lose their series. Gauges without labels become 0. Counters and
        histograms do not change.
        """
        self.jobs.stand_by()
        self._waiting_writes.numbers = dict
        for gauge in (
            self._read_at,
            self._ready,
            self._active,
            self._waiting,
            self._vanished,
            self._orphaned,
            self._connected,
            self._unread,
        ):
            gauge.clear()
        self._in_flight.set(0)
        self.leader(False)
        self._deleted_airflows.clear()

    def in_flight(self, messages: int) -> None:
        """Record the number of Kafka messages that the operator has read, but has neither stored in
        a status nor dropped.
        """
        self._in_flight.set(messages)
