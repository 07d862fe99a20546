"""Kills and restarts parts of the system at random times, and watches the MLJobs."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import urllib3

from mljob_contract.mljob.status import Phase
from tests.live.eventually import eventually
from tests.live.kubernetes_api import KubernetesApi
from tests.live.mljobs import TERMINAL, Object

RANKS = {phase.value: rank for rank, phase in enumerate(Phase)}
"""Phases in the order in which an MLJob without retries may have them. The terminal phases share a
rank, because none of them may follow another.
"""
RANKS |= dict.fromkeys(TERMINAL, len(Phase))

PAUSE = 0.2
"""Seconds between attempts to reach an API server that is away."""


@dataclass(frozen=True)
class Outage:
    """A planned outage of one part of the system, such as Kafka.

    Attributes:
        begin: Seconds from :meth:`Outages.begin` until the part is killed.
        take_away: Kills the part. Returns the function that starts the part again.
    """

    part: str
    begin: float
    take_away: Callable[[], Callable[[], None]]


def planned(
    parts: Mapping[str, Callable[[], Callable[[], None]]], within: float, chance: random.Random
) -> list[Outage]:
    return [Outage(part, chance.uniform(0, within), take_away) for part, take_away in parts.items()]


class Outages:
    """Kills parts of the system and starts them again, each part in its own thread.

    Args:
        plan: The planned outages, at most one of each part.
        seconds: Seconds from the kill of a part until the part is started again.
    """

    def __init__(self, plan: Sequence[Outage], seconds: float) -> None:
        self._threads = [threading.Thread(target=self._run, args=(outage, seconds)) for outage in plan]
        self._over = threading.Event()
        self._problems: list[BaseException] = []
        self.times: dict[str, tuple[float, float]] = {}
        """When each part was taken away and was back, in seconds since the epoch."""

    def begin(self) -> None:
        for thread in self._threads:
            thread.start()

    def wait(self) -> None:
        for thread in self._threads:
            thread.join()
        if self._problems:
            raise self._problems[0]

    def end(self) -> None:
        """Start the killed parts again at once, and skip the outages that have not begun. Wait for
        the starts, and raise the first error that occurred in an outage.
        """
        self._over.set()
        self.wait()

    def _run(self, outage: Outage, seconds: float) -> None:
        try:
            if self._over.wait(outage.begin):
                return
            began = time.time()
            bring_back = outage.take_away()
            self._over.wait(seconds)
            bring_back()
            self.times[outage.part] = began, time.time()
        except BaseException as problem:
            self._problems.append(problem)


@dataclass
class Course:
    """What a watch has seen of one MLJob's status.

    Attributes:
        ended: When the watch first saw a terminal phase, in seconds since the epoch. 0 before that.
        backward: A text such as "phase Running -> Queued" for each change to an earlier phase, each
            change of a terminal phase, and each change to a lower percentage. A lower percentage of
            a failed run is left out.
    """

    phase: str = Phase.PENDING.value
    percent: int = 0
    run_ids: set[str] = field(default_factory=set)
    ended: float = 0
    backward: list[str] = field(default_factory=list)

    def saw(self, status: Object) -> None:
        phase, percent = status.get("phase", Phase.PENDING.value), status.get("percent", 0)
        if RANKS[phase] < RANKS[self.phase] or (self.ended and phase != self.phase):
            self.backward.append(f"phase {self.phase} -> {phase}")
        # In a failed run, skipped tasks no longer count as succeeded.
        if percent < self.percent and status.get("dagRunState") != "failed":
            self.backward.append(f"percent {self.percent} -> {percent}")
        self.phase, self.percent = phase, percent
        if "dagRunId" in status:
            self.run_ids.add(status["dagRunId"])
        if phase in TERMINAL:
            self.ended = self.ended or time.time()


class Watcher:
    """Watches the MLJobs of a namespace in a thread during a ``with`` block. After an outage of the
    API server, the thread lists the MLJobs and watches again.

    Args:
        path: The path of the namespace's MLJobs in the Kubernetes API.
    """

    def __init__(self, api: KubernetesApi, path: str) -> None:
        self._api, self._path = api, path
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.courses: dict[str, Course] = {}
        self.changes = 0

    def __enter__(self) -> Watcher:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(60)

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                found = self._api.get(self._path)
                for item in found["items"]:
                    self._saw(item)
                version = found["metadata"]["resourceVersion"]
                for event in self._api.watch(self._path, resourceVersion=version, timeoutSeconds="5"):
                    if event["type"] != "ERROR":
                        self._saw(event["object"])
            except (urllib3.exceptions.HTTPError, AssertionError, ValueError):
                # A server is away or is starting, or a killed server has sent half a line.
                self._over.wait(PAUSE)

    def _saw(self, job: Object) -> None:
        self.changes += 1
        self.courses.setdefault(job["metadata"]["name"], Course()).saw(job.get("status") or {})


def insist(request: Callable[[], object], what: str) -> None:
    """Repeat a request until the request succeeds, because the server may be down. Give up after
    180 seconds.

    Args:
        request: Sends the request once. If ``request`` raises an HTTPError of urllib3 or an
            AssertionError, ``request`` is called again.
        what: The expected success in words, for the error message.

    Raises:
        AssertionError: The request did not succeed in time.
    """

    def done() -> bool:
        try:
            request()
        except urllib3.exceptions.HTTPError as error:
            raise AssertionError(str(error)) from error
        return True

    eventually(done, what)
