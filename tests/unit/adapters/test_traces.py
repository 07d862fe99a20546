from __future__ import annotations

import logging
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from mljob_operator.adapters import traces
from mljob_operator.adapters.traces import Repeated, Traces, exporter
from mljob_operator.core.mljob.attempt_trace import AttemptTrace
from mljob_operator.core.mljob.timeline import Interval
from mljob_operator.errors import CannotStart
from tests.live.eventually import until
from tests.pages import ROOT

RUN = "mljob.team-a.churn.n3s7nmusm7-1"
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def after(begin: float, end: float) -> Interval:
    return Interval(BEGIN + timedelta(seconds=begin), BEGIN + timedelta(seconds=end))


def attempt(*, succeeded: bool = True, airflow: str = "prod") -> AttemptTrace:
    return AttemptTrace(
        run_id=RUN,
        number=1,
        whole=after(0, 60),
        parts={"submission": after(0, 1.5), "queue": after(1.5, 1), "run": after(1.5, 58), "verdict": after(58, 60)},
        succeeded=succeeded,
        attributes={"mljob.name": "churn", "mljob.reason": "TaskFailed", "mljob.airflow_instance": airflow},
    )


@pytest.fixture
def memory() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def exported(memory: InMemorySpanExporter) -> Traces:
    return Traces(SimpleSpanProcessor(memory))


def test_an_attempt_is_one_trace_with_a_span_for_each_stage(exported: Traces, memory: InMemorySpanExporter) -> None:
    trace = attempt()
    exported.attempt_ended(trace)

    spans = {span.name: span for span in memory.get_finished_spans()}
    assert set(spans) == {"attempt", "submission", "queue", "run", "verdict"}
    root = spans.pop("attempt")
    assert root.parent is None
    assert root.context.trace_id == trace.trace_id
    assert root.context.span_id == trace.span_id("attempt")
    assert root.attributes == trace.attributes
    assert root.resource.attributes["service.name"] == "mljob-operator"
    assert root.end_time == root.start_time + 60 * 10**9  # type: ignore[operator]
    for name, span in spans.items():
        assert span.context.trace_id == trace.trace_id
        assert span.context.span_id == trace.span_id(name)
        assert span.parent is not None
        assert span.parent.span_id == root.context.span_id
        assert span.end_time >= span.start_time  # type: ignore[operator]
    assert spans["run"].start_time == int((BEGIN.timestamp() + 1.5) * 10**9)


def test_a_failed_attempt_is_an_error_with_its_reason(exported: Traces, memory: InMemorySpanExporter) -> None:
    exported.attempt_ended(attempt(succeeded=False))
    exported.attempt_ended(attempt())

    failed, succeeded = (span for span in memory.get_finished_spans() if span.name == "attempt")
    assert (failed.status.status_code, failed.status.description) == (StatusCode.ERROR, "TaskFailed")
    assert succeeded.status.status_code is StatusCode.OK


def test_the_airflow_of_the_settings_has_no_attribute(exported: Traces, memory: InMemorySpanExporter) -> None:
    exported.attempt_ended(attempt(airflow=""))
    root = memory.get_finished_spans()[-1]
    assert root.attributes is not None
    assert "mljob.airflow_instance" not in root.attributes


def test_service_has_the_name_that_the_environment_gives(
    memory: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "ml-platform")
    Traces(SimpleSpanProcessor(memory)).attempt_ended(attempt())
    assert memory.get_finished_spans()[0].resource.attributes["service.name"] == "ml-platform"


def test_a_defect_of_the_sdk_stops_no_step(
    exported: Traces, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(exported, "_tracer", None)
    exported.attempt_ended(attempt())
    assert f"the trace of run {RUN} was not exported" in caplog.text


class Collector:
    def __init__(self) -> None:
        self.received: list[tuple[str, str | None, ExportTraceServiceRequest]] = []
        received = self.received

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                received.append((self.path, self.headers.get("x-team"), ExportTraceServiceRequest.FromString(body)))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1/traces"
        Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.close()


async def test_spans_that_wait_are_sent_by_otlp_when_the_process_ends(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-team=ml")
    sent = Traces(exporter(collector.url))
    sent.attempt_ended(attempt())

    await sent.close()

    [(path, team, request)] = collector.received
    assert (path, team) == ("/v1/traces", "ml")
    spans = request.resource_spans[0].scope_spans[0].spans
    assert {span.name for span in spans} == {"attempt", "submission", "queue", "run", "verdict"}
    assert {span.trace_id.hex() for span in spans} == {f"{attempt().trace_id:032x}"}


async def test_the_end_of_the_process_does_not_wait_for_a_collector_that_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(traces, "LAST_SPANS", 0.2)
    # In seconds. The exporter would try for an hour.
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "3600")
    before = set(threading.enumerate())
    processor = exporter("http://127.0.0.1:9/v1/traces")
    assert isinstance(processor, BatchSpanProcessor)
    unsent = Traces(processor)
    unsent.attempt_ended(attempt())
    await unsent.close()
    sdk = [thread for thread in set(threading.enumerate()) - before if "asyncio" not in thread.name]
    assert any(thread.is_alive() for thread in sdk), "the SDK still tries"
    # The SDK's threads draw random numbers, which disturb the searches of other tests.
    processor.span_exporter.shutdown()
    await until(lambda: not any(thread.is_alive() for thread in sdk), "the SDK has given up")


def test_a_line_is_logged_once_in_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    def line(text: str, *values: object) -> logging.LogRecord:
        return logging.LogRecord("x", logging.ERROR, "x", 1, text, values, None)

    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    repeated = Repeated()
    assert repeated.filter(line("Failed: %s", 1))
    assert not repeated.filter(line("Failed: %s", 2))
    assert repeated.filter(line("Other: %s", 1))
    clock[0] = traces.REPEATED_WITHIN
    assert repeated.filter(line("Failed: %s", 3))


def test_an_operator_without_the_sdk_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http", None)
    with pytest.raises(CannotStart, match=r"MLJOB_TRACES_ENDPOINT needs .*EXTRAS=tracing.*mljob-operator\[tracing\]"):
        exporter("http://collector:4318/v1/traces")


def test_tests_run_on_the_versions_that_the_image_gets() -> None:
    def pins(name: str) -> set[str]:
        return set(re.findall(r"^[\w-]+==[^ ;]+", (ROOT / "requirements" / name).read_text(), re.MULTILINE))

    assert any(pin.startswith("opentelemetry-sdk==") for pin in pins("tracing.txt"))
    assert pins("tracing.txt") <= pins("dev.txt")


def test_an_operator_without_traces_does_not_import_the_sdk() -> None:
    ask = "import sys, mljob_operator.main; print([name for name in sys.modules if name.startswith('opentelemetry')])"
    said = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "[]"
