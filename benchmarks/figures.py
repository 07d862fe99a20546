"""What many measurements come to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


def percentile(samples: Sequence[float], share: float) -> float:
    """The value that this share of the samples does not exceed, by linear interpolation."""
    ordered = sorted(samples)
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


@dataclass(frozen=True, slots=True)
class Load:
    """What a block of work cost.

    Attributes:
        cpu_ms: CPU time of the process that was measured, a piece of work.
        busy_percent: How busy the whole machine was, all cores together.
    """

    cpu_ms: float
    busy_percent: float


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two that are compared: all its blocks, each a list of milliseconds."""

    blocks: tuple[tuple[float, ...], ...]
    loads: tuple[Load, ...]

    @property
    def samples(self) -> list[float]:
        """Of all blocks."""
        return [sample for block in self.blocks for sample in block]

    def p(self, share: float) -> float:
        """A percentile of all samples."""
        return percentile(self.samples, share)

    @property
    def cpu_ms(self) -> float:
        """CPU time an event."""
        return sum(load.cpu_ms for load in self.loads) / len(self.loads)

    @property
    def busy_percent(self) -> float:
        """How busy the machine was meanwhile."""
        return sum(load.busy_percent for load in self.loads) / len(self.loads)


@dataclass(frozen=True, slots=True)
class Comparison:
    """The operator beside the floor, at one rate."""

    rate: float
    operator: Side
    floor: Side

    def as_json(self) -> dict[str, Any]:
        """Rounded to what the clock and the noise allow."""
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
