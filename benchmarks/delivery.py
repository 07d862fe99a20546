"""What it costs a task to tell Kafka of itself: by this project's callbacks, by Airflow's own producer, by both; beside a task that tells nothing.

The tasks are real ones, in processes that Airflow's worker forks for them, and do nothing else: what any task pays before it does
anything is the floor. Each process measures itself (dags/bench_delivery.py). They run one after the other, every variant once in each
of four places, so that what the machine does besides falls on all of them alike. A variant's figures count only when Kafka has its events.
"""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from benchmarks.figures import percentile
from benchmarks.stage import NotInTime, Stage, wait_for
from devstack.progress import say, step

DAG_ID = "bench_delivery"
PLACES = 4
"""How often that DAG runs each variant."""

OURS, OFFICIAL = "ours", "official"
VARIANTS: dict[str, frozenset[str]] = {
    "bare": frozenset(),
    "callbacks": frozenset({OURS}),
    "official": frozenset({OFFICIAL}),
    "both": frozenset({OURS, OFFICIAL}),
}
"""Who tells of the tasks of a variant. The first is the floor."""
FLOOR = "bare"
WORDS = {
    "bare": "nothing (the floor)",
    "callbacks": "mljob_callbacks()",
    "official": "Airflow's own producer",
    "both": "both",
}
EVENTS = frozenset({"task_instance.running", "task_instance.success"})
"""What either says of a task that succeeds."""

MEASURES = {
    "cpu_ms": ("cpu_seconds", 1000.0),
    "wall_ms": ("wall_seconds", 1000.0),
    "peak_mib": ("peak_bytes", 1 / 1024**2),
}
"""Our name of a measure; the DAG's, and what to multiply its number with."""

Cost = Mapping[str, float]
"""What one task's process cost, by measure."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured.

    Attributes:
        runs: Of the DAG, with ``PLACES`` tasks of each variant; one more goes before, to warm up the worker.
    """

    runs: int = 4


@dataclass(frozen=True, slots=True)
class Result:
    """The costs of each variant's tasks."""

    costs: Mapping[str, tuple[Cost, ...]]

    def as_json(self) -> dict[str, Any]:
        """Rounded. ``more`` and ``ratio`` compare medians with the floor's."""
        return {"tasks_of_each": len(self.costs[FLOOR])} | {
            variant: {measure: self._figures(variant, measure) for measure in MEASURES} for variant in self.costs
        }

    def _figures(self, variant: str, measure: str) -> dict[str, float]:
        samples, floor = ([cost[measure] for cost in self.costs[name]] for name in (variant, FLOOR))
        middle, floors = percentile(samples, 0.5), percentile(floor, 0.5)
        found = {"p50": round(middle, 1), "p90": round(percentile(samples, 0.9), 1)}
        if variant != FLOOR:
            found |= {"more": round(middle - floors, 1), "ratio": round(middle / floors, 2)}
        return found


def measure(stage: Stage, plan: Plan) -> Result:
    """Run the tasks, see that what they told has arrived, and read what they cost.

    Raises:
        NotInTime: A run did not succeed, a process left no figures, or Kafka does not have exactly the events of each variant.
    """
    with step("delivery", f"reading DAG {DAG_ID}"):
        wait_for(lambda: stage.airflow.knows(DAG_ID), f"DAG {DAG_ID} in Airflow", 120, every=0.5)
    runs = [f"bench-{number}" for number in range(plan.runs + 1)]
    done: list[str] = []
    with step("delivery", f"{len(runs)} runs of {PLACES * len(VARIANTS)} tasks", lambda: f"{len(done)} of {len(runs)}"):
        for run in runs:
            _run(stage, run)
            done.append(run)
    expected = expected_events(runs)
    with step("delivery", f"reading {sum(expected.values())} events"):
        _assert_told(stage, expected)
    # The first run's tasks made the worker import what all later ones inherit.
    result = Result(read_costs((stage.stack.directory / "airflow" / "delivery.jsonl").read_text(), runs[1:]))
    say(f"  {'':<24} " + ", ".join(f"{name}: {figures['cpu_ms']['p50']:.0f} ms" for name, figures in _variants(result)))
    return result


def read_costs(lines: str, runs: Iterable[str]) -> dict[str, tuple[Cost, ...]]:
    """What the DAG's tasks wrote down in these runs, by variant.

    Raises:
        NotInTime: There are not ``PLACES`` tasks of a variant and a run.
    """
    wanted = list(runs)
    found: dict[str, list[Cost]] = defaultdict(list)
    for line in lines.splitlines():
        written = json.loads(line)
        if written["run_id"] in wanted:
            found[written["variant"]].append(
                {measure: written[name] * factor for measure, (name, factor) in MEASURES.items()}
            )
    counts = {variant: len(found[variant]) for variant in VARIANTS}
    if set(counts.values()) != {PLACES * len(wanted)}:
        raise NotInTime(f"of {PLACES * len(wanted)} tasks of each kind, these left figures: {counts}")
    return {variant: tuple(found[variant]) for variant in VARIANTS}


def expected_events(runs: Iterable[str]) -> Counter[tuple[str, str, str, str]]:
    """Run, task, who tells and what: once each."""
    return Counter(
        (run, f"{variant}_{place}", teller, event)
        for run in runs
        for variant, tellers in VARIANTS.items()
        for place in range(PLACES)
        for teller in tellers
        for event in EVENTS
    )


def _variants(result: Result) -> list[tuple[str, dict[str, Any]]]:
    told = result.as_json()
    return [(name, told[name]) for name in VARIANTS]


def _run(stage: Stage, run_id: str) -> None:
    stage.airflow.trigger(DAG_ID, run_id)

    def succeeded() -> bool:
        state = stage.airflow.state(DAG_ID, run_id)
        if state == "failed":
            raise NotInTime(f"run {run_id} of {DAG_ID} failed")
        return state == "success"

    wait_for(succeeded, f"run {run_id} of {DAG_ID}", 300, every=0.5)


def _assert_told(stage: Stage, expected: Counter[tuple[str, str, str, str]], seconds: float = 30) -> None:
    """That the topic has these events of the DAG, and no others."""
    told: Counter[tuple[str, str, str, str]] = Counter()
    consumer = Consumer({"bootstrap.servers": stage.brokers, "group.id": "bench", "enable.auto.commit": False})
    try:
        partitions = consumer.list_topics(stage.topic, timeout=10).topics[stage.topic].partitions
        consumer.assign([TopicPartition(stage.topic, number, 0) for number in partitions])
        deadline = time.monotonic() + seconds
        while told.total() < expected.total() and time.monotonic() < deadline:
            for message in consumer.consume(500, timeout=0.5):
                said = json.loads(message.value() or b"")
                if said["dag_id"] == DAG_ID:
                    teller = OURS if "mljob_version" in said else OFFICIAL
                    told[said["run_id"], said["task_id"], teller, said["event"]] += 1
    finally:
        consumer.close()
    if told != expected:
        raise NotInTime(
            f"Kafka lacks {dict(expected - told)} and has {dict(told - expected)} beside what was to be told"
        )
