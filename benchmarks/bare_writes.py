"""Measures how fast an operator of MLJobs could be at best. The benchmark sends only the writes
that a successful MLJob needs:

1. Create the MLJob, as a user does.
2. Add the finalizer.
3. Write the id of the run into the status.
4. Create an Event about the submission.
5. Write the start of the run into the status.
6. Write the end of the run into the status.
7. Create an Event about the success.
8. Remove the finalizer.

Meanwhile, a watch receives all changes of the MLJobs, as an operator's watch does. The chart's
admission policy, which saves the second of these writes, is suspended.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from benchmarks.bench_stack import BenchStack
from benchmarks.servers import MERGE_PATCH, path_of
from benchmarks.writer import Writer
from devstack.progress import step
from mljob_contract.mljob import FINALIZER
from mljob_contract.resource import API_VERSION

NAMESPACE = "bench-bare"
WRITES = 8
AT_A_TIME = 16
"""The maximum number of MLJobs that are written at the same time."""


@dataclass(frozen=True, slots=True)
class Result:
    """How fast the benchmark sent the writes.

    Attributes:
        jobs: How many MLJobs were written.
        seconds: The time from the first write of the first MLJob to the end of the last write, in
            seconds.
        api_cpu_ms: The mean CPU time of the API server per MLJob, in milliseconds.
    """

    jobs: int
    seconds: float
    api_cpu_ms: float

    @property
    def jobs_per_second(self) -> float:
        """The average number of MLJobs that were written per second."""
        return self.jobs / self.seconds

    def as_json(self) -> dict[str, Any]:
        """Return the figures by name, rounded, without ``seconds``."""
        return {
            "jobs": self.jobs,
            "jobs_per_second": round(self.jobs_per_second, 1),
            "writes_per_job": WRITES,
            "api_server_cpu_ms_per_job": round(self.api_cpu_ms, 1),
        }


def measure(bench: BenchStack, jobs: int, first: int = 0) -> Result:
    """Send the writes for ``jobs`` MLJobs, for at most :data:`AT_A_TIME` MLJobs at the same time.
    Measure the time from the first to the last write, and the CPU time of the API server.

    Args:
        bench: The stack whose API server receives the writes.
        jobs: The number of MLJobs.
        first: The number in the name of the first MLJob. The names of the MLJobs are numbered.
    """
    bench.cluster.make_namespace(NAMESPACE)
    with (
        bench.cluster.without_admission_policy(NAMESPACE),
        step("floor", f"the bare writes of {jobs} MLJobs"),
    ):
        before, began = bench.cpu_seconds("kube-apiserver"), time.monotonic()
        asyncio.run(_write(bench, range(first, first + jobs)))
        seconds = time.monotonic() - began
        cpu = bench.cpu_seconds("kube-apiserver") - before
    return Result(jobs, seconds, cpu * 1000 / jobs)


async def _write(bench: BenchStack, numbers: range) -> None:
    stop = asyncio.Event()
    async with Writer(bench.credentials) as writer:
        watching = asyncio.create_task(asyncio.to_thread(_watch, bench, stop))
        places = asyncio.Semaphore(AT_A_TIME)

        async def live(number: int) -> None:
            async with places:
                await _life(writer, f"job-{number:05d}")

        await asyncio.gather(*map(live, numbers))
        stop.set()
        # The next change ends the watch, which looks at the flag between two changes.
        await writer.create(NAMESPACE, f"last-{numbers.stop}", "none")
        await watching


def _watch(bench: BenchStack, stop: asyncio.Event) -> None:
    with contextlib.closing(bench.cluster.watch(bench.cluster.version())) as chunks:
        for _ in chunks:
            if stop.is_set():
                return


async def _life(writer: Writer, name: str) -> None:
    await writer.create(NAMESPACE, name, "train")
    path = path_of(NAMESPACE, name)

    async def status(**fields: Any) -> None:
        await writer.send("PATCH", f"{path}/status", {"status": fields}, MERGE_PATCH)

    await writer.send("PATCH", path, {"metadata": {"finalizers": [FINALIZER]}}, MERGE_PATCH)
    await status(**_announced(name))
    await writer.send("POST", f"/api/v1/namespaces/{NAMESPACE}/events", _event(name, "Submitted"))
    await status(phase="Running", reason="TaskRunning", startTime=_now(), **_tasks("running"))
    await status(phase="Succeeded", reason="Succeeded", completionTime=_now(), **_tasks("success"))
    await writer.send("POST", f"/api/v1/namespaces/{NAMESPACE}/events", _event(name, "Succeeded"))
    await writer.send("PATCH", path, {"metadata": {"finalizers": None}}, MERGE_PATCH)


def _announced(name: str) -> dict[str, Any]:
    return {
        "phase": "Queued",
        "reason": "Submitting",
        "attempts": 1,
        "dagId": "train",
        "dagRunId": f"bench.{NAMESPACE}.{name}.aaaaaaaaaa-1",
        "specHash": "aaaaaaaaaa",
        "observedGeneration": 1,
    }


def _tasks(state: str) -> dict[str, Any]:
    task = {"state": state, "tryNumber": 1, "startTime": _now()}
    tasks = [task | {"taskId": f"step_{number}"} for number in range(1, 6)]
    conditions = [
        {"type": kind, "status": "True", "reason": "Bench", "message": "A sentence.", "lastTransitionTime": _now()}
        for kind in ("Complete", "Reconciling", "Stalled")
    ]
    return {"tasks": tasks, "taskCounts": {"total": 5, state: 5}, "conditions": conditions, "message": "5/5 tasks."}


def _event(name: str, reason: str) -> dict[str, Any]:
    about = {"apiVersion": API_VERSION, "kind": "MLJob", "namespace": NAMESPACE, "name": name}
    return {
        "metadata": {"generateName": f"{name}.", "namespace": NAMESPACE},
        "involvedObject": about,
        "reason": reason,
        "message": "A sentence about the run.",
        "type": "Normal",
        "firstTimestamp": _now(),
        "lastTimestamp": _now(),
        "source": {"component": "bench"},
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
