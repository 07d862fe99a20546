"""Sends events of running tasks to Kafka at an even rate, and measures the latency of each event.

The latency of an event begins when the bytes of the event are ready. The latency ends when a watch
of the MLJobs (:mod:`benchmarks.watcher`) receives a status with the event, or with a later event of
the same MLJob.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from confluent_kafka import Producer

from benchmarks.bench_stack import DAG_ID, MeasurementError, wait_for
from benchmarks.watcher import SEQUENCE, Observation, Watcher
from mljob_contract.events import EventName, MLJobRef, TaskEvent

TASK = "train"
Name = tuple[str, str]
"""Namespace and name of an MLJob."""


@dataclass(frozen=True, slots=True)
class Target:
    """An MLJob and its run. The benchmark sends events about the run."""

    namespace: str
    name: str
    run_id: str

    @property
    def key(self) -> Name:
        """Namespace and name of the MLJob."""
        return self.namespace, self.name


class Traffic:
    """Sends events about some runs to one topic, and measures the latency of each event. Each
    progress event reports its own number as a metric, by which the watcher recognises the event.
    """

    def __init__(self, brokers: str, topic: str, targets: Sequence[Target], watcher: Watcher) -> None:
        # Without linger: the time in which a producer collects messages is not the operator's.
        self._producer = Producer({"bootstrap.servers": brokers, "linger.ms": 0})
        self._topic = topic
        self._targets = targets
        self._watcher = watcher
        self._number = 0

    def warm_up(self, seconds: float = 60) -> None:
        """Send events until the watcher has seen at least one event in the status of each MLJob.
        Then the operator's Kafka consumers are ready.

        Raises:
            MeasurementError: A status still has no event after ``seconds``.
        """
        for target in self._targets:
            self._send(target, EventName.TASK_RUNNING)
        waiting = {target.key for target in self._targets}
        first = self._number

        def answered() -> bool:
            for target in self._targets:
                if target.key in waiting:
                    self._send(target, EventName.TASK_PROGRESS)
            time.sleep(1)
            waiting.difference_update(
                (s.namespace, s.name) for s in self._watcher.observations() if s.sequence >= first
            )
            return not waiting

        wait_for(answered, f"a first status in {self._targets[0].namespace}", seconds, every=0)

    def run(self, rate: float, seconds: float) -> list[float]:
        """Send ``rate`` events per second in total, about each MLJob in turn, for ``seconds``
        seconds. Then wait until the watcher has seen the last event about each MLJob.

        Returns:
            The latency of each event, in milliseconds.

        Raises:
            MeasurementError: The watcher has not seen the last event about an MLJob within 30
                seconds after the last event was sent.
        """
        self._watcher.observations()
        sent: dict[Name, list[tuple[int, float]]] = defaultdict(list)
        began = time.monotonic()
        for index in range(round(rate * seconds)):
            pause = began + index / rate - time.monotonic()
            if pause > 0:
                time.sleep(pause)
            target = self._targets[index % len(self._targets)]
            sent[target.key].append(self._send(target, EventName.TASK_PROGRESS))

        seen: list[Observation] = []
        last = {key: events[-1][0] for key, events in sent.items()}

        def all_arrived() -> bool:
            seen.extend(self._watcher.observations())
            newest: dict[Name, int] = {}
            for s in seen:
                newest[s.namespace, s.name] = max(s.sequence, newest.get((s.namespace, s.name), -1))
            return all(newest.get(key, -1) >= number for key, number in last.items())

        wait_for(all_arrived, f"the last events on topic {self._topic}", 30)
        return latencies(sent, seen)

    def _send(self, target: Target, event: EventName) -> tuple[int, float]:
        number = self._number
        self._number += 1
        reporting = event is EventName.TASK_PROGRESS
        message = TaskEvent(
            event=event,
            timestamp=datetime.now(UTC),
            dag_id=DAG_ID,
            run_id=target.run_id,
            task_id=TASK,
            try_number=1,
            max_tries=0,
            state="running",
            progress=number % 100 / 100 if reporting else None,
            metrics={SEQUENCE: number, "loss": 1 / (number + 1)} if reporting else None,
            mljob=MLJobRef(namespace=target.namespace, name=target.name),
        )
        key, value = f"{DAG_ID}/{target.run_id}", message.model_dump_json(exclude_none=True)
        at = time.monotonic()
        self._producer.produce(self._topic, value, key)
        self._producer.poll(0)
        return number, at


def latencies(sent: dict[Name, list[tuple[int, float]]], seen: Sequence[Observation]) -> list[float]:
    """Return the latency of each event, in milliseconds. The latency of an event ends at the first
    observation with the event, or with a later event of the same MLJob.

    Args:
        sent: The number and the time of each event, by MLJob. The times are in seconds of the
            monotonic clock.
        seen: The watcher's observations, in the order of their arrival.

    Raises:
        MeasurementError: No observation ends the latency of an event.
    """
    arrived: dict[Name, tuple[list[int], list[float]]] = defaultdict(lambda: ([], []))
    for s in seen:
        numbers, times = arrived[s.namespace, s.name]
        if not numbers or s.sequence > numbers[-1]:
            numbers.append(s.sequence)
            times.append(s.at)
    took = []
    for key, events in sent.items():
        numbers, times = arrived[key]
        for number, at in events:
            index = bisect_left(numbers, number)
            if index == len(numbers):
                raise MeasurementError(f"event {number} of {key} did not reach the watcher")
            took.append((times[index] - at) * 1000)
    return took
