"""A metric: for each priority, the number of writes that wait to be sent to the Kubernetes API."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector


class WaitingWrites(Collector):
    """Exports, for each priority, how many writes wait to be sent to the Kubernetes API. The
    numbers are read at each scrape.

    Attributes:
        numbers: A function that returns a dict. The keys are the names of the priorities, and the
            values are the numbers of waiting writes. On a standby, the dict is empty.
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
