"""Measures how many events per second the operator combines into the observed states of runs. For
comparison, the benchmark also measures how many events per second ``json.loads`` parses.

The benchmark measures CPU time without I/O, so other load of the machine hardly affects the
results.
"""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any

from devstack.progress import step
from mljob_contract.events import EventName, MLJobRef, TaskEvent
from mljob_operator.core.run.events import Envelope, read
from mljob_operator.core.run.facts import RunFact, TaskFact
from mljob_operator.core.run.observed_run import ObservedRun, fold

RUNS, TASKS, REPORTS = 50, 5, 40
_BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Result:
    """The results, in events per second. Folding combines an event with the state of its run.

    Attributes:
        json_alone: Only ``json.loads``, for comparison.
        fold_alone: Folding events that are parsed already.
        read_and_fold: Parsing and folding.
        official: Parsing and folding events of Airflow's own producer.
        wide_run: Folding parsed events of a run with 1,000 mapped task instances.
    """

    json_alone: float
    fold_alone: float
    read_and_fold: float
    official: float
    wide_run: float

    def as_json(self) -> dict[str, Any]:
        """Return the rounded results. ``time_ratio`` is the time of parsing and folding, divided by
        the time of ``json.loads`` alone.
        """
        return {
            "events_per_second": round(self.read_and_fold),
            "official_format_events_per_second": round(self.official),
            "fold_alone_events_per_second": round(self.fold_alone),
            "fold_alone_1000_mapped_events_per_second": round(self.wide_run),
            "floor_json_events_per_second": round(self.json_alone),
            "time_ratio": round(self.json_alone / self.read_and_fold, 2),
        }


def measure(repeats: int = 3) -> Result:
    """Measure each result `repeats` times, and return the medians."""
    messages, official = _our_messages(RUNS, TASKS, mapped=1), _official_messages()
    wide = [read(message, _BEGAN) for message in _our_messages(1, 1, mapped=1000, reports=8)]
    envelopes = [read(message, _BEGAN) for message in messages]

    def parse() -> None:
        for message in messages:
            json.loads(message)

    with step("fold", f"folding {len(messages)} events, {repeats} times"):
        return Result(
            json_alone=_per_second(len(messages), repeats, parse),
            fold_alone=_per_second(len(envelopes), repeats, lambda: _fold_all(envelopes)),
            read_and_fold=_per_second(len(messages), repeats, lambda: _read_and_fold(messages)),
            official=_per_second(len(official), repeats, lambda: _read_and_fold(official)),
            wide_run=_per_second(len(wide), repeats, lambda: _fold_all(wide)),
        )


def _per_second(count: int, repeats: int, work: Callable[[], object]) -> float:
    took = []
    for _ in range(repeats):
        gc.collect()
        began = time.process_time()
        work()
        took.append(time.process_time() - began)
    return count / median(took)


def _read_and_fold(messages: list[bytes]) -> dict[str, ObservedRun]:
    """Parse the messages, and combine each event with the state of its run, one event at a time."""
    observed_runs: dict[str, ObservedRun] = {}
    for message in messages:
        _fold_one(observed_runs, read(message, _BEGAN))
    return observed_runs


def _fold_all(envelopes: list[Envelope]) -> dict[str, ObservedRun]:
    observed_runs: dict[str, ObservedRun] = {}
    for envelope in envelopes:
        _fold_one(observed_runs, envelope)
    return observed_runs


def _fold_one(observed_runs: dict[str, ObservedRun], envelope: Envelope) -> None:
    fact: TaskFact | RunFact | None = envelope.fact
    if fact is not None:
        observed_runs[envelope.run_id] = fold(observed_runs.get(envelope.run_id) or ObservedRun(), (fact,))


def _our_messages(runs: int, tasks: int, *, mapped: int, reports: int = REPORTS) -> list[bytes]:
    steps = [EventName.TASK_RUNNING, *[EventName.TASK_PROGRESS] * reports, EventName.TASK_SUCCESS]
    messages = []
    for task in range(tasks):
        for number, event in enumerate(steps):
            for run in range(runs):
                for index in range(mapped):
                    at = _BEGAN + timedelta(seconds=1000 * task + number, microseconds=run)
                    reporting = event is EventName.TASK_PROGRESS
                    made = TaskEvent(
                        event=event,
                        timestamp=at,
                        dag_id="train_model",
                        run_id=f"mljob.team-a.job-{run}.abcdefghij-1",
                        task_id=f"task_{task}",
                        map_index=index if mapped > 1 else -1,
                        try_number=1,
                        max_tries=2,
                        start_date=_BEGAN + timedelta(seconds=1000 * task),
                        progress=number / len(steps) if reporting else None,
                        metrics={"epoch": number, "loss": 1 / (number + 1), "accuracy": 0.9} if reporting else None,
                        mljob=MLJobRef(namespace="team-a", name=f"job-{run}"),
                    )
                    messages.append(made.model_dump_json(exclude_none=True).encode())
    return messages


def _official_messages() -> list[bytes]:
    """Return events of Airflow's own producer, about as many as :func:`_our_messages` returns. More
    runs are needed, because this producer sends no events about progress.
    """
    messages = []
    for run in range(RUNS * REPORTS // 2):
        for task in range(TASKS):
            for event in ("running", "success"):
                at = _BEGAN + timedelta(seconds=10 * task + (event == "success"))
                made = {
                    "schema_version": 1,
                    "source": "airflow",
                    "event": f"task_instance.{event}",
                    "timestamp": at.isoformat(),
                    "dag_id": "train_model",
                    "run_id": f"mljob.team-a.job-{run}.abcdefghij-1",
                    "task_id": f"task_{task}",
                    "try_number": 1,
                    "map_index": -1,
                    "previous_state": "queued",
                    "error": None,
                }
                messages.append(json.dumps(made).encode())
    return messages
