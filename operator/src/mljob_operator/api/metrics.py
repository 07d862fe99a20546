"""The metrics of mljob-api for Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600, 3600)


class ApiMetrics:
    """The metrics of mljob-api, in their own Prometheus registry."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "mljob_api_requests",
            "Requests, by subresource (log, events, graph, watch or other) and HTTP status code",
            ["subresource", "code"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "mljob_api_request_seconds",
            "From the request to the end of its answer. Answers that follow a run last as long as the run",
            ["subresource"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._airflow = Histogram(
            "mljob_airflow_request_seconds",
            "Operations on Airflow's REST API",
            ["airflow", "operation", "outcome"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._streams = Gauge("mljob_api_streams", "Requests that are being answered", registry=self.registry)
        self._connections = Gauge("mljob_api_connections", "Open connections", registry=self.registry)
        self._readers = Gauge("mljob_api_event_readers", "Open readers of Kafka's events", registry=self.registry)

    def request(self, subresource: str, code: int, seconds: float) -> None:
        """Record an answered request.

        Args:
            subresource: ``log``, ``events``, ``graph``, ``watch`` or ``other``.
            code: The HTTP status code of the response.
            seconds: The duration of the request, in seconds.
        """
        self._requests.labels(subresource, str(code)).inc()
        self._seconds.labels(subresource).observe(seconds)

    def airflow_request(self, airflow: str, operation: str, outcome: str, seconds: float) -> None:
        """Record an operation on an Airflow's REST API, with its duration in seconds."""
        self._airflow.labels(airflow, operation, outcome).observe(seconds)

    def watch(
        self, *, streams: Callable[[], float], connections: Callable[[], float], readers: Callable[[], float]
    ) -> None:
        """Set the functions that return the current values of three metrics. Each scrape calls the
        functions.

        Args:
            streams: Returns the number of requests that are being answered.
            connections: Returns the number of open connections.
            readers: Returns the number of open readers of Kafka events.
        """
        self._streams.set_function(streams)
        self._connections.set_function(connections)
        self._readers.set_function(readers)
