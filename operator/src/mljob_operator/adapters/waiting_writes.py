"""The metric ``mljob_writes_waiting``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector


class WaitingWrites(Collector):
    """Exports the number of writes that wait to be sent to the Kubernetes API, by priority.

    Attributes:
        numbers: Returns the number of waiting writes, by the name of the priority. Each scrape
            calls this function.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.numbers: Callable[[], Mapping[str, int]] = dict
        registry.register(self)

    def collect(self) -> Iterable[Metric]:
        """Return the metric with the current numbers."""
        gauge = GaugeMetricFamily("mljob_writes_waiting", "Writes that wait for their turn", labels=["priority"])
        for priority, number in self.numbers().items():
            gauge.add_metric([priority], number)
        return [gauge]
