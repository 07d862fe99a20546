"""Measures the latency of an operator that polls Airflow: the time from a change in Airflow until a
Kubernetes watch receives the changed status.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from benchmarks.bench_stack import DAG_ID, BenchStack, wait_for
from benchmarks.figures import percentile
from benchmarks.polling_operator import INTERVAL
from benchmarks.watcher import Watcher
from devstack.progress import step

NAMESPACE = "bench-polling"
_GOLDEN_RATIO = 0.618034


@dataclass(frozen=True, slots=True)
class Plan:
    """The size of the benchmark: the number of MLJobs, and the number of changes to measure."""

    jobs: int = 50
    changes: int = 40


@dataclass(frozen=True, slots=True)
class Result:
    """The measured latencies.

    Attributes:
        jobs: The number of MLJobs.
        samples: The latency of each change, in milliseconds.
    """

    jobs: int
    samples: tuple[float, ...]

    def as_json(self) -> dict[str, Any]:
        """Return a dict for JSON: the numbers of MLJobs and of samples, the polling interval, and
        the median and the 99th percentile of the latencies in whole milliseconds.
        """
        return {
            "jobs": self.jobs,
            "interval_seconds": INTERVAL,
            "samples": len(self.samples),
            "p50_ms": round(percentile(self.samples, 0.5)),
            "p99_ms": round(percentile(self.samples, 0.99)),
        }


def measure(bench: BenchStack, plan: Plan) -> Result:
    """Set runs to failed in Airflow, and measure the time until a watch receives each failure."""
    names = bench.populate(NAMESPACE, plan.jobs)
    env = bench.stack.env
    environment = {name: env[name] for name in ("KUBECONFIG", "AIRFLOW_URL", "AIRFLOW_USER", "AIRFLOW_PASSWORD")}
    environment["BENCH_NAMESPACE"] = NAMESPACE
    with Watcher(bench.credentials) as watcher, bench.process("benchmarks.polling_operator", environment):
        runs: dict[str, str] = {}

        def all_queued() -> bool:
            for job in bench.cluster.list(NAMESPACE):
                status = job.get("status") or {}
                if status.get("dagRunState") == "queued":
                    runs[job["metadata"]["name"]] = status["dagRunId"]
            return len(runs) == plan.jobs

        with step("polling", f"submitting {plan.jobs} runs", lambda: f"{len(runs)} of {plan.jobs}"):
            wait_for(all_queued, f"{plan.jobs} MLJobs in {NAMESPACE} with a run", 120, every=0.5)
        watcher.observations()

        changed: dict[str, float] = {}
        with step("polling", f"{plan.changes} changes in Airflow, polled every {INTERVAL:.0f} s"):
            for number in range(plan.changes):
                name = names[number % plan.jobs]
                bench.airflow.fail(DAG_ID, runs[name])
                # Airflow has stored the change when it answers, so the request itself does not
                # count.
                changed[name] = time.monotonic()
                # Multiples of the golden ratio spread the changes evenly over the interval.
                time.sleep(0.1 + number * _GOLDEN_RATIO % 1)
            seen: dict[str, float] = {}

            def all_seen() -> bool:
                for s in watcher.observations():
                    if s.namespace == NAMESPACE and s.run_state == "failed":
                        seen.setdefault(s.name, s.at)
                return seen.keys() >= changed.keys()

            wait_for(all_seen, "the last change at the watcher", 60)
    return Result(plan.jobs, tuple((seen[name] - at) * 1000 for name, at in changed.items()))
