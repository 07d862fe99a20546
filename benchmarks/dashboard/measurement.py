"""Runs MLJobs, evaluates the chart's dashboard, and draws it."""

from __future__ import annotations

import asyncio
import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.bench_stack import BenchStack, MeasurementError, wait_for
from benchmarks.dashboard import layout, load, panels, picture
from benchmarks.dashboard.evaluation import FilledPanel, evaluate
from benchmarks.dashboard.prometheus import built, prometheus
from benchmarks.dashboard.variables import TimeRange
from benchmarks.servers import Airflow
from benchmarks.writer import Writer
from devstack.bootstrap import ROOT
from devstack.http import get
from devstack.ports import HOST
from devstack.progress import step

DASHBOARD = ROOT / "charts" / "mljob-operator" / "files" / "monitoring" / "dashboard.json"
PICTURE = ROOT / "docs" / "pictures" / "dashboard.png"
DAGS = Path(__file__).parent / "dags.json"
OPTIONS = f"--dags {shlex.quote(str(DAGS))}"
"""The options of the stack's simulated Airflow."""
PREFIX = "bench-dashboard"
SCRAPE_INTERVAL = 5
SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Plan:
    """The size of the benchmark.

    Attributes:
        seconds: How long MLJobs are created.
        picture: The file for the picture.
    """

    seconds: float = SECONDS
    picture: Path = PICTURE


@dataclass(frozen=True, slots=True)
class Result:
    """What the dashboard was filled with.

    Attributes:
        mljobs: How many MLJobs were created.
        panels: The panels with their lines.
    """

    mljobs: int
    panels: Sequence[FilledPanel]

    def as_json(self) -> dict[str, Any]:
        """Return the figures by name."""
        drawn = [each for each in self.panels if each.panel.kind != "row"]
        return {
            "mljobs": self.mljobs,
            "panels": len(drawn),
            "expressions": sum(len(each.panel.targets) for each in drawn),
            "series": sum(len(each.lines) for each in drawn),
            "exemplars": sum(len(each.exemplars) for each in drawn),
        }


def measure(bench: BenchStack, plan: Plan) -> Result:
    """Fill the dashboard, and draw it. The stack's simulated Airflow needs the options ``OPTIONS``.

    Raises:
        MeasurementError: The dashboard has defects, see :func:`.evaluation.evaluate`. Or a process
            exited.
    """
    dashboard = panels.read(DASHBOARD.read_text())
    program = built()
    for team in load.TEAMS:
        bench.cluster.make_namespace(team)
    environment = bench.stack.operator_env()
    target = f"{HOST}:{environment['MLJOB_HTTP_PORT']}"
    with (
        _second_airflow(bench) as second,
        bench.operator(MLJOB_RUN_ID_PREFIX=PREFIX),
        prometheus(
            program, bench.stack.directory / "prometheus", bench.stack.ports["prometheus"], target, SCRAPE_INTERVAL
        ) as source,
    ):
        asyncio.run(_make_instance(bench, second))
        began = time.time()
        created = asyncio.run(_load(bench, [bench.airflow, _client(bench, second)], plan.seconds))
        shown = TimeRange(began, time.time(), SCRAPE_INTERVAL)
        evaluation = evaluate(dashboard, source, shown, layout.POINTS)
    if evaluation.defects:
        raise MeasurementError("the dashboard has defects:\n  " + "\n  ".join(evaluation.defects))
    plan.picture.parent.mkdir(parents=True, exist_ok=True)
    picture.draw(dashboard, evaluation.panels, shown, plan.picture)
    return Result(created, evaluation.panels)


@contextmanager
def _second_airflow(bench: BenchStack) -> Iterator[str]:
    """Run a second simulated Airflow during the ``with`` block, and yield its URL."""
    port = bench.stack.ports["airflow-prod"]
    url = f"http://{HOST}:{port}"
    arguments = ["--port", str(port), "--user", bench.stack.env["AIRFLOW_USER"], "--dags", str(DAGS)]
    arguments += ["--source", load.INSTANCE, "--seed", "1", "--brokers", bench.brokers, "--topic", bench.topic]
    password = {"SIMULATED_AIRFLOW_PASSWORD": bench.stack.env["AIRFLOW_PASSWORD"]}

    def serves() -> bool:
        try:
            return bool(get(f"{url}/api/v2/version"))
        except OSError:
            return False

    with bench.process("benchmarks.simulated_airflow", password, arguments):
        wait_for(serves, "the second Airflow to be ready", 60)
        yield url


def _client(bench: BenchStack, url: str) -> Airflow:
    return Airflow(url, bench.stack.env["AIRFLOW_USER"], bench.stack.env["AIRFLOW_PASSWORD"])


async def _make_instance(bench: BenchStack, url: str) -> None:
    async with Writer(bench.credentials) as writer:
        await load.make_instance(writer, url, bench.stack.env["AIRFLOW_USER"], bench.stack.env["AIRFLOW_PASSWORD"])


async def _load(bench: BenchStack, airflows: list[Airflow], seconds: float) -> int:
    async with Writer(bench.credentials) as writer:
        running = load.Load(writer, airflows, seconds)
        with step("dashboard", f"MLJobs of {len(load.TEAMS)} teams, {seconds:.0f} s", lambda: f"{running.created}"):
            await running.run()
        return running.created
