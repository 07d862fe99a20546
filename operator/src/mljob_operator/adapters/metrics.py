"""Serves Prometheus metrics, and the HTTP endpoints ``/livez``, ``/readyz`` and ``/metrics``."""

from __future__ import annotations

import errno
import logging
import os
import socket
from collections.abc import Awaitable, Callable

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.aiohttp import make_aiohttp_handler
from prometheus_client.metrics import MetricWrapperBase

from ..errors import CannotStart

log = logging.getLogger(__name__)

EVERYWHERE = "::"
_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """The operator's metrics, in their own Prometheus registry.

    Names follow Prometheus' conventions: base units, ``_total`` for counters.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
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
        self._finished = Counter(
            "mljob_jobs_finished", "MLJobs that ended, by phase", ["phase"], registry=self.registry
        )
        self._resyncs = Counter(
            "mljob_resyncs", "Passes over Airflow's change feed", ["airflow", "outcome"], registry=self.registry
        )
        self._unfinished_jobs = Gauge("mljob_jobs_live", "MLJobs that are not finished", registry=self.registry)
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
        self._leader = Gauge(
            "mljob_leader", "Whether this process is the leader, which alone acts: 1 or 0", registry=self.registry
        )
        self._of_airflows: tuple[MetricWrapperBase, ...] = (
            self._requests,
            self._resyncs,
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
        """Count a Kafka message. The outcome is applied, foreign, tombstone or unreadable."""
        self._events.labels(outcome).inc()

    def events_contradicted(self, number: int) -> None:
        """Count Kafka events that Airflow's REST API has contradicted."""
        self._contradicted.inc(number)

    def status_written(self, seconds: float) -> None:
        """Record the duration of a status patch in seconds."""
        self._patches.observe(seconds)

    def status_refused(self) -> None:
        """Count a status that the Kubernetes API refused as invalid."""
        self._refused.inc()

    def event_latency(self, seconds: float) -> None:
        """Record the seconds from a Kafka message's timestamp to the status with the message's
        fact.
        """
        self._latency.observe(seconds)

    def airflow_request(self, airflow: str, operation: str, outcome: str, seconds: float) -> None:
        """Record the duration of an operation on an Airflow's REST API, in seconds.

        Args:
            airflow: The name of the AirflowInstance.
            operation: The operation, such as ``submit``.
            outcome: ``ok``, ``error``, or the reason of an error, such as ``AirflowUnavailable``.
            seconds: The duration.
        """
        if airflow in self._deleted_airflows:
            return
        self._requests.labels(airflow, operation, outcome).observe(seconds)

    def job_finished(self, phase: str) -> None:
        """Count an MLJob that has ended in this phase."""
        self._finished.labels(phase).inc()

    def resync(self, airflow: str, outcome: str) -> None:
        """Count a pass over an Airflow's change feed. The outcome is ``ok`` or ``failed``."""
        if airflow in self._deleted_airflows:
            return
        self._resyncs.labels(airflow, outcome).inc()

    def unfinished_jobs(self, jobs: int) -> None:
        """Set the number of MLJobs that are not finished."""
        self._unfinished_jobs.set(jobs)

    def airflow_ready(self, airflow: str, ready: bool | None) -> None:
        """Set whether an AirflowInstance is ready.

        If ``ready`` is None, the AirflowInstance is deleted, and all of its series are removed.
        """
        if ready is not None:
            self._deleted_airflows.discard(airflow)
            self._ready.labels(airflow).set(ready)
            return
        self._deleted_airflows.add(airflow)
        for metric in self._of_airflows:
            metric.remove_by_labels({"airflow": airflow})

    def runs_vanished(self, airflow: str, runs: int) -> None:
        """Set the number of missing runs in an Airflow from which many runs vanished at once.

        The number is 0 if no runs have vanished in this way.
        """
        if airflow in self._deleted_airflows:
            return
        self._vanished.labels(airflow).set(runs)

    def orphaned_runs(self, airflow: str, runs: int) -> None:
        """Set the number of an Airflow's active runs that no MLJob follows."""
        if airflow in self._deleted_airflows:
            return
        self._orphaned.labels(airflow).set(runs)

    def reservations(self, airflow: str, active: int, waiting: int) -> None:
        """Set how many MLJobs have a run in an AirflowInstance, and how many wait for admission."""
        if airflow in self._deleted_airflows:
            return
        self._active.labels(airflow).set(active)
        self._waiting.labels(airflow).set(waiting)

    def kafka_connected(self, topic: str, connected: bool | None) -> None:
        """Set whether a topic's brokers are connected.

        If ``connected`` is None, the topic is not read any more, and its series is removed.
        """
        if connected is None:
            self._connected.remove_by_labels({"topic": topic})
        else:
            self._connected.labels(topic).set(connected)

    def leader(self, leads: bool) -> None:
        """Set whether this process is the leader."""
        self._leader.set(leads)

    def stand_by(self) -> None:
        """Remove the series that only a leader keeps up to date. Counters and histograms stay."""
        for gauge in (self._ready, self._active, self._waiting, self._vanished, self._orphaned, self._connected):
            gauge.clear()
        for gauge in (self._unfinished_jobs, self._in_flight, self._leader):
            gauge.set(0)
        self._deleted_airflows.clear()

    def in_flight(self, messages: int) -> None:
        """Set the number of read Kafka messages whose facts are not in a stored status yet."""
        self._in_flight.set(messages)


class Endpoints:
    """The HTTP server for the kubelet's probes and for Prometheus.

    Args:
        metrics: The metrics that ``/metrics`` returns, in the format that the request accepts.
        alive: Returns whether the operator is alive. ``/livez`` then answers 200, and otherwise
            503. The operator is alive while every background task runs, the event loop is not
            blocked, and the Kubernetes API accepts the operator's credentials.
        ready: Returns whether the operator is ready. ``/readyz`` then answers 200, and otherwise
            503. The operator is ready when MLJobs are watched and the background tasks have
            started.
    """

    def __init__(self, metrics: Metrics, *, alive: Callable[[], bool], ready: Callable[[], bool]) -> None:
        self._metrics = metrics
        self._alive = alive
        self._ready = ready
        self._runner: web.AppRunner | None = None

    async def start(self, host: str, port: int) -> None:
        """Listen on an address.

        Raises:
            CannotStart: Another process uses the port, or the operator may not listen on the
                address.
        """
        try:
            listener = _listen(host, port)
        except OSError as error:
            raise CannotStart(_cause(error, host, port), code=2) from error
        app = web.Application()
        app.router.add_get("/livez", self._probe(self._alive))
        app.router.add_get("/readyz", self._probe(self._ready))
        app.router.add_get("/metrics", make_aiohttp_handler(self._metrics.registry))
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.SockSite(self._runner, listener).start()
        log.info("listening on %s:%d: /livez /readyz /metrics", host, port)

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    @staticmethod
    def _probe(question: Callable[[], bool]) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def answer(_: web.Request) -> web.Response:
            return web.Response(text="ok") if question() else web.Response(status=503, text="not yet")

        return answer


def _listen(host: str, port: int) -> socket.socket:
    """Return a listening socket.

    The host ``::`` stands for all addresses of IPv6 and IPv4. On a machine without IPv6, ``::``
    stands for all addresses of IPv4.
    """
    if host == EVERYWHERE:
        if socket.has_dualstack_ipv6():
            return socket.create_server((host, port), family=socket.AF_INET6, dualstack_ipv6=True)
        host = "0.0.0.0"  # noqa: S104  # as for ::
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, *_, address = found[0]
    return socket.create_server(address[:2], family=family)


def _cause(error: OSError, host: str, port: int) -> str:
    """Return the message for an operator that can't listen on an address."""
    if error.errno == errno.EADDRINUSE:
        return f"MLJOB_HTTP_PORT: another process listens on port {port} of {host} already; set another port"
    if error.errno == errno.EACCES:
        return f"MLJOB_HTTP_PORT: the operator's user may not listen on port {port}; set one from 1024 on"
    reason = os.strerror(error.errno) if error.errno is not None and error.errno > 0 else error.strerror or str(error)
    return f"MLJOB_HTTP_HOST: the operator can't listen on {host}: {reason}"
