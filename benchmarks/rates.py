"""Measures the operator under load. MLJobs are created at an even rate, and the measurement lasts
until the operator is done with all MLJobs: their last write is the one that removes the finalizer.

Each MLJob runs five tasks in about two seconds in the simulated Airflow, which sends twelve events
about each run.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import psutil

from benchmarks import api_requests
from benchmarks.bench_stack import BenchStack, MeasurementError, wait_for
from benchmarks.figures import percentile
from benchmarks.simulated_airflow.catalog import BUSY
from benchmarks.watcher import Watcher
from benchmarks.writer import Writer
from devstack.progress import say, step

NAMESPACE = PREFIX = "bench-rates"
RATES, SECONDS, ROUNDS = (5.0, 8.0, 10.0, 20.0, 40.0, 60.0), 20.0, 3
OVER = frozenset({"Succeeded", "Failed", "Cancelled"})
PATIENCE = 300.0
"""Seconds after the last MLJob's creation within which the operator must be done with all MLJobs."""
SUBMISSION = "POST /api/v2/dags/{dag_id}/dagRuns"


@dataclass(frozen=True, slots=True)
class Plan:
    """The size of the benchmark.

    Attributes:
        rates: How many MLJobs are created per second. Each of the rates is measured separately.
        seconds: How long MLJobs are created at each rate.
        rounds: How often the highest of the rates is measured, each time between two measurements of
            the floor.
    """

    rates: Sequence[float] = RATES
    seconds: float = SECONDS
    rounds: int = ROUNDS


@dataclass(frozen=True, slots=True)
class Result:
    """The results at one rate.

    Attributes:
        rate: How many MLJobs the benchmark created per second.
        jobs: How many MLJobs the benchmark created.
        jobs_per_second: With how many MLJobs the operator was done per second, see
            :func:`throughput`.
        fastest: The shortest time from the creation of an MLJob to the last write about the MLJob,
            in seconds.
        latencies: For each MLJob, the seconds from the end of the run in Airflow until a watch
            receives the final phase.
        progress_latencies: For each task of each MLJob except the last task, the seconds from the
            end of the task in Airflow until a watch receives a status that shows the end.
        writes: How many requests about MLJobs and Events the API server answered, by kind of
            request. :func:`benchmarks.api_requests.counted` lists the kinds.
        operator_cpu_ms: The operator's CPU time divided by ``jobs``, in milliseconds.
        api_cpu_ms: The API server's CPU time divided by ``jobs``, in milliseconds.
        airflow_cpu_ms: The simulated Airflow's CPU time divided by ``jobs``, in milliseconds.
        twice: How many submissions Airflow answered with 409, because the run existed already.
    """

    rate: float
    jobs: int
    jobs_per_second: float
    fastest: float
    latencies: Sequence[float]
    progress_latencies: Sequence[float]
    writes: Counter[str]
    operator_cpu_ms: float
    api_cpu_ms: float
    airflow_cpu_ms: float
    twice: int

    def as_json(self) -> dict[str, Any]:
        """Return the rounded figures by name, without ``rate`` and ``fastest``. Latencies are the 50th and the 99th
        percentile, in milliseconds. ``per_job`` has ``writes`` divided by ``jobs``.
        """
        return {
            "jobs": self.jobs,
            "jobs_per_second": round(self.jobs_per_second, 1),
            "end_to_seen_p50_ms": round(percentile(self.latencies, 0.5) * 1000),
            "end_to_seen_p99_ms": round(percentile(self.latencies, 0.99) * 1000),
            "progress_to_seen_p50_ms": round(percentile(self.progress_latencies, 0.5) * 1000),
            "progress_to_seen_p99_ms": round(percentile(self.progress_latencies, 0.99) * 1000),
            "per_job": {kind: round(count / self.jobs, 2) for kind, count in sorted(self.writes.items())},
            "operator_cpu_ms_per_job": round(self.operator_cpu_ms, 1),
            "api_server_cpu_ms_per_job": round(self.api_cpu_ms, 1),
            "simulated_airflow_cpu_ms_per_job": round(self.airflow_cpu_ms, 2),
            "submitted_twice": self.twice,
        }


def measure(bench: BenchStack, plan: Plan) -> Iterator[Result]:
    """Measure the operator once at each rate of the plan. Yield the result of a rate before the next
    rate begins. The same operator process runs at all rates.
    """
    yield from _measure(bench, plan.rates, plan.seconds, 1)


def measure_highest_again(bench: BenchStack, plan: Plan, number: int) -> Result:
    """Measure a new operator process at the highest rate of the plan. ``number`` is the number of
    the round, from 2.
    """
    (result,) = _measure(bench, [max(plan.rates)], plan.seconds, number)
    return result


def _measure(bench: BenchStack, every: Sequence[float], seconds: float, number: int) -> Iterator[Result]:
    bench.cluster.make_namespace(NAMESPACE)
    settings = {"MLJOB_NAMESPACES": NAMESPACE, "MLJOB_RUN_ID_PREFIX": PREFIX}
    with Watcher(bench.credentials) as watcher, bench.operator(**settings) as operator:
        # Connections are opened, and code is specialised, before anything counts.
        alone = _drive(bench, operator, watcher, f"warm-up-{number}", 5, min(25, round(5 * seconds))).fastest
        for rate in every:
            result = _drive(bench, operator, watcher, f"rate-{rate:g}-{number}", rate, round(rate * seconds), alone)
            figures = result.as_json()
            say(
                f"  {'':<24} {figures['jobs_per_second']} jobs/s, end to seen p50 {figures['end_to_seen_p50_ms']} ms, "
                f"p99 {figures['end_to_seen_p99_ms']} ms"
            )
            yield result


def _drive(
    bench: BenchStack,
    operator: psutil.Process,
    watcher: Watcher,
    label: str,
    rate: float,
    count: int,
    alone: float | None = None,
) -> Result:
    """Create ``count`` MLJobs, and measure until the operator is done with them. ``alone`` is the
    argument of :func:`throughput`, or None for the time of the fastest of these MLJobs.
    """
    names = [f"{label}-{number:05d}" for number in range(count)]
    watcher.observations()
    requests, posts = api_requests.counted(bench.cluster), bench.airflow.requests()
    cpu = _cpu(bench, operator)
    created: dict[str, float] = {}
    seen: dict[str, float] = {}
    done: dict[str, float] = {}
    succeeded: dict[str, list[float]] = {name: [] for name in names}

    def all_done() -> bool:
        for one in watcher.observations():
            if one.namespace != NAMESPACE:
                continue
            created.setdefault(one.name, one.at)
            if (times := succeeded.get(one.name)) is not None:
                times.extend([one.at] * (one.succeeded - len(times)))
            if one.phase in OVER:
                seen.setdefault(one.name, one.at)
                if not one.held:
                    done.setdefault(one.name, one.at)
        return done.keys() >= set(names)

    with step("rates", f"{count} MLJobs, {rate:g} a second", lambda: f"{len(done)} of {count}"):
        asyncio.run(_create(bench, names, rate))
        wait_for(all_done, f"the end of {count} MLJobs", PATIENCE, every=0.2)
    operator_cpu, api_cpu, airflow_cpu = (
        (after - before) * 1000 / count for before, after in zip(cpu, _cpu(bench, operator), strict=True)
    )
    ends = bench.airflow.ends()
    wanted = set(names)
    latencies = [
        seen[name] - at for run_id, at in ends.items() if (name := name_of(run_id, PREFIX, NAMESPACE)) in wanted
    ]
    if len(latencies) < count:
        raise MeasurementError(f"Airflow has ended {len(latencies)} runs of {count} MLJobs")
    progress_latencies = [
        seen_at - at
        for run_id, ended in bench.airflow.task_ends().items()
        if (name := name_of(run_id, PREFIX, NAMESPACE)) in wanted
        for at, seen_at in zip(ended[:-1], succeeded[name], strict=False)
    ]
    said = bench.airflow.requests()
    fastest = min(done[name] - created[name] for name in names)
    return Result(
        rate,
        count,
        throughput(
            [created[name] for name in names], [done[name] for name in names], fastest if alone is None else alone
        ),
        fastest,
        latencies,
        progress_latencies,
        api_requests.counted(bench.cluster) - requests,
        operator_cpu,
        api_cpu,
        airflow_cpu,
        said[f"{SUBMISSION} 409"] - posts[f"{SUBMISSION} 409"],
    )


def throughput(created: Sequence[float], done: Sequence[float], alone: float) -> float:
    """Return with how many MLJobs the operator was done per second, from the first creation to the
    last write. The time that an MLJob takes without load does not count, because its run takes most
    of that time.

    Under load, last writes wait until the load is over. So the times between the last writes say
    nothing about the throughput, and even the fastest MLJob may have waited for most of the time.

    Args:
        created: When each MLJob was created, in seconds.
        done: When the last write about each MLJob arrived, in seconds, in any order.
        alone: The time from the creation of an MLJob to the last write without load, in seconds.
    """
    return (len(done) - 1) / (max(done) - min(created) - alone)


def _cpu(bench: BenchStack, operator: psutil.Process) -> list[float]:
    times = operator.cpu_times()
    servers = [bench.cpu_seconds(name) for name in ("kube-apiserver", "airflow-simulated")]
    return [times.user + times.system, *servers]


async def _create(bench: BenchStack, names: Sequence[str], rate: float) -> None:
    async with Writer(bench.credentials) as writer:
        await writer.create_evenly(NAMESPACE, names, BUSY, rate)


def name_of(run_id: str, operator: str, namespace: str) -> str:
    """Return the name of the MLJob with this run id, or an empty text if the run belongs to another
    operator or namespace.

    Args:
        run_id: The id of the run.
        operator: The prefix of the operator's run ids.
        namespace: The namespace of the MLJob.
    """
    prefix = f"{operator}.{namespace}."
    return run_id.removeprefix(prefix).split(".")[0] if run_id.startswith(prefix) else ""
