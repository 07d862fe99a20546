"""Runs a Prometheus that scrapes one operator, and queries Prometheus' HTTP API.

Prometheus is built once from locked Go modules, by :mod:`devstack.golang`. The build leaves out the
service discoveries of all clouds, which would take most of its time.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3

from benchmarks.bench_stack import MeasurementError, wait_for
from benchmarks.dashboard.variables import TimeRange
from devstack import golang, http
from devstack.golang import Program
from devstack.ports import HOST

PROMETHEUS = Program("prometheus", "github.com/prometheus/prometheus/cmd/prometheus", tags="netgo,remove_all_sd")
JOB = "mljob-operator"


class RefusedQueryError(RuntimeError):
    """Prometheus refused a query. The message is Prometheus' own."""


@dataclass(frozen=True, slots=True)
class Series:
    """A series of a query's result: its labels, and pairs of a time and a value. Times are in seconds
    since the epoch.
    """

    labels: Mapping[str, str]
    samples: Sequence[tuple[float, float]]


class Prometheus:
    """A client of Prometheus' `HTTP API <https://prometheus.io/docs/prometheus/latest/querying/api/>`_."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._pool = urllib3.PoolManager(retries=False)

    def query_range(self, expression: str, shown: TimeRange, step: int) -> list[Series]:
        """Evaluate an expression at each step of the time range.

        Raises:
            RefusedQueryError: Prometheus refused the expression.
        """
        fields = {"query": expression, "start": f"{shown.start:.3f}", "end": f"{shown.end:.3f}", "step": str(step)}
        return [
            Series(
                {name: value for name, value in each["metric"].items() if name != "__name__"},
                [(at, float(value)) for at, value in each["values"]],
            )
            for each in self._get("query_range", fields)["result"]
        ]

    def exemplars(self, expression: str, shown: TimeRange) -> list[tuple[float, float]]:
        """Return the times and values of the exemplars of the expression's series."""
        fields = {"query": expression, "start": f"{shown.start:.3f}", "end": f"{shown.end:.3f}"}
        return [
            (exemplar["timestamp"], float(exemplar["value"]))
            for series in self._get("query_exemplars", fields)
            for exemplar in series["exemplars"]
        ]

    def label_values(self, label: str, selector: str) -> list[str]:
        """Return the values of a label of the selected series.

        Raises:
            RefusedQueryError: Prometheus refused the selector.
        """
        return list(self._get(f"label/{label}/values", {"match[]": selector}))

    def _get(self, path: str, fields: Mapping[str, str]) -> Any:
        answer = self._pool.request("GET", f"{self._url}/api/v1/{path}", fields=fields, timeout=30)
        content = json.loads(answer.data)
        if content["status"] != "success":
            raise RefusedQueryError(content["error"])
        return content["data"]


@contextmanager
def prometheus(program: Path, folder: Path, port: int, target: str, scrape_interval: int) -> Iterator[Prometheus]:
    """Run a Prometheus during the ``with`` block. The block begins when Prometheus is ready.

    Args:
        program: The path of Prometheus.
        folder: A new folder for Prometheus' configuration, data and log.
        port: The port on loopback on which Prometheus listens.
        target: Host and port of the operator's endpoints.
        scrape_interval: The seconds between two scrapes.

    Raises:
        MeasurementError: Prometheus exited, or was not ready within 60 seconds.
    """
    folder.mkdir(parents=True)
    (folder / "prometheus.yml").write_text(json.dumps(configuration(target, scrape_interval)))
    log = folder / "prometheus.log"
    url = f"http://{HOST}:{port}"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                str(program),
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={HOST}:{port}",
                "--enable-feature=exemplar-storage",
            ],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,
        )

    def ready() -> bool:
        try:
            return bool(http.get(f"{url}/-/ready"))
        except OSError:
            return False

    try:
        wait_for(lambda: ready() or process.poll() is not None, "Prometheus to be ready", 60)
        if process.poll() is None:
            yield Prometheus(url)
        if process.poll() is not None:
            raise MeasurementError(f"Prometheus exited. Its last lines:\n{log.read_text()[-2000:]}")
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()


def configuration(target: str, scrape_interval: int) -> dict[str, Any]:
    """Return Prometheus' configuration, which is YAML and therefore may be JSON. The scrape keeps the
    label ``namespace`` of MLJobs, as the chart's ServiceMonitor does.
    """
    interval = f"{scrape_interval}s"
    return {
        "global": {"scrape_interval": interval, "scrape_timeout": interval},
        "scrape_configs": [{"job_name": JOB, "honor_labels": True, "static_configs": [{"targets": [target]}]}],
    }


def built() -> Path:
    """Return the path of Prometheus. Build Prometheus at the first call on a machine.

    Raises:
        MissingToolError: Prometheus can't be built.
    """
    return golang.built("prometheus", PROMETHEUS)
