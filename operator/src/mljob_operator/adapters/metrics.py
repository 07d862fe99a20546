"""The operator's metrics for Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

from .job_metrics import JobMetrics
from .waiting_writes import WaitingWrites

_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


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
            "Kafka messages read, by outcome: applied, foreign, tombstone, unreadable",
            ["outcome"],
            registry=self.registry,
        )
        self._contradicted = Counter(
            "mljob_events_disbelieved",
            "Events that Airflow's REST API has contradicted, and that the status does not show any more",
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
            "From a Kafka message's timestamp to the stored status that holds it",
            buckets=_FAST,
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
            "From the first input of a step to the stored status",
            buckets=_FAST,
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
            "MLJobs that wait for a place in an AirflowInstance",
            ["airflow"],
            registry=self.registry,
        )
        self._vanished = Gauge(
            "mljob_airflow_runs_vanished",
            "Runs that are missing in an Airflow from which many have vanished at once; 0: they have not",
            ["airflow"],
            registry=self.registry,
        )
        self._orphaned = Gauge(
            "mljob_airflow_orphaned_runs",
            "Runs of the operator's that go on in an Airflow, and that no MLJob follows",
            ["airflow"],
            registry=self.registry,
        )
        self._connected = Gauge(
            "mljob_kafka_connected",
            "Whether the brokers that a topic is read from are connected: 1 or 0",
            ["topic"],
            registry=self.registry,
        )
        self._unread = Gauge(
            "mljob_kafka_lag", "Messages of a topic that were not read yet", ["topic"], registry=self.registry
        )
        self._leader = Gauge(
            "mljob_leader", "Whether this process is the leader, which alone acts: 1 or 0", registry=self.registry
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
            "mljob_events_in_flight", "Kafka messages read whose status is not stored yet", registry=self.registry
        )

    def event(self, outcome: str) -> None:
        """Count a Kafka message by its outcome: ``applied`` (the message was passed to the worker
        of an MLJob), ``foreign`` (the message is not about a run of this operator's MLJobs),
        ``tombstone`` (the message has no value) or ``unreadable``.
        """
        self._events.labels(outcome).inc()

    def events_contradicted(self, number: int) -> None:
        """Add ``number`` to the count of Kafka events that Airflow's REST API has contradicted."""
        self._contradicted.inc(number)

    def status_written(self, seconds: float) -> None:
        """Record how many seconds a patch of an MLJob's status took."""
        self._patches.observe(seconds)

    def write_lag(self, seconds: float) -> None:
        """Record the seconds from the first input that woke the worker of an MLJob until a status
        was stored. An input is an event, an answer of Airflow or a change of the MLJob.
        """
        self._lag.observe(seconds)

    def follow_writes(self, waiting: Callable[[], Mapping[str, int]]) -> None:
        """Set the function ``waiting``, which each scrape calls. The function returns, for each
        priority, how many writes to the Kubernetes API wait in the queue of writes.
        """
        self._waiting_writes.numbers = waiting

    def status_refused(self) -> None:
        """Count a status that the Kubernetes API refused as invalid."""
        self._refused.inc()

    def event_latency(self, seconds: float) -> None:
        """Record the seconds from the timestamp of a Kafka message until a status that includes the
        message's content was stored.
        """
        self._latency.observe(seconds)

    def airflow_request(self, airflow: str, operation: str, outcome: str, seconds: float) -> None:
        """Record the duration of an operation on an Airflow's REST API, in seconds.

        Args:
            airflow: The name of the AirflowInstance, or an empty string for the Airflow of the
                operator's settings.
            operation: The operation, such as ``submit``.
            outcome: ``ok``, ``error``, or the reason of an error, such as ``AirflowUnavailable``.
            seconds: The duration.
        """
        if airflow in self._deleted_airflows:
            return
        self._requests.labels(airflow, operation, outcome).observe(seconds)

    def resync(self, airflow: str, outcome: str) -> None:
        """Count a pass over an Airflow's change feed (the list of recent changes that the operator
        requests every few seconds). The outcome is ``ok`` or ``failed``. After ``ok``, also set the
        time of the last successful pass to now.
        """
        if airflow in self._deleted_airflows:
            return
        self._resyncs.labels(airflow, outcome).inc()
        if outcome == "ok":
            self._read_at.labels(airflow).set_to_current_time()

    def airflow_ready(self, airflow: str, ready: bool | None) -> None:
        """Set whether an Airflow is ready: an AirflowInstance, or the Airflow of the operator's
        settings, whose name is an empty string.

        If ``ready`` is None, the AirflowInstance was deleted, and all of its series are removed.
        The other methods then ignore this name, until this method is called with True or False.
        """
        if ready is not None:
            self._deleted_airflows.discard(airflow)
            self._ready.labels(airflow).set(ready)
            return
        self._deleted_airflows.add(airflow)
        self.jobs.airflow_deleted(airflow)
        for metric in self._of_airflows:
            metric.remove_by_labels({"airflow": airflow})

    def runs_vanished(self, airflow: str, runs: int) -> None:
        """Set how many of the operator's runs are missing in an Airflow from which many runs have
        vanished at once. ``runs`` is 0 if no runs or only few runs are missing.
        """
        if airflow in self._deleted_airflows:
            return
        self._vanished.labels(airflow).set(runs)

    def orphaned_runs(self, airflow: str, runs: int) -> None:
        """Set the number of orphaned runs in an Airflow. An orphaned run is an active run that the
        operator submitted, but that no MLJob follows.
        """
        if airflow in self._deleted_airflows:
            return
        self._orphaned.labels(airflow).set(runs)

    def reservations(self, airflow: str, active: int, waiting: int) -> None:
        """Set how many MLJobs have a run in an AirflowInstance, and how many MLJobs wait for
        admission to the AirflowInstance.
        """
        if airflow in self._deleted_airflows:
            return
        self._active.labels(airflow).set(active)
        self._waiting.labels(airflow).set(waiting)

    def kafka_connected(self, topic: str, connected: bool | None) -> None:
        """Set whether a topic's brokers are connected.

        If ``connected`` is None, the operator doesn't read the topic any more, and all series of
        the topic are removed.
        """
        if connected is None:
            for metric in (self._connected, self._unread):
                metric.remove_by_labels({"topic": topic})
        else:
            self._connected.labels(topic).set(connected)

    def kafka_lag(self, topic: str, messages: int) -> None:
        """Set how many messages of a topic were not read yet."""
        self._unread.labels(topic).set(messages)

    def leader(self, leads: bool) -> None:
        """Set whether this process is the leader."""
        self._leader.set(leads)

    def stand_by(self) -> None:
        """Reset the gauges when this process stops being the leader, because only the leader keeps
        them up to date. Gauges with labels lose their series, and gauges without labels are set to
        0. Counters and histograms do not change.
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
        for gauge in (self._in_flight, self._leader):
            gauge.set(0)
        self._deleted_airflows.clear()

    def in_flight(self, messages: int) -> None:
        """Set how many Kafka messages were read but are not in a stored status yet."""
        self._in_flight.set(messages)
