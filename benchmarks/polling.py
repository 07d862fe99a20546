"""How long the usual kind of operator takes to show a change: from a change in Airflow to the change at a Kubernetes watcher."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from benchmarks.figures import percentile
from benchmarks.polling_operator import INTERVAL
from benchmarks.stage import DAG_ID, Stage, wait_for
from benchmarks.watcher import Watcher
from devstack.progress import step

NAMESPACE = "bench-polling"
_GOLDEN = 0.618034


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    jobs: int = 50
    changes: int = 40


@dataclass(frozen=True, slots=True)
class Result:
    """Milliseconds of each change."""

    jobs: int
    samples: tuple[float, ...]

    def as_json(self) -> dict[str, Any]:
        """Rounded."""
        return {
            "jobs": self.jobs,
            "interval_seconds": INTERVAL,
            "samples": len(self.samples),
            "p50_ms": round(percentile(self.samples, 0.5)),
            "p99_ms": round(percentile(self.samples, 0.99)),
        }


def measure(stage: Stage, plan: Plan) -> Result:
    """Set one run after the other failed, and see how long until the status says so."""
    names = stage.populate(NAMESPACE, plan.jobs)
    env = stage.stack.env
    environment = {name: env[name] for name in ("KUBECONFIG", "AIRFLOW_URL", "AIRFLOW_USER", "AIRFLOW_PASSWORD")}
    environment["BENCH_NAMESPACE"] = NAMESPACE
    with Watcher(stage.credentials) as watcher, stage.process("benchmarks.polling_operator", environment):
        runs: dict[str, str] = {}

        def all_queued() -> bool:
            for job in stage.cluster.list(NAMESPACE):
                status = job.get("status") or {}
                if status.get("dagRunState") == "queued":
                    runs[job["metadata"]["name"]] = status["dagRunId"]
            return len(runs) == plan.jobs

        with step("polling", f"submitting {plan.jobs} runs", lambda: f"{len(runs)} of {plan.jobs}"):
            wait_for(all_queued, f"{plan.jobs} MLJobs in {NAMESPACE} with a run", 120, every=0.5)
        watcher.sightings()

        changed: dict[str, float] = {}
        with step("polling", f"{plan.changes} changes in Airflow, seen by looking every {INTERVAL:.0f} s"):
            for number in range(plan.changes):
                name = names[number % plan.jobs]
                stage.airflow.fail(DAG_ID, runs[name])
                # The clock starts when Airflow has answered: the change is stored, and the request is not counted.
                changed[name] = time.monotonic()
                # Evenly spread over the interval, in no step with it.
                time.sleep(0.1 + number * _GOLDEN % 1)
            seen: dict[str, float] = {}

            def all_seen() -> bool:
                for s in watcher.sightings():
                    if s.namespace == NAMESPACE and s.run_state == "failed":
                        seen.setdefault(s.name, s.at)
                return seen.keys() >= changed.keys()

            wait_for(all_seen, "the last change at the watcher", 60)
    return Result(plan.jobs, tuple((seen[name] - at) * 1000 for name, at in changed.items()))
