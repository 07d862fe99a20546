"""Measures a rolling update of the operator's two replicas while MLJobs run. As in the Helm chart's
Deployment, a new replica is ready before an old replica ends.

While no replica is the leader, the operator changes no status. Therefore the benchmark measures
gaps. A gap is the time from a status change of any MLJob until the next status change of any MLJob.
Outside of the rolling update, gaps are short, because many MLJobs run at the same time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from benchmarks.bench_stack import BenchStack, MeasurementError, wait_for
from benchmarks.figures import percentile
from benchmarks.rates import OVER, PATIENCE, SUBMISSION, name_of
from benchmarks.simulated_airflow.catalog import BUSY
from benchmarks.watcher import Observation, Watcher
from benchmarks.writer import Writer
from devstack.progress import say, step

NAMESPACE = PREFIX = "bench-upgrade"
REPLICAS = 2
RATE, SECONDS, LOADED = 8.0, 40.0, 8.0
"""The number of MLJobs per second, the duration of this load in seconds, and the seconds of load
before the update begins.
"""


@dataclass(frozen=True, slots=True)
class Result:
    """The measurements of one rolling update. Times are in seconds.

    Attributes:
        jobs: The number of MLJobs.
        longest_gap: The longest gap that overlaps the rolling update or the second after the
            update. A gap is the time from a status change of any MLJob until the next status change
            of any MLJob.
        usual_gap: The longest gap that ended before the rolling update, and began at least 2 seconds
            after the benchmark began to create MLJobs. No gap counts in both figures.
        latencies: For each run, the time from its end in Airflow until a watch of MLJobs receives
            the end of the run's MLJob.
        twice: The number of submissions that Airflow answered with 409, because the run existed
            already.
    """

    jobs: int
    longest_gap: float
    usual_gap: float
    latencies: Sequence[float]
    twice: int

    def as_json(self) -> dict[str, Any]:
        """Return the result as a JSON object with rounded numbers. Of ``latencies``, the object has
        the median and the maximum, in milliseconds.
        """
        return {
            "jobs": self.jobs,
            "longest_gap_s": round(self.longest_gap, 2),
            "usual_gap_s": round(self.usual_gap, 2),
            "end_to_seen_p50_ms": round(percentile(self.latencies, 0.5) * 1000),
            "end_to_seen_longest_ms": round(max(self.latencies) * 1000),
            "submitted_twice": self.twice,
        }


def measure(bench: BenchStack, rate: float = RATE, seconds: float = SECONDS) -> Result:
    """Measure one rolling update, while ``rate`` MLJobs per second are created for ``seconds``
    seconds.

    Raises:
        MeasurementError: An MLJob has not ended 300 seconds (``PATIENCE``) after the rolling update
            and the creation of all MLJobs, or an MLJob has no run or several runs.
    """
    names = [f"job-{number:05d}" for number in range(round(rate * seconds))]
    bench.cluster.make_namespace(NAMESPACE)
    before = bench.airflow.requests()
    found: list[Observation] = []
    with Watcher(bench.credentials) as watcher, Replicas(bench) as replicas, ThreadPoolExecutor(1) as pool:
        replicas.start()
        replicas.start()
        with step("upgrade", f"{len(names)} MLJobs, {rate:g} a second, while {REPLICAS} replicas are replaced"):
            began = time.monotonic()
            created = pool.submit(lambda: asyncio.run(_create(bench, names, rate)))
            time.sleep(LOADED)
            update_began = time.monotonic()
            for _ in range(REPLICAS):
                replicas.start()
                replicas.end_oldest()
            update_ended = time.monotonic()
            created.result()

            def all_over() -> bool:
                found.extend(one for one in watcher.observations() if one.namespace == NAMESPACE)
                return {one.name for one in found if one.phase in OVER} >= set(names)

            wait_for(all_over, f"the end of {len(names)} MLJobs", PATIENCE, every=0.2)
    result = Result(
        len(names),
        _longest_gap(found, update_began, update_ended + 1),
        _usual_gap(found, began + 2, update_began),
        _latencies(bench, found, names),
        (bench.airflow.requests() - before)[f"{SUBMISSION} 409"],
    )
    figures = result.as_json()
    say(f"  {'':<24} longest gap {figures['longest_gap_s']} s, before the update {figures['usual_gap_s']} s")
    return result


class Replicas:
    """Starts and ends replicas of the operator. Each replica is a process with its own port."""

    def __init__(self, bench: BenchStack) -> None:
        self._bench = bench
        self._running: list[ExitStack] = []
        self._started = 0

    def __enter__(self) -> Replicas:
        return self

    def __exit__(self, *_: object) -> None:
        while self._running:
            self.end_oldest()

    def start(self) -> None:
        """Start another replica, and wait until the replica is ready."""
        self._started += 1
        stack = ExitStack()
        stack.enter_context(
            self._bench.operator(
                MLJOB_NAMESPACES=NAMESPACE,
                MLJOB_RUN_ID_PREFIX=PREFIX,
                MLJOB_HTTP_PORT=str(self._bench.stack.ports[f"operator-{self._started}"]),
            )
        )
        self._running.append(stack)

    def end_oldest(self) -> None:
        """End the oldest replica, and wait until its process has ended."""
        self._running.pop(0).close()


async def _create(bench: BenchStack, names: Sequence[str], rate: float) -> None:
    async with Writer(bench.credentials) as writer:
        await writer.create_evenly(NAMESPACE, names, BUSY, rate)


def _longest_gap(found: Sequence[Observation], begin: float, end: float) -> float:
    """Return the longest gap that overlaps the time from ``begin`` to ``end``."""
    return max((after - before for before, after in _gaps(found) if after >= begin and before <= end), default=0.0)


def _usual_gap(found: Sequence[Observation], begin: float, end: float) -> float:
    """Return the longest gap that began at ``begin`` or later, and ended before ``end``."""
    return max((after - before for before, after in _gaps(found) if before >= begin and after < end), default=0.0)


def _gaps(found: Sequence[Observation]) -> Iterable[tuple[float, float]]:
    return pairwise(sorted(one.at for one in found if one.phase is not None))


def _latencies(bench: BenchStack, found: Sequence[Observation], names: Sequence[str]) -> list[float]:
    seen: dict[str, float] = {}
    for one in found:
        if one.phase in OVER:
            seen.setdefault(one.name, one.at)
    ends = {run_id: at for run_id, at in bench.airflow.ends().items() if name_of(run_id, PREFIX, NAMESPACE)}
    runs = sorted(name_of(run_id, PREFIX, NAMESPACE) for run_id in ends)
    if runs != sorted(names):
        raise MeasurementError(f"{len(names)} MLJobs have {len(runs)} runs, of {len(set(runs))} MLJobs")
    return [seen[name_of(run_id, PREFIX, NAMESPACE)] - at for run_id, at in ends.items()]
