"""What the operator makes of a real Airflow's events (golden/): either producer's alone, and both at once, agree with its REST API."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mljob_operator.core.facts import RunFact, TaskFact
from mljob_operator.core.ledger import Ledger, fold
from mljob_operator.core.phases import TERMINAL_RUN, TaskState
from mljob_operator.core.wire import read

GOLDEN = Path(__file__).parent / "golden"
NOW = datetime(2026, 12, 1, tzinfo=UTC)
PRODUCERS = {"ours": ["ours"], "official": ["official"], "both": ["ours", "official"]}
RUNS = sorted(path.stem for path in (GOLDEN / "official").glob("*.json"))


def facts(run: str, producers: Iterable[str]) -> list[TaskFact | RunFact]:
    """The facts of a run's messages, in the sequence in which they were sent."""
    files = [GOLDEN / producer / f"{run}.json" for producer in producers]
    lines = [line for file in files if file.exists() for line in file.read_text(encoding="utf-8").splitlines()]
    envelopes = [read(json.dumps(json.loads(line)["value"]).encode(), NOW) for line in lines]
    return [envelope.fact for envelope in envelopes if envelope.fact is not None]


@pytest.mark.parametrize("producers", PRODUCERS.values(), ids=PRODUCERS)
@pytest.mark.parametrize("run", RUNS)
def test_what_events_say_of_a_task_is_what_rest_says(run: str, producers: list[str]) -> None:
    """Events are silent on some transitions; where they speak of a task's last try and are certain, they are right."""
    answer = json.loads((GOLDEN / "rest" / f"{run}.task_instances.json").read_text(encoding="utf-8"))
    rest = {(row["task_id"], row["map_index"]): row for row in answer["task_instances"]}
    ledger = fold(Ledger(), facts(run, producers))
    for key, fact in ledger.tasks.items():
        assert key in rest
        assert fact.try_number <= rest[key]["try_number"]
        ended = fact.certain and fact.state not in (TaskState.RUNNING, TaskState.UP_FOR_RETRY)
        if ended and fact.try_number == rest[key]["try_number"]:
            assert fact.state == rest[key]["state"]


@pytest.mark.parametrize("run", RUNS)
def test_both_producers_in_any_sequence_give_one_ledger(run: str) -> None:
    told = facts(run, PRODUCERS["both"])
    expected = dict(fold(Ledger(), told).tasks)
    for seed in range(5):
        random.Random(seed).shuffle(told)
        assert dict(fold(Ledger(), told).tasks) == expected


@pytest.mark.parametrize("run", RUNS)
def test_airflows_own_producer_tells_how_the_run_ended(run: str) -> None:
    answer = json.loads((GOLDEN / "rest" / f"{run}.run.json").read_text(encoding="utf-8"))
    ledger = fold(Ledger(), facts(run, PRODUCERS["official"]))
    assert ledger.run is not None
    if ledger.run.state in TERMINAL_RUN:
        assert ledger.run.state == answer["state"]
