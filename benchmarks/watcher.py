"""A process that watches MLJobs and records when each change arrives. Most latency measurements end
when a change arrives at this process.

Times are in seconds of the monotonic clock, which all processes of a machine share. The process
sends its observations only on request, so that the process does no other work during a measurement.
"""

from __future__ import annotations

import json
import multiprocessing
import threading
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Self

from benchmarks.servers import Cluster, Credentials

SEQUENCE = "seq"
"""The metric with the number of the event."""


@dataclass(frozen=True, slots=True)
class Observation:
    """A version of an MLJob that the watch has received.

    Attributes:
        namespace: The namespace of the MLJob.
        name: The name of the MLJob.
        at: The time of arrival, in seconds of the monotonic clock.
        sequence: The highest value of the metric ``seq`` in ``status.tasks``, or -1 without this
            metric. A benchmark sends the number of each progress report as this metric.
        run_state: ``status.dagRunState``.
        phase: ``status.phase``.
        held: Whether the MLJob has a finalizer.
        succeeded: How many tasks in ``status.tasks`` have succeeded.
    """

    namespace: str
    name: str
    at: float
    sequence: int
    run_state: str | None
    phase: str | None = None
    held: bool = False
    succeeded: int = 0


class Watcher:
    """A context manager for a process that watches all MLJobs and records when each change arrives."""

    def __init__(self, credentials: Credentials) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_watch, args=(credentials, theirs), daemon=True)

    def __enter__(self) -> Self:
        """Start the process. The watch receives all changes after this call.

        Raises:
            RuntimeError: The process was not ready within 60 seconds.
        """
        self._process.start()
        if not self._pipe.poll(60):
            raise RuntimeError("the watcher did not open its watch within 60 s")
        self._pipe.recv()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the process."""
        self._process.terminate()
        self._process.join(10)

    def observations(self) -> list[Observation]:
        """Return the observations since the last call."""
        self._pipe.send(None)
        found: list[Observation] = self._pipe.recv()
        return found


def observation(event: dict[str, Any], at: float) -> Observation:
    """Convert a watch event to an observation. ``at`` is the time of arrival."""
    meta, status = event["object"]["metadata"], event["object"].get("status") or {}
    numbers = [
        int(task["metrics"][SEQUENCE]) for task in status.get("tasks") or () if SEQUENCE in (task.get("metrics") or {})
    ]
    sequence = max(numbers, default=-1)
    return Observation(
        meta["namespace"],
        meta["name"],
        at,
        sequence,
        status.get("dagRunState"),
        status.get("phase"),
        held=bool(meta.get("finalizers")),
        succeeded=sum(task.get("state") == "success" for task in status.get("tasks") or ()),
    )


def _watch(credentials: Credentials, pipe: Connection) -> None:
    arrived: list[Observation] = []

    def hand_over() -> None:
        while True:
            pipe.recv()
            count = len(arrived)
            pipe.send(arrived[:count])
            del arrived[:count]

    cluster = Cluster(credentials)
    version = cluster.version()
    pipe.send("watching")
    threading.Thread(target=hand_over, daemon=True).start()
    # An overloaded API server ends watches. Then watch again from the last version.
    while True:
        rest = b""
        for chunk in cluster.watch(version):
            at = time.monotonic()
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                event = json.loads(line)
                arrived.append(observation(event, at))
                version = event["object"]["metadata"]["resourceVersion"]
