"""Exports traces by OTLP over HTTP. Each trace shows one attempt of an MLJob.

The SDK of OpenTelemetry is the optional dependency ``tracing``. The import of this module does not
import the SDK.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from datetime import datetime
from typing import TYPE_CHECKING

from ..core.mljob.attempt_trace import ROOT, AttemptTrace
from ..core.run.run_key import SETTINGS_AIRFLOW
from ..errors import CannotStart

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor

log = logging.getLogger(__name__)

SERVICE = "mljob-operator"
"""The name of the service in traces, unless OTEL_SERVICE_NAME gives another name."""
REPEATED_WITHIN = 600.0
"""The number of seconds in which equal log lines of the SDK are logged only once."""
LAST_SPANS = 5.0
"""The longest time in seconds for sending the waiting spans when the process ends."""


def exporter(endpoint: str) -> SpanProcessor:
    """Return a span processor that sends spans to an OTLP receiver in a separate thread.

    If more than 2,048 spans wait, the oldest spans are dropped. Environment variables of the SDK
    (``OTEL_EXPORTER_OTLP_*``, ``OTEL_BSP_*``) can change this limit and other options.

    Args:
        endpoint: The URL of the OTLP receiver, with the path.

    Raises:
        CannotStart: The optional dependency ``tracing`` is not installed.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http import trace_exporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise CannotStart(
            f"MLJOB_TRACES_ENDPOINT needs the Python package {error.name}, which is not installed: use an image that was built with "
            "--build-arg EXTRAS=tracing, or pip install 'mljob-operator[tracing]'",
            code=2,
        ) from error
    logging.getLogger(trace_exporter.__name__).addFilter(Repeated())
    return BatchSpanProcessor(trace_exporter.OTLPSpanExporter(endpoint))


class Repeated(logging.Filter):
    """A log filter that drops repeated lines. A line is repeated if a line with the same format
    string was logged in the last ``REPEATED_WITHIN`` (600) seconds.
    """

    def __init__(self) -> None:
        super().__init__()
        self._logged_at: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to log the line. The result is False if the line is repeated."""
        now, text = time.monotonic(), str(record.msg)
        if now - self._logged_at.get(text, -REPEATED_WITHIN) < REPEATED_WITHIN:
            return False
        self._logged_at[text] = now
        return True


class Traces:
    """Exports the traces of attempts.

    Args:
        processor: Exports the spans.
    """

    def __init__(self, processor: SpanProcessor) -> None:
        from opentelemetry import context, trace
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.id_generator import IdGenerator

        class ComputedIds(IdGenerator):
            """Gives each span the ids that ``_export`` has set, instead of random ids."""

            trace_id = span_id = 0

            def generate_trace_id(self) -> int:
                return self.trace_id

            def generate_span_id(self) -> int:
                return self.span_id

        self._trace, self._context = trace, context
        self._ids = ComputedIds()
        name = os.environ.get("OTEL_SERVICE_NAME") or SERVICE
        self._provider = TracerProvider(
            resource=Resource.create({SERVICE_NAME: name}), id_generator=self._ids, shutdown_on_exit=False
        )
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer(SERVICE)

    def attempt_ended(self, trace: AttemptTrace) -> None:
        """Export the trace of an attempt in the background. Errors are only logged."""
        try:
            self._export(trace)
        except Exception:
            # A defect in the SDK must not stop the step that has just stored a status.
            log.exception("the trace of run %s was not exported", trace.run_id)

    async def close(self) -> None:
        """Send the waiting spans, and stop the export. Wait at most ``LAST_SPANS`` (5) seconds."""
        # An executor's thread would keep the process alive until the collector answers.
        closing = threading.Thread(target=self._provider.shutdown, name="traces that end", daemon=True)
        closing.start()
        await asyncio.to_thread(closing.join, LAST_SPANS)

    def _export(self, trace: AttemptTrace) -> None:
        status, kinds = self._trace.Status, self._trace.StatusCode
        self._ids.trace_id, self._ids.span_id = trace.trace_id, trace.span_id(ROOT)
        attributes = {name: value for name, value in trace.attributes.items() if value != SETTINGS_AIRFLOW}
        root = self._tracer.start_span(
            ROOT,
            context=self._context.Context(),
            attributes=attributes,
            start_time=_nanoseconds(trace.whole.begins_at),
        )
        below = self._trace.set_span_in_context(root, self._context.Context())
        for name, stage in trace.parts.items():
            self._ids.span_id = trace.span_id(name)
            part = self._tracer.start_span(name, context=below, start_time=_nanoseconds(stage.begins_at))
            part.end(_nanoseconds(max(stage.begins_at, stage.ends_at)))
        reason = None if trace.succeeded else str(trace.attributes["mljob.reason"])
        root.set_status(status(kinds.OK if trace.succeeded else kinds.ERROR, reason))
        root.end(_nanoseconds(trace.whole.ends_at))


def _nanoseconds(at: datetime) -> int:
    return int(at.timestamp() * 1_000_000) * 1_000
