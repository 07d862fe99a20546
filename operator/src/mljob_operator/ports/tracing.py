"""The protocol class for exporting traces to OpenTelemetry, and a class that combines metrics and
traces.
"""

from __future__ import annotations

from typing import Protocol

from ..core.frozen import frozen
from ..core.mljob.attempt_trace import AttemptTrace
from .metrics import Meter


class Tracer(Protocol):
    """Exports one trace for each attempt of an MLJob."""

    def attempt_ended(self, trace: AttemptTrace) -> None:
        """Export the trace of an ended attempt, without waiting for the export. The method raises
        no error if the export fails.
        """
        ...


@frozen
class Telemetry:
    """Records the operator's metrics and exports its traces.

    Attributes:
        meter: Records the metrics.
        tracer: Exports the traces. None if traces are off.
    """

    meter: Meter
    tracer: Tracer | None
