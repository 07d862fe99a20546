"""The other end of every measurement: a bare watch in a process of its own, which notes when each change arrived.

A change is stamped before it is parsed, on the clock that all processes of a machine share (CLOCK_MONOTONIC). Sightings are handed over
only when asked for, so that during a measurement nothing but the watch runs here.
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
"""The metric that tells which event a status holds."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """A version of an MLJob arrived.

    Attributes:
        at: When, in seconds of the monotonic clock.
        sequence: Number of the newest event in its status; -1 before any.
        run_state: What its status says of the dag run.
    """

    namespace: str
    name: str
    at: float
    sequence: int
    run_state: str | None


class Watcher:
    """The watching process."""

    def __init__(self, credentials: Credentials) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_watch, args=(credentials, theirs), daemon=True)

    def __enter__(self) -> Self:
        """Begin; the watch is open when this returns."""
        self._process.start()
        if not self._pipe.poll(60):
            raise RuntimeError("the watcher could not open its watch")
        self._pipe.recv()
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self._process.terminate()
        self._process.join(10)

    def sightings(self) -> list[Sighting]:
        """What has arrived since the last call."""
        self._pipe.send(None)
        found: list[Sighting] = self._pipe.recv()
        return found


def sighting(event: dict[str, Any], at: float) -> Sighting:
    """What a watch event shows."""
    meta, status = event["object"]["metadata"], event["object"].get("status") or {}
    numbers = [
        int(task["metrics"][SEQUENCE]) for task in status.get("tasks") or () if SEQUENCE in (task.get("metrics") or {})
    ]
    return Sighting(meta["namespace"], meta["name"], at, max(numbers, default=-1), status.get("dagRunState"))


def _watch(credentials: Credentials, pipe: Connection) -> None:
    arrived: list[Sighting] = []

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
    # An API server that is short of processors ends watches; as any watcher, this one goes on where it was.
    while True:
        rest = b""
        for chunk in cluster.watch(version):
            at = time.monotonic()
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                event = json.loads(line)
                arrived.append(sighting(event, at))
                version = event["object"]["metadata"]["resourceVersion"]
