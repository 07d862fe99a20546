"""Our callbacks, Airflow's own producer, or both at once: the same status in the end, and none costs more patches than the dearer alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mljob_operator.adapters.airflow_rows import run_fact, task_fact
from mljob_operator.core.job import Job
from mljob_operator.core.news import REFINEMENT_WAITS
from mljob_operator.core.phases import TERMINAL_RUN, TaskState
from mljob_operator.core.wire import read
from tests.fakes import FakeRun
from tests.strategies import event

from .conftest import KEY, World

GOLDEN = Path(__file__).parents[2] / "contract" / "golden"
PRODUCERS = {"ours": ["ours"], "official": ["official"], "both": ["official", "ours"]}
RUNS = sorted(
    path.stem
    for path in (GOLDEN / "ours").glob("*.json")
    if json.loads((GOLDEN / "rest" / f"{path.stem}.run.json").read_text())["state"] in TERMINAL_RUN
)


def messages(run: str, producers: list[str]) -> list[dict[str, Any]]:
    """What was sent during a run of a real Airflow, in the sequence in which it was."""
    files = [GOLDEN / producer / f"{run}.json" for producer in producers]
    values = [json.loads(line)["value"] for file in files if file.exists() for line in file.read_text().splitlines()]
    return sorted(values, key=lambda value: datetime.fromisoformat(value["timestamp"]))


class Replay:
    """One run again, with the messages of some producers, each of them a step of its own: as if they never came together."""

    def __init__(self, run: str, producers: list[str]) -> None:
        self.messages = messages(run, producers)
        self.rows = json.loads((GOLDEN / "rest" / f"{run}.task_instances.json").read_text())["task_instances"]
        self.row = json.loads((GOLDEN / "rest" / f"{run}.run.json").read_text())
        self.patches: list[Mapping[str, Any]] = []
        self.world = World()

    async def play(self) -> dict[str, Any]:
        """The final status."""
        world, dag_id = self.world, self.row["dag_id"]
        world.clock.at = datetime.fromisoformat(self.row["queued_at"])
        world.airflow.dags[dag_id] = tuple({row["task_id"] for row in self.rows})
        self._count_patches()
        await world.apply(dagId=dag_id)
        run = world.airflow.only_run(dag_id)
        await world.look()
        del self.patches[:]
        for message in self.messages:
            world.clock.at = max(world.clock.at, datetime.fromisoformat(message["timestamp"]))
            envelope = read(json.dumps(message | {"run_id": run.run_id}).encode(), world.clock())
            if message["event"] in ("dag_run.success", "dag_run.failed"):
                self._end(run)
            assert envelope.fact is not None
            await world.tell(envelope.fact, run_id=run.run_id)
        self._end(run)
        world.clock.tick(5)
        await world.look()
        await world.queue.close()
        status = deepcopy(world.jobs.objects[KEY]["status"])
        return dict(status)

    def _end(self, run: FakeRun) -> None:
        now = self.world.clock()
        run.tasks = {fact.key: fact for fact in (task_fact(row, now) for row in self.rows)}
        fact = run_fact(self.row, now)
        run.state, run.start, run.end, run.changed = fact.state, fact.start, fact.end, now

    def _count_patches(self) -> None:
        write = self.world.jobs.write_status

        async def write_status(job: Job, patch: Mapping[str, Any]) -> Job:
            self.patches.append(patch)
            return await write(job, patch)

        self.world.jobs.write_status = write_status  # type: ignore[method-assign]


async def replayed(run: str) -> dict[str, tuple[dict[str, Any], int]]:
    """The final status and the number of patches, by who sent events."""
    found = {}
    for name, producers in PRODUCERS.items():
        replay = Replay(run, producers)
        status = await replay.play()
        found[name] = status, len(replay.patches)
    return found


def plain(status: Mapping[str, Any]) -> dict[str, Any]:
    """What either alone can tell: a failure's type and a task's reports are in our events only, and each has times of its own."""
    tasks = [{**task, "error": (task.get("error") or {}).get("message")} for task in status["tasks"]]
    return {
        **{name: status.get(name) for name in ("phase", "reason", "dagRunState", "taskCounts", "progress", "percent")},
        **{name: status.get(name) for name in ("startTime", "completionTime", "failedAttempts", "currentTask")},
        "tasks": [{name: said for name, said in task.items() if name not in ("metrics", "progress")} for task in tasks],
    }


@pytest.mark.parametrize("run", RUNS)
async def test_whoever_tells_the_status_is_the_same_and_both_cost_no_more_patches_than_one(run: str) -> None:
    found = await replayed(run)
    ours, official, both = (found[name] for name in ("ours", "official", "both"))
    # What became of a process that was killed is told by Airflow's producer alone: of errors those are compared that both tell of.
    told = {task["taskId"] for task in ours[0]["tasks"] if (task.get("error") or {}).get("message")}
    said = {name: plain(status) for name, (status, _) in found.items()}
    for status in said.values():
        for task in status["tasks"]:
            if task["taskId"] not in told:
                task["error"] = None
    assert said["ours"] == said["official"] == said["both"]
    # That the run has begun, before a task of it has, is news of Airflow's producer alone.
    assert both[1] <= max(official[1], ours[1] + 1)


async def test_a_more_exact_time_is_in_the_status_with_what_comes_next() -> None:
    world = await running()
    before = world.status
    await world.tell(event("fit", TaskState.RUNNING, start=world.clock() - timedelta(seconds=2)))
    assert world.status == before
    await world.tell(event("fit", TaskState.SUCCESS, end=world.clock()))
    assert {task.task_id: task.start_time for task in world.status.tasks or ()}["fit"] is not None


async def test_a_more_exact_time_that_nothing_follows_is_in_the_status_within_seconds() -> None:
    world = await running()
    await world.tell(event("fit", TaskState.RUNNING, start=world.clock() - timedelta(seconds=2)))
    # Its messages are done with all the same: Airflow has the time too.
    assert len(world.done) == 2
    await world.later(REFINEMENT_WAITS.total_seconds())
    assert {task.task_id: task.start_time for task in world.status.tasks or ()}["fit"] is not None


async def running() -> World:
    """Airflow's own producer has said that a task runs."""
    world = World()
    await world.apply()
    await world.look()
    await world.tell(event("fit", TaskState.RUNNING))
    return world
