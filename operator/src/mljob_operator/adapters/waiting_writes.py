"""The metric of the writes to the Kubernetes API that wait for their turn, by priority."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector


class WaitingWrites(Collector):
    """Exports how many writes to the Kubernetes API wait for their turn, for each priority. The
    numbers are read at each scrape.

    Attributes:
        numbers: Returns the number of waiting writes by the name of the priority. On a standby, the
            function returns an empty dict.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.numbers: Callable[[], Mapping[str, int]] = dict
        registry.register(self)

    def collect(self) -> Iterable[Metric]:
        """Return the metric with the current numbers of waiting writes. Called at each scrape."""
        gauge = GaugeMetricFamily("mljob_writes_waiting", "Writes that wait for their turn", labels=["priority"])
        for priority, number in self.numbers().items():
            gauge.add_metric([priority], number)
        return [gauge]
