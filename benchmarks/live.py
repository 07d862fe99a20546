"""Measures how much time, CPU and memory the operator needs for many live MLJobs, which are MLJobs
with active runs. The measurement has these phases:

- In the burst, all MLJobs are created as fast as possible.
- In the silence, the runs report nothing, so the operator receives no events.
- The operator is stopped. Some runs end, and a new operator is started.

The phases are repeated for several numbers of MLJobs, each time with a new operator and in a new
namespace.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psutil

from benchmarks.bench_stack import BenchStack, wait_for
from benchmarks.figures import percentile
from benchmarks.rates import OVER, SUBMISSION
from benchmarks.resident import settled
from benchmarks.simulated_airflow.catalog import SILENT
from benchmarks.watcher import Watcher
from benchmarks.writer import Writer
from devstack.progress import say, step

SIZES, SILENCE = (100, 1000, 2000), 60.0
VICTIMS = 10
"""The number of MLJobs that are cancelled while the burst is submitted."""
ENDED_AWAY = 20
"""How many runs end while no operator runs. A new operator has caught up when its statuses show the
ends of all these runs.
"""

TIMEOUT = ("timed out", "Timeout")
"""The texts by which a line of the log is counted as a time-out."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The size of the benchmark.

    Attributes:
        sizes: The numbers of live MLJobs to measure, in any order.
        silence: For how many seconds the CPU use is measured while the runs report nothing. The
            operator lists all active runs once a minute, so a measurement below 60 seconds may miss
            this request.
    """

    sizes: Sequence[int] = SIZES
    silence: float = SILENCE


@dataclass(slots=True)
class Result:
    """The measured figures for ``jobs`` live MLJobs, which are MLJobs with active runs.

    Attributes:
        jobs: The number of live MLJobs.
        created_per_second: How many MLJobs the API server accepted per second.
        submitted_per_second: How many runs the operator submitted per second, from the creation of
            the first live MLJob to the submission of the last run.
        timeouts: How many time-outs the operator logged before the restart.
        twice: How many submissions Airflow answered with 409, because the run existed already.
        cancelled: Other MLJobs are cancelled while the live MLJobs are created. For each cancelled
            MLJob, the seconds from the cancellation to the final phase.
        none_mib: Resident memory of the operator without MLJobs.
        live_mib: Resident memory of the operator with the live MLJobs.
        cpu: The operator's CPU use while the runs report nothing, in percent of a core.
        ready: The seconds from the start of the new operator until the new operator is ready.
        caught_up: Some runs end while no operator runs. The seconds from the start of the new
            operator until the statuses show the ends of all these runs.
        restarted_mib: Resident memory of the restarted operator.
        restarted_cpu: The restarted operator's CPU use while the runs report nothing, in percent of
            a core.
    """

    jobs: int
    created_per_second: float = 0
    submitted_per_second: float = 0
    timeouts: int = 0
    twice: int = 0
    cancelled: list[float] = field(default_factory=list)
    none_mib: float = 0
    live_mib: float = 0
    cpu: float = 0
    ready: float = 0
    caught_up: float = 0
    restarted_mib: float = 0
    restarted_cpu: float = 0

    @property
    def kib_per_job(self) -> float:
        """The difference between ``live_mib`` and ``none_mib``, in KiB per live MLJob."""
        return (self.live_mib - self.none_mib) * 1024 / self.jobs

    @property
    def restarted_kib_per_job(self) -> float:
        """The difference between ``restarted_mib`` and ``none_mib``, in KiB per live MLJob."""
        return (self.restarted_mib - self.none_mib) * 1024 / self.jobs

    def as_json(self) -> dict[str, Any]:
        """Return the rounded figures as a dict for JSON, without ``jobs``. For ``cancelled``, the
        dict has the median and the maximum.
        """
        return {
            "created_per_second": round(self.created_per_second, 1),
            "submitted_per_second": round(self.submitted_per_second, 1),
            "timeouts_in_log": self.timeouts,
            "submitted_twice": self.twice,
            "cancelled_in_burst_p50_s": round(percentile(self.cancelled, 0.5), 2),
            "cancelled_in_burst_max_s": round(max(self.cancelled), 2),
            "live_0_mib": round(self.none_mib, 1),
            "live_mib": round(self.live_mib, 1),
            "kib_per_job": round(self.kib_per_job, 1),
            "cpu_percent": round(self.cpu, 2),
            "restart_ready_s": round(self.ready, 1),
            "restart_caught_up_s": round(self.caught_up, 1),
            "restarted_mib": round(self.restarted_mib, 1),
            "restarted_kib_per_job": round(self.restarted_kib_per_job, 1),
            "restarted_cpu_percent": round(self.restarted_cpu, 2),
        }


def measure(bench: BenchStack, plan: Plan) -> Iterator[Result]:
    """Measure once for each number of MLJobs in ``plan.sizes``, smallest number first. Yield each
    result before the next measurement begins.
    """
    for size in sorted(plan.sizes):
        yield _Size(bench, size, plan).measure()


class _Size:
    def __init__(self, bench: BenchStack, size: int, plan: Plan) -> None:
        self._bench = bench
        self._plan = plan
        self._namespace = f"bench-live-{size}"
        self._names = [f"job-{number:05d}" for number in range(size)]
        self._victims = [f"victim-{number}" for number in range(VICTIMS)]
        self._result = Result(size)

    def measure(self) -> Result:
        result = self._result
        self._bench.cluster.make_namespace(self._namespace)
        with Watcher(self._bench.credentials) as watcher:
            phases = _Phases(watcher, self._namespace)
            before = self._bench.log_lines("mljob_operator", *TIMEOUT)
            with self._operator() as operator:
                result.none_mib = settled(operator, "without MLJobs")
                self._burst(phases)
                result.live_mib = settled(operator, f"with {result.jobs} live MLJobs")
                result.cpu = self._silence(operator)
                result.timeouts = self._bench.log_lines("mljob_operator", *TIMEOUT) - before
            self._end_some()
            self._restart(phases)
        say(f"  {'':<24} {', '.join(f'{name} {value}' for name, value in result.as_json().items())}")
        return result

    @contextmanager
    def _operator(self) -> Iterator[psutil.Process]:
        settings = {"MLJOB_NAMESPACES": self._namespace, "MLJOB_RUN_ID_PREFIX": self._namespace}
        with self._bench.operator(**settings) as operator:
            yield operator

    def _burst(self, phases: _Phases) -> None:
        victims = frozenset(self._victims)
        before = self._bench.airflow.requests()
        asyncio.run(self._create(self._victims))
        wait_for(lambda: phases.count({"Running"}, victims) == VICTIMS, "the runs to cancel", 120)

        names, there = frozenset(self._names), self._bench.airflow.runs(SILENT)
        with step(
            "live", f"a burst of {len(names)} MLJobs", lambda: f"{phases.count({'Running'}, names)} of {len(names)}"
        ):
            began = time.monotonic()
            asked = asyncio.run(self._create_and_cancel())
            self._result.created_per_second = len(names) / (time.monotonic() - began)
            wait_for(
                lambda: self._bench.airflow.runs(SILENT) - there >= len(names), "the last submission", 900, every=0.25
            )
            self._result.submitted_per_second = len(names) / (time.monotonic() - began)
            wait_for(lambda: phases.count(OVER, victims) == VICTIMS, "the end of the cancelled runs", 300)
            wait_for(lambda: phases.count({"Running"}, names) == len(names), "all runs to be shown", 600, every=0.5)
        said = self._bench.airflow.requests()
        self._result.twice = said[f"{SUBMISSION} 409"] - before[f"{SUBMISSION} 409"]
        self._result.cancelled = [phases.since[name] - at for name, at in asked.items()]

    async def _create(self, names: Sequence[str]) -> None:
        async with Writer(self._bench.credentials) as writer:
            await writer.create_at_once(self._namespace, names, SILENT)

    async def _create_and_cancel(self) -> dict[str, float]:
        """Create the MLJobs in ``_names``. When a third of these MLJobs exist, also cancel the
        MLJobs in ``_victims``, which the caller has created. Return the time of the API server's
        answer to each cancellation, by the MLJob's name, in seconds of the monotonic clock.
        """
        third = math.ceil(len(self._names) / 3)
        async with Writer(self._bench.credentials) as writer:
            await writer.create_at_once(self._namespace, self._names[:third], SILENT)
            rest = asyncio.create_task(writer.create_at_once(self._namespace, self._names[third:], SILENT))
            times = await asyncio.gather(*(writer.cancel(self._namespace, name) for name in self._victims))
            await rest
        return dict(zip(self._victims, times, strict=True))

    def _silence(self, operator: psutil.Process) -> float:
        """Measure and return the operator's CPU use while the runs report nothing, in percent of a
        core.
        """
        with step("live", f"{self._plan.silence:.0f} s of silence"):
            before, began = operator.cpu_times(), time.monotonic()
            time.sleep(self._plan.silence)
            after, seconds = operator.cpu_times(), time.monotonic() - began
        return 100 * (after.user + after.system - before.user - before.system) / seconds

    def _end_some(self) -> None:
        jobs = {job["metadata"]["name"]: job["status"]["dagRunId"] for job in self._bench.cluster.list(self._namespace)}
        for name in self._ended():
            self._bench.airflow.fail(SILENT, jobs[name])

    def _ended(self) -> list[str]:
        """Return the names of the MLJobs whose runs end while no operator runs. Each call returns
        the same names.
        """
        count = min(ENDED_AWAY, len(self._names))
        return [self._names[number * len(self._names) // count] for number in range(count)]

    def _restart(self, phases: _Phases) -> None:
        result, ended = self._result, frozenset(self._ended())
        began = time.monotonic()
        with self._operator() as operator:
            result.ready = time.monotonic() - began
            with step("live", "catching up", lambda: f"{phases.count(OVER, ended)} of {len(ended)}"):
                wait_for(lambda: phases.count(OVER, ended) == len(ended), "what happened meanwhile to be shown", 600)
            result.caught_up = max(phases.since[name] for name in ended) - began
            result.restarted_mib = settled(operator, f"with {result.jobs} live MLJobs, after a restart")
            result.restarted_cpu = self._silence(operator)


class _Phases:
    """The phases of a namespace's MLJobs, from a watch.

    Attributes:
        since: The time of each MLJob's last change of phase, by name, in seconds of the monotonic
            clock.
    """

    def __init__(self, watcher: Watcher, namespace: str) -> None:
        self._watcher = watcher
        self._namespace = namespace
        self._phases: dict[str, str | None] = {}
        self.since: dict[str, float] = {}

    def count(self, phases: set[str] | frozenset[str], names: frozenset[str]) -> int:
        for one in self._watcher.observations():
            if one.namespace == self._namespace and self._phases.get(one.name) != one.phase:
                self._phases[one.name], self.since[one.name] = one.phase, one.at
        return sum(self._phases.get(name) in phases for name in names)


def exponent(costs: Mapping[int, float]) -> float:
    """Return the exponent with which a cost grows: 1 if twice as many MLJobs cost twice as much, 2
    if they cost four times as much.

    The exponent is the slope of the costs on logarithmic axes, by least squares. The result is NaN
    for fewer than two positive costs.

    Args:
        costs: The cost of all MLJobs together, by the number of MLJobs.
    """
    points = [(math.log(size), math.log(cost)) for size, cost in costs.items() if cost > 0]
    if len(points) < 2:
        return math.nan
    mean_x, mean_y = (sum(values) / len(points) for values in zip(*points, strict=True))
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return float(sum((x - mean_x) * (y - mean_y) for x, y in points) / spread)
