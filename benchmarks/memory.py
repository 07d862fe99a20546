"""What the operator weighs: resident memory without MLJobs, and with many that are not finished."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import psutil

from benchmarks.stage import Stage
from devstack.progress import step

NAMESPACE = "bench-memory"
MIB = 1024 * 1024
QUIET = 8
"""Seconds without a change worth mentioning, after which memory counts as settled."""


@dataclass(frozen=True, slots=True)
class Result:
    """Resident memory in MiB.

    Attributes:
        many: With ``jobs`` live ones, in the process that submitted them.
        restarted: With the same ones, in a process that found them.
    """

    jobs: int
    none: float
    many: float
    restarted: float

    def as_json(self) -> dict[str, Any]:
        """Rounded."""
        return {
            "live_0_mib": round(self.none, 1),
            f"live_{self.jobs}_mib": round(self.many, 1),
            f"live_{self.jobs}_after_restart_mib": round(self.restarted, 1),
            "per_job_kib": round((self.many - self.none) * 1024 / self.jobs, 1),
        }


def measure(stage: Stage, jobs: int = 1000) -> Result:
    """Weigh it before and after so many MLJobs were submitted."""
    stage.cluster.make_namespace(NAMESPACE)
    with stage.operator(MLJOB_NAMESPACES=NAMESPACE) as process:
        none = _settled(process, "without MLJobs")
        stage.populate(NAMESPACE, jobs)
        stage.wait_until_queued(NAMESPACE, jobs)
        many = _settled(process, f"with {jobs} live MLJobs")
    with stage.operator(MLJOB_NAMESPACES=NAMESPACE) as process:
        restarted = _settled(process, f"with {jobs} live MLJobs, after a restart")
    return Result(jobs, none, many, restarted)


def _settled(process: psutil.Process, what: str, seconds: float = 40) -> float:
    """Resident memory in MiB, once it stays within one percent for a while."""
    history = [process.memory_info().rss / MIB]
    with step("memory", f"settling {what}", lambda: f"{history[-1]:.1f} MiB"):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            recent = history[-QUIET:]
            if len(recent) == QUIET and max(recent) - min(recent) < 0.01 * max(recent):
                break
            time.sleep(1)
            history.append(process.memory_info().rss / MIB)
    return history[-1]
