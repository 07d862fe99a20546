"""A stored status never contradicts an earlier status."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from mljob_contract.mljob import StatusSource
from mljob_operator.core.mljob.resource.job import Job
from mljob_operator.core.run.facts import RunFact
from mljob_operator.core.run.states import TERMINAL_PHASES, TERMINAL_RUN, RunState, TaskState
from tests.fakes.airflow import FakeRun
from tests.strategies import event

from .conftest import KEY, World

Status = dict[str, Any]
Step = Callable[[World], Awaitable[None]]


@dataclass(frozen=True)
class Stored:
    status: Status
    generation: int


def recorded(world: World) -> list[Stored]:
    """Return a list. Each status that is stored after this call is added to the list."""
    stored: list[Stored] = []
    write = world.jobs.write_status

    async def write_status(job: Job, patch: Mapping[str, Any]) -> Job:
        written = await write(job, patch)
        stored.append(Stored(deepcopy(dict(written.stored.content)), job.generation))
        return written

    world.jobs.write_status = write_status
    return stored


class AskedForever(BaseException):
    """The operator has sent the same request more than 100 times while the test's clock stood
    still. The class derives from BaseException, so that the operator does not catch the error and
    send the request again.
    """


def hammered(world: World) -> list[str]:
    """Return a list. If the operator sends the same request more than 100 times while the test's
    clock stands still, the request fails with :class:`AskedForever`, and the name of the request is
    added to the list.
    """
    asked: list[str] = []
    found: list[str] = []
    ask = world.airflow.asked

    def asked_now(call: str) -> None:
        asked.append(f"{world.clock()} {call}")
        if asked.count(asked[-1]) > 100:
            found.append(call)
            raise AskedForever(call)
        ask(call)

    world.airflow.asked = asked_now
    return found


def latest_run(world: World) -> FakeRun | None:
    runs = [run for run in world.airflow.runs.values() if run.dag_id == "train"]
    return max(runs, key=lambda run: (run.queued_at, run.run_id), default=None)


def in_airflow(change: Callable[[World, FakeRun], None]) -> Step:
    async def step(world: World) -> None:
        world.clock.tick(1)
        if (run := latest_run(world)) is not None:
            change(world, run)

    return step


def end(state: RunState, task_state: TaskState) -> Step:
    def change(world: World, run: FakeRun) -> None:
        if run.state in TERMINAL_RUN:
            return
        for task_id, index in list(run.tasks):
            world.airflow.set_task(run, task_id, task_state, map_index=index)
        world.airflow.end(run, state)

    return in_airflow(change)


def set_task(task_id: str, state: TaskState) -> Step:
    def change(world: World, run: FakeRun) -> None:
        if run.state is RunState.RUNNING:
            world.airflow.set_task(run, task_id, state)

    return in_airflow(change)


def tell(*facts: Any) -> Step:
    async def step(world: World) -> None:
        if (run := latest_run(world)) is not None:
            await world.tell(*facts, run_id=run.run_id, dag_id=run.dag_id)

    return step


def tell_end(state: RunState) -> Step:
    async def step(world: World) -> None:
        if (run := latest_run(world)) is not None and run.state is state:
            fact = RunFact(state, StatusSource.KAFKA, run.end or world.clock(), world.clock())
            await world.tell(fact, run_id=run.run_id, dag_id=run.dag_id)

    return step


def edit(**spec: Any) -> Step:
    async def step(world: World) -> None:
        body = world.jobs.objects[KEY]
        if body["spec"].get("cancel") or all(body["spec"].get(name) == value for name, value in spec.items()):
            return
        world.jobs.edit(KEY, spec)
        await world.see_all()

    return step


def begin(world: World, run: FakeRun) -> None:
    if run.state is RunState.QUEUED:
        world.airflow.begin(run)


def clear(world: World, run: FakeRun) -> None:
    if run.state in TERMINAL_RUN:
        world.airflow.clear(run)


async def airflow_goes(world: World) -> None:
    world.airflow.down = True


async def airflow_is_back(world: World) -> None:
    world.airflow.down = False


async def look(world: World) -> None:
    if not world.airflow.down:
        await world.look()


STEPS: dict[str, Step] = {
    "the run begins": in_airflow(begin),
    "the run succeeds": end(RunState.SUCCESS, TaskState.SUCCESS),
    "the run fails": end(RunState.FAILED, TaskState.FAILED),
    "success is told": tell_end(RunState.SUCCESS),
    "failure is told": tell_end(RunState.FAILED),
    "somebody clears the run": in_airflow(clear),
    "a task runs": set_task("extract", TaskState.RUNNING),
    "a task asks": set_task("fit", TaskState.AWAITING_INPUT),
    "a task is deferred": set_task("fit", TaskState.DEFERRED),
    "a task is to be retried": set_task("extract", TaskState.UP_FOR_RETRY),
    "an event of a task": tell(event("extract", TaskState.RUNNING)),
    "late events": tell(event("fit", TaskState.FAILED, seconds=2), event("fit", TaskState.RUNNING, seconds=1)),
    "the feed is read": look,
    "a second": lambda world: world.later(1),
    "a minute": lambda world: world.later(60),
    "the operator is restarted": lambda world: world.restart(),
    "Airflow goes": airflow_goes,
    "Airflow is back": airflow_is_back,
    "suspended": edit(suspend=True),
    "resumed": edit(suspend=False),
    "another conf": edit(conf={"epochs": 9}),
    "the first conf": edit(conf={}),
    "cancelled": edit(cancel=True),
}

specs = st.fixed_dictionaries(
    {
        "runPolicy": st.sampled_from(["Once", "OnChange", "OncePerSpec"]),
        "backoffLimit": st.integers(0, 2),
        "retryStrategy": st.sampled_from(["ClearFailed", "NewRun"]),
        "cancellation": st.just({"strategy": "Api"}),
    },
    optional={"activeDeadlineSeconds": st.just(100), "preRunningDeadlineSeconds": st.just(30)},
)


CLEARED_AFTER_CANCELLATION = [
    "the feed is read",
    "the run begins",
    "Airflow goes",
    "cancelled",
    "the run fails",
    "failure is told",
    "a minute",
    "somebody clears the run",
    "Airflow is back",
    "a minute",
    "the operator is restarted",
    "the feed is read",
    "a minute",
]


@settings(max_examples=150, deadline=None)
@example({"backoffLimit": 1, "cancellation": {"strategy": "Api"}}, CLEARED_AFTER_CANCELLATION)
@given(specs, st.lists(st.sampled_from(sorted(STEPS)), max_size=30))
def test_status_never_contradicts_an_earlier_status(spec: dict[str, Any], names: list[str]) -> None:
    async def story() -> list[Stored]:
        world = World()
        stored, forever = recorded(world), hammered(world)
        await world.apply(**spec)
        for name in names:
            await STEPS[name](world)
            assert not forever, f"Airflow was asked for {forever} without end"
        await world.job_controller.close()
        return stored

    stored = asyncio.run(story())

    assert stored
    for entry in stored:
        assert_agrees_with_itself(entry)
    for before, after in pairwise(stored):
        assert_follows(before.status, after.status)
    assert_no_condition_flaps(stored)


def assert_agrees_with_itself(entry: Stored) -> None:
    status = entry.status
    holding = {condition["type"] for condition in status["conditions"] if condition["status"] == "True"}
    waits_to_rerun = "Reconciling" in holding and status["phase"] in TERMINAL_PHASES
    assert waits_to_rerun or status["observedGeneration"] == entry.generation, "what was acted on"
    of_current_spec = [each for each in status["conditions"] if each["type"] != "Complete"]
    assert {condition["observedGeneration"] for condition in of_current_spec} == {entry.generation}
    assert ("completionTime" in status) == (status["phase"] in TERMINAL_PHASES)
    assert len(holding & {"Complete", "Failed", "Suspended", "Reconciling"}) <= 1 + waits_to_rerun, holding
    assert ("Complete" in holding) == (status["phase"] == "Succeeded")


def assert_follows(before: Status, after: Status) -> None:
    assert after["observedGeneration"] >= before["observedGeneration"]
    assert after.get("attempts", 0) >= before.get("attempts", 0)
    if before["phase"] in TERMINAL_PHASES and after.get("attempts") == before.get("attempts"):
        assert (after["phase"], after["reason"]) == (before["phase"], before["reason"]), "absorbing"
    old = {condition["type"]: condition for condition in before["conditions"]}
    for condition in after["conditions"]:
        if (was := old.get(condition["type"])) is not None:
            moved = condition["lastTransitionTime"] != was["lastTransitionTime"]
            changed = condition["status"] != was["status"]
            assert changed or not moved, "the time moves only with the status"
            assert condition["lastTransitionTime"] >= was["lastTransitionTime"]


def assert_no_condition_flaps(stored: list[Stored]) -> None:
    """Assert that no condition becomes True a second time within one attempt and one generation."""
    lost: set[tuple[object, ...]] = set()
    held: set[tuple[object, ...]] = set()
    for entry in stored:
        status = entry.status
        about = (status.get("attempts"), entry.generation)
        now = {(*about, c["type"]) for c in status["conditions"] if c["status"] == "True"}
        assert not now & lost, (now & lost, [(each.status["phase"], each.status["reason"]) for each in stored])
        lost |= {key for key in held if key[:2] == about and key not in now}
        held |= now
