"""The settings for the operator's HTTP endpoints, traces and log."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from .environment import EnvironmentSettings
from .values import Url


class TelemetrySettings(EnvironmentSettings):
    """The settings of the HTTP endpoints, of traces and of the log."""

    http_host: str = "::"
    """The address on which ``/livez``, ``/readyz`` and ``/metrics`` listen. The kubelet and
    Prometheus connect to this address from outside the Pod. ``::`` means every address of IPv6 and
    IPv4. On a host without IPv6, ``::`` means every address of IPv4.
    """
    http_port: Annotated[int, Field(ge=1, le=65535)] = 8080
    """The port of ``/livez``, ``/readyz`` and ``/metrics``."""
    traces_endpoint: Url | None = None
    """The URL of an OTLP receiver over HTTP, with the path, such as
    ``http://otel-collector:4318/v1/traces``. When an attempt ends, the operator sends a trace of
    the attempt to this receiver. This needs the extra ``tracing``. Absent: no traces.
    """
    log_format: Literal["json", "text"] = "json"
    """``json``: one JSON object per line. ``text``: lines for people."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The level of the operator's own loggers. Libraries always log at level warning and above."""

    @field_validator("log_level", mode="before")
    @classmethod
    def _lower(cls, value: Any) -> Any:
        return value.lower() if isinstance(value, str) else value
