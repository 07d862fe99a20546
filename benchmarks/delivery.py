"""Measures what sending events costs a task: CPU time, duration and peak memory.

Each task has one of four variants. The events are sent by this project's callbacks, by Airflow's
own producer (the plugin ``kafka_event_producer`` of Airflow's Kafka provider), by both, or by
neither. The results compare the costs of the other variants with the costs of the tasks that send
no events.

The tasks run in real processes of Airflow's worker, and do no work of their own
(dags/bench_delivery.py). A run of the DAG executes the tasks one after the other. The variants
alternate, so that other load of the machine affects all variants alike.
"""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from benchmarks.bench_stack import BenchStack, MeasurementError, wait_for
from benchmarks.figures import percentile
from devstack.progress import say, step

DAG_ID = "bench_delivery"
POSITIONS = 4
"""The number of tasks of each variant in one run of the DAG."""

OURS, OFFICIAL = "ours", "official"
VARIANTS: dict[str, frozenset[str]] = {
    "bare": frozenset(),
    "callbacks": frozenset({OURS}),
    "official": frozenset({OFFICIAL}),
    "both": frozenset({OURS, OFFICIAL}),
}
"""The producers that send events for the tasks of each variant."""
FLOOR = "bare"
"""The variant that sends no events."""
LABELS = {
    "bare": "nothing (the floor)",
    "callbacks": "mljob_callbacks()",
    "official": "Airflow's own producer",
    "both": "both",
}
EVENTS = frozenset({"task_instance.running", "task_instance.success"})
"""The events that each producer sends for a task that succeeds."""

MEASURES = {
    "cpu_ms": ("cpu_seconds", 1000.0),
    "wall_ms": ("wall_seconds", 1000.0),
    "peak_mib": ("peak_bytes", 1 / 1024**2),
}
"""The measures by name, each with its name in the DAG's records and the factor to the measure's
unit.
"""

Cost = Mapping[str, float]
"""The cost of one task's process, by measure."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The size of the benchmark.

    Attributes:
        runs: How many runs of the DAG are measured. One more run warms up the worker.
    """

    runs: int = 4


@dataclass(frozen=True, slots=True)
class Result:
    """The costs of the measured tasks, grouped by the senders of the tasks' events
    (``VARIANTS``).
    """

    costs: Mapping[str, tuple[Cost, ...]]

    def as_json(self) -> dict[str, Any]:
        """Return the rounded figures, by variant (a key of ``VARIANTS``) and measure (a key of
        ``MEASURES``).

        ``p50`` is the median, and ``p90`` is the 90th percentile. ``more`` and ``ratio`` compare
        the variant's median with the median of the tasks that send no events: ``more`` is the
        difference, and ``ratio`` is the quotient. ``tasks_of_each`` is the number of measured tasks
        of each variant.
        """
        return {"tasks_of_each": len(self.costs[FLOOR])} | {
            variant: {measure: self._figures(variant, measure) for measure in MEASURES} for variant in self.costs
        }

    def _figures(self, variant: str, measure: str) -> dict[str, float]:
        samples, floor = ([cost[measure] for cost in self.costs[name]] for name in (variant, FLOOR))
        median, floor_median = percentile(samples, 0.5), percentile(floor, 0.5)
        figures = {"p50": round(median, 1), "p90": round(percentile(samples, 0.9), 1)}
        if variant != FLOOR:
            figures |= {"more": round(median - floor_median, 1), "ratio": round(median / floor_median, 2)}
        return figures


def measure(bench: BenchStack, plan: Plan) -> Result:
    """Run the tasks, check that their events are in Kafka, and read their costs.

    Raises:
        MeasurementError: Airflow has not read the DAG after 120 seconds, a run did not succeed
            within 300 seconds, a process recorded no cost, or Kafka does not have exactly the
            expected events.
    """
    with step("delivery", f"reading DAG {DAG_ID}"):
        wait_for(lambda: bench.airflow.knows(DAG_ID), f"DAG {DAG_ID} in Airflow", 120, every=0.5)
    runs = [f"bench-{number}" for number in range(plan.runs + 1)]
    done: list[str] = []
    with step(
        "delivery", f"{len(runs)} runs of {POSITIONS * len(VARIANTS)} tasks", lambda: f"{len(done)} of {len(runs)}"
    ):
        for run in runs:
            _run(bench, run)
            done.append(run)
    expected = expected_events(runs)
    with step("delivery", f"reading {sum(expected.values())} events"):
        _assert_sent(bench, expected)
    # The first run does not count: its tasks import modules that the processes of all later tasks
    # inherit.
    result = Result(read_costs((bench.stack.directory / "airflow" / "delivery.jsonl").read_text(), runs[1:]))
    figures = result.as_json()
    say(f"  {'':<24} " + ", ".join(f"{name}: {figures[name]['cpu_ms']['p50']:.0f} ms" for name in VARIANTS))
    return result


def read_costs(lines: str, runs: Iterable[str]) -> dict[str, tuple[Cost, ...]]:
    """Return the costs that the DAG's tasks recorded in these runs, by variant (a key of
    ``VARIANTS``).

    Args:
        lines: The content of the file with the costs: a JSON object on each line.
        runs: The ids of the runs.

    Raises:
        MeasurementError: The number of a variant's records is not ``POSITIONS`` (4) times the
            number of runs.
    """
    wanted = list(runs)
    found: dict[str, list[Cost]] = defaultdict(list)
    for line in lines.splitlines():
        record = json.loads(line)
        if record["run_id"] in wanted:
            found[record["variant"]].append(
                {measure: record[name] * factor for measure, (name, factor) in MEASURES.items()}
            )
    counts = {variant: len(found[variant]) for variant in VARIANTS}
    if set(counts.values()) != {POSITIONS * len(wanted)}:
        raise MeasurementError(f"expected the costs of {POSITIONS * len(wanted)} tasks of each variant, found {counts}")
    return {variant: tuple(found[variant]) for variant in VARIANTS}


def expected_events(runs: Iterable[str]) -> Counter[tuple[str, str, str, str]]:
    """Return the events that Kafka should have after these runs, each with count 1. A key is a
    tuple of run id, task id, producer and event name.
    """
    return Counter(
        (run, f"{variant}_{position}", producer, event)
        for run in runs
        for variant, producers in VARIANTS.items()
        for position in range(POSITIONS)
        for producer in producers
        for event in EVENTS
    )


def _run(bench: BenchStack, run_id: str) -> None:
    bench.airflow.trigger(DAG_ID, run_id)

    def succeeded() -> bool:
        state = bench.airflow.state(DAG_ID, run_id)
        if state == "failed":
            raise MeasurementError(f"run {run_id} of {DAG_ID} failed")
        return state == "success"

    wait_for(succeeded, f"run {run_id} of {DAG_ID}", 300, every=0.5)


def _assert_sent(bench: BenchStack, expected: Counter[tuple[str, str, str, str]], seconds: float = 30) -> None:
    """Wait at most ``seconds`` for the expected number of events. Raise a :class:`MeasurementError`
    unless the topic then has exactly the expected events of the DAG.
    """
    sent: Counter[tuple[str, str, str, str]] = Counter()
    consumer = Consumer({"bootstrap.servers": bench.brokers, "group.id": "bench", "enable.auto.commit": False})
    try:
        partitions = consumer.list_topics(bench.topic, timeout=10).topics[bench.topic].partitions
        consumer.assign([TopicPartition(bench.topic, number, 0) for number in partitions])
        deadline = time.monotonic() + seconds
        while sent.total() < expected.total() and time.monotonic() < deadline:
            for message in consumer.consume(500, timeout=0.5):
                event = json.loads(message.value() or b"")
                if event["dag_id"] == DAG_ID:
                    producer = OURS if "mljob_version" in event else OFFICIAL
                    sent[event["run_id"], event["task_id"], producer, event["event"]] += 1
    finally:
        consumer.close()
    if sent != expected:
        raise MeasurementError(
            f"Kafka lacks the events {dict(expected - sent)}, and has unexpected {dict(sent - expected)}"
        )
