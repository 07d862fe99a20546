"""The operator's resident memory without MLJobs, and with many unfinished MLJobs."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import psutil

from benchmarks.bench_stack import BenchStack
from devstack.progress import step

NAMESPACE = "bench-memory"
MIB = 1024 * 1024
STABLE_SECONDS = 8
"""Memory counts as settled after so many seconds without a change of more than one percent."""


@dataclass(frozen=True, slots=True)
class Result:
    """Resident memory in MiB.

    Attributes:
        jobs: The number of MLJobs.
        none: Without MLJobs.
        many: With the MLJobs, in the process that submitted their runs.
        restarted: With the MLJobs, in a process that started afterwards.
    """

    jobs: int
    none: float
    many: float
    restarted: float

    def as_json(self) -> dict[str, Any]:
        """The rounded figures."""
        return {
            "live_0_mib": round(self.none, 1),
            f"live_{self.jobs}_mib": round(self.many, 1),
            f"live_{self.jobs}_after_restart_mib": round(self.restarted, 1),
            "per_job_kib": round((self.many - self.none) * 1024 / self.jobs, 1),
        }


def measure(bench: BenchStack, jobs: int = 1000) -> Result:
    """Measure before and after the operator submits the runs of `jobs` MLJobs, and after a
    restart.
    """
    bench.cluster.make_namespace(NAMESPACE)
    with bench.operator(MLJOB_NAMESPACES=NAMESPACE) as process:
        none = _settled(process, "without MLJobs")
        bench.populate(NAMESPACE, jobs)
        bench.wait_until_queued(NAMESPACE, jobs)
        many = _settled(process, f"with {jobs} live MLJobs")
    with bench.operator(MLJOB_NAMESPACES=NAMESPACE) as process:
        restarted = _settled(process, f"with {jobs} live MLJobs, after a restart")
    return Result(jobs, none, many, restarted)


def _settled(process: psutil.Process, what: str, seconds: float = 40) -> float:
    """The resident memory in MiB once it has settled, or after `seconds`."""
    history = [process.memory_info().rss / MIB]
    with step("memory", f"settling {what}", lambda: f"{history[-1]:.1f} MiB"):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            recent = history[-STABLE_SECONDS:]
            if len(recent) == STABLE_SECONDS and max(recent) - min(recent) < 0.01 * max(recent):
                break
            time.sleep(1)
            history.append(process.memory_info().rss / MIB)
    return history[-1]
