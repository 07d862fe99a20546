"""The protocol class for exporting traces to OpenTelemetry, and the class that holds the metrics
and the traces.
"""

from __future__ import annotations

from typing import Protocol

from ..core.frozen import frozen
from ..core.mljob.attempt_trace import AttemptTrace
from .metrics import Meter


class Tracer(Protocol):
    """Exports traces. Each attempt of an MLJob has one trace, which is exported when the attempt
    has ended.
    """

    def attempt_ended(self, trace: AttemptTrace) -> None:
        """Export the trace of an attempt that has ended. Don't wait for the export, and raise no
        error if it fails.
        """
        ...


@frozen
class Telemetry:
    """The metrics and the traces of the operator.

    Attributes:
        meter: The metrics.
        tracer: The traces. None if traces are off.
    """

    meter: Meter
    tracer: Tracer | None
