"""Recorded runs of a real Airflow, from ``tests/contract/golden``. Tests play these runs again."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from mljob_operator.adapters.airflow.rows import Row, run_fact, task_fact
from mljob_operator.core.run.states import TERMINAL_RUN
from tests.fakes.airflow import FakeRun
from tests.unit.operator.conftest import World

GOLDEN = Path(__file__).parent / "contract" / "golden"
PRODUCERS = {"ours": ["ours"], "official": ["official"], "both": ["official", "ours"]}
"""The producers whose messages are played, by the name of each case. ``ours`` are the provider's
callbacks, and ``official`` is Airflow's own producer.
"""

Message = dict[str, Any]


class Recording:
    """The recording of one run: the Kafka messages about the run, and Airflow's final REST
    responses.

    Attributes:
        row: The run in the final REST response.
        rows: The task instances of the run in the final REST response.
    """

    def __init__(self, run: str) -> None:
        self.run = run
        self.row = json.loads((GOLDEN / "rest" / f"{run}.run.json").read_text())
        self.rows = json.loads((GOLDEN / "rest" / f"{run}.task_instances.json").read_text())["task_instances"]

    @property
    def dag_id(self) -> str:
        return str(self.row["dag_id"])

    def messages(self, producers: Sequence[str]) -> list[Message]:
        files = [GOLDEN / producer / f"{self.run}.json" for producer in producers]
        values = [
            json.loads(line)["value"] for file in files if file.exists() for line in file.read_text().splitlines()
        ]
        return sorted(values, key=lambda value: datetime.fromisoformat(value["timestamp"]))

    async def play(
        self,
        world: World,
        producers: Sequence[str],
        *,
        begin: Callable[[], Awaitable[object]],
        tell: Callable[[Message], Awaitable[object]],
    ) -> None:
        """Play the recorded run again in ``world``, with only the Kafka messages of ``producers``.
        At the start, the fake Airflow must have no run of the recorded run's DAG. At the end,
        ``world.job_controller`` is closed.

        Args:
            begin: Creates an MLJob for the recorded run's DAG, and lets the operator submit a run.
            tell: Delivers a message to the operator, and waits until the operator has processed the
                message.
        """
        clock = world.clock
        clock.at = datetime.fromisoformat(self.row["queued_at"])
        world.airflow.dags[self.dag_id] = tuple({row["task_id"] for row in self.rows})
        await begin()
        run = world.airflow.only_run(self.dag_id)
        await world.look()
        for message in self.messages(producers):
            clock.at = max(clock.at, datetime.fromisoformat(message["timestamp"]))
            if message["event"] in ("dag_run.success", "dag_run.failed"):
                self._end(run, clock())
            await tell(message | {"run_id": run.run_id})
        self._end(run, clock())
        clock.tick(5)
        await world.look()
        await world.job_controller.close()

    def _end(self, run: FakeRun, now: datetime) -> None:
        run.tasks = {fact.key: fact for fact in (task_fact(Row(row, "a recording"), now) for row in self.rows)}
        fact = run_fact(Row(self.row, "a recording"), now)
        run.state, run.start, run.end, run.changed = fact.state, fact.start, fact.end, now


RECORDINGS = {
    recording.run: recording
    for recording in (Recording(path.stem) for path in sorted((GOLDEN / "ours").glob("*.json")))
    if recording.row["state"] in TERMINAL_RUN
}
"""Recordings by name. Recordings of runs that had not ended are left out."""


def comparable(statuses: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return each status with only the fields that must have the same value whichever producer sent
    the events. The keys of ``statuses`` are the keys of ``PRODUCERS``.
    """
    told = {task["taskId"] for task in statuses["ours"]["tasks"] if (task.get("error") or {}).get("message")}
    return {name: _plain(status, told) for name, status in statuses.items()}


def _plain(status: Mapping[str, Any], told: set[str]) -> dict[str, Any]:
    names = ("phase", "reason", "dagRunState", "taskCounts", "progress", "percent", "currentTask", "failedAttempts")
    tasks = [
        {name: said for name, said in task.items() if name not in ("metrics", "progress", "error", "logUrl")}
        | {"error": (task.get("error") or {}).get("message") if task["taskId"] in told else None}
        for task in status["tasks"]
    ]
    return {**{name: status.get(name) for name in (*names, "startTime", "completionTime")}, "tasks": tasks}


def assert_both_cost_no_more_than_one(writes: Mapping[str, int]) -> None:
    """Assert that the operator patches a status only about as often with events of both producers
    as with events of one producer. The maximum is the higher of these two numbers:

    - The number of patches with Airflow's own producer alone.
    - One more than the number of patches with the provider's callbacks alone.

    Args:
        writes: The number of patches for each key of ``PRODUCERS``.
    """
    # Only Airflow's producer reports that the run has started before one of its tasks has.
    assert writes["both"] <= max(writes["official"], writes["ours"] + 1), writes
