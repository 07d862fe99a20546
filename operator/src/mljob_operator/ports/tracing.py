"""The port to OpenTelemetry."""

from __future__ import annotations

from typing import Protocol

from ..core.frozen import frozen
from ..core.mljob.attempt_trace import AttemptTrace
from .metrics import Meter


class Tracer(Protocol):
    """Exports traces."""

    def attempt_ended(self, trace: AttemptTrace) -> None:
        """Export the trace of an attempt, without waiting and without raising."""
        ...


@frozen
class Telemetry:
    """What reports how the operator works.

    Attributes:
        meter: The metrics.
        tracer: The traces. None: traces are off.
    """

    meter: Meter
    tracer: Tracer | None
