"""The states that the operator reads from recorded events (golden/) agree with the recorded answers
of Airflow's REST API.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mljob_operator.core.run.events import read
from mljob_operator.core.run.facts import RunFact, TaskFact
from mljob_operator.core.run.observed_run import ObservedRun, fold
from mljob_operator.core.run.states import TERMINAL_RUN, TaskState

GOLDEN = Path(__file__).parent / "golden"
NOW = datetime(2026, 12, 1, tzinfo=UTC)
PRODUCERS = {"ours": ["ours"], "official": ["official"], "both": ["ours", "official"]}
RUNS = sorted(path.stem for path in (GOLDEN / "official").glob("*.json"))


def facts(run: str, producers: Iterable[str]) -> list[TaskFact | RunFact]:
    """Return the RunFacts and TaskFacts from the recorded events of the run ``run``, in the order of
    ``producers``. A producer is ``ours`` (the MLJob provider) or ``official`` (Airflow's Kafka
    provider).
    """
    files = [GOLDEN / producer / f"{run}.json" for producer in producers]
    lines = [line for file in files if file.exists() for line in file.read_text(encoding="utf-8").splitlines()]
    envelopes = [read(json.dumps(json.loads(line)["value"]).encode(), NOW) for line in lines]
    return [envelope.fact for envelope in envelopes if envelope.fact is not None]


@pytest.mark.parametrize("producers", PRODUCERS.values(), ids=PRODUCERS)
@pytest.mark.parametrize("run", RUNS)
def test_tasks_derived_from_events_agree_with_rest(run: str, producers: list[str]) -> None:
    # Some changes of a task's state have no event.
    answer = json.loads((GOLDEN / "rest" / f"{run}.task_instances.json").read_text(encoding="utf-8"))
    rest = {(row["task_id"], row["map_index"]): row for row in answer["task_instances"]}
    observed_run = fold(ObservedRun(), facts(run, producers))
    for key, fact in observed_run.tasks.items():
        assert key in rest
        assert fact.try_number <= rest[key]["try_number"]
        ended = fact.certain and fact.state not in (TaskState.RUNNING, TaskState.UP_FOR_RETRY)
        if ended and fact.try_number == rest[key]["try_number"]:
            assert fact.state == rest[key]["state"]


@pytest.mark.parametrize("run", RUNS)
@given(rng=st.randoms(use_true_random=False))
@settings(max_examples=20, deadline=None)
def test_events_of_both_producers_in_any_order_give_one_observed_run(run: str, rng: random.Random) -> None:
    told = facts(run, PRODUCERS["both"])
    expected = dict(fold(ObservedRun(), told).tasks)
    rng.shuffle(told)
    assert dict(fold(ObservedRun(), told).tasks) == expected


@pytest.mark.parametrize("run", [run for run in RUNS if (GOLDEN / "ours" / f"{run}.json").exists()])
@given(rng=st.randoms(use_true_random=False))
@settings(max_examples=20, deadline=None)
def test_both_producers_together_report_what_either_alone_reports(run: str, rng: random.Random) -> None:
    alone = [fold(ObservedRun(), facts(run, PRODUCERS[name])).tasks for name in ("ours", "official")]
    told = facts(run, PRODUCERS["both"])
    rng.shuffle(told)
    both = fold(ObservedRun(), told).tasks
    assert both.keys() == alone[0].keys() | alone[1].keys()
    for key, fact in both.items():
        known = [tasks[key] for tasks in alone if key in tasks and tasks[key].try_number == fact.try_number]
        # For a killed process, and for states that people set, the two producers report different
        # parts: the report that is further along is right.
        furthest = max(known, key=lambda one: one.order)
        assert (fact.state, fact.certain, fact.occurred_at) == (furthest.state, furthest.certain, furthest.occurred_at)
        assert fact.start == min((one.start for one in known if one.start), default=None)
        assert fact.end == min((one.end for one in known if one.end and one.rank == fact.rank), default=None)
        for name in ("progress", "metrics"):
            reports = [report for one in known if (report := getattr(one.details, name))]
            assert getattr(fact.details, name) == next(iter(reports), None)
        failure = fact.details.failure
        failures = [one.details.failure for one in known if one.details.failure is not None]
        assert (failure in failures) if failures else failure is None


@pytest.mark.parametrize("run", RUNS)
def test_airflows_own_producer_reports_the_end_of_the_run(run: str) -> None:
    answer = json.loads((GOLDEN / "rest" / f"{run}.run.json").read_text(encoding="utf-8"))
    observed_run = fold(ObservedRun(), facts(run, PRODUCERS["official"]))
    assert observed_run.reported is not None
    if observed_run.reported.state in TERMINAL_RUN:
        assert observed_run.reported.state == answer["state"]
