"""Percentiles and ratios of samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


def percentile(samples: Sequence[float], share: float) -> float:
    """Return a percentile of the samples, by linear interpolation. `share` is 0.5 for the median,
    and 0.99 for the 99th percentile.
    """
    ordered = sorted(samples)
    position = share * (len(ordered) - 1)
    low = int(position)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (position - low)


@dataclass(frozen=True, slots=True)
class Load:
    """The load during one block. A block is an interval in which events are sent to only one
    process: the operator or the floor. The floor is a process that does the least work for the same
    result as the operator.

    Attributes:
        cpu_ms: CPU time of the process to which the events are sent, in milliseconds per event.
        busy_percent: How busy the machine was, in percent of all cores.
    """

    cpu_ms: float
    busy_percent: float


@dataclass(frozen=True, slots=True)
class Side:
    """The measurements of the operator or of the floor. The floor is a process that does the least
    work for the same result. The operator and the floor are measured by turns, and each turn is a
    block.

    Attributes:
        blocks: The latencies of each block, in milliseconds.
        loads: The load during each block.
    """

    blocks: tuple[tuple[float, ...], ...]
    loads: tuple[Load, ...]

    @property
    def samples(self) -> list[float]:
        """The latencies of all blocks."""
        return [sample for block in self.blocks for sample in block]

    def p(self, share: float) -> float:
        """Return a :func:`percentile` of the latencies of all blocks, in milliseconds."""
        return percentile(self.samples, share)

    @property
    def cpu_ms(self) -> float:
        """The mean of :attr:`Load.cpu_ms` over all blocks, in milliseconds per event."""
        return sum(load.cpu_ms for load in self.loads) / len(self.loads)

    @property
    def busy_percent(self) -> float:
        """The mean of :attr:`Load.busy_percent` over all blocks, in percent of all cores."""
        return sum(load.busy_percent for load in self.loads) / len(self.loads)


@dataclass(frozen=True, slots=True)
class Comparison:
    """The measurements of the operator and of the floor at the same rate. The floor is a process
    that does the least work for the same result as the operator.

    ``rate`` is in events per second.
    """

    rate: float
    operator: Side
    floor: Side

    def as_json(self) -> dict[str, Any]:
        """Return the rounded figures as a JSON object."""
        pairs = zip(self.operator.blocks, self.floor.blocks, strict=True)
        by_block = [percentile(ours, 0.5) / percentile(floors, 0.5) for ours, floors in pairs]
        return {
            "events_per_second": self.rate,
            "samples": len(self.operator.samples),
            "p50_ms": round(self.operator.p(0.5), 2),
            "p99_ms": round(self.operator.p(0.99), 2),
            "floor_p50_ms": round(self.floor.p(0.5), 2),
            "floor_p99_ms": round(self.floor.p(0.99), 2),
            "p50_ratio": round(self.operator.p(0.5) / self.floor.p(0.5), 2),
            "p99_ratio": round(self.operator.p(0.99) / self.floor.p(0.99), 2),
            "p50_ratio_by_block": [round(ratio, 2) for ratio in by_block],
            "cpu_ms_per_event": round(self.operator.cpu_ms, 2),
            "floor_cpu_ms_per_event": round(self.floor.cpu_ms, 2),
            "machine_busy_percent": round(self.operator.busy_percent),
            "floor_machine_busy_percent": round(self.floor.busy_percent),
        }
