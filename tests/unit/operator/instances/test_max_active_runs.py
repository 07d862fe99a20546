"""No more runs in an Airflow than its maxActiveRuns, in the order of creation."""

from __future__ import annotations

from mljob_contract.mljob import Phase
from mljob_operator.core.phases import RunState, TaskState

from .conftest import Platform, limited


def active(world: Platform) -> list[str]:
    return sorted(
        run.run_id.split(".")[2] for run in world.prod.runs.values() if run.state in (RunState.QUEUED, RunState.RUNNING)
    )


def waiting(world: Platform) -> list[str]:
    return [
        name
        for (_, name), body in sorted(world.jobs.objects.items())
        if body.get("status", {}).get("reason") == "ConcurrencyLimit"
    ]


async def end_run_of(world: Platform, name: str, state: RunState = RunState.SUCCESS) -> None:
    (run,) = [run for run in world.prod.runs.values() if f".{name}." in run.run_id]
    for task_id, _ in list(run.tasks):
        world.prod.set_task(run, task_id, TaskState.SUCCESS if state is RunState.SUCCESS else TaskState.FAILED)
    world.prod.end(run, state)
    await world.look_everywhere()


async def test_there_are_never_more_runs_than_the_limit_and_they_go_in_order(world: Platform) -> None:
    await limited(world, 5)
    assert active(world) == ["job-0", "job-1"]
    assert waiting(world) == ["job-2", "job-3", "job-4"]
    assert "maxActiveRuns (2)" in world.status_of("job-2").message
    await end_run_of(world, "job-1")
    assert active(world) == ["job-0", "job-2"]
    await world.restart()
    await world.look_everywhere()
    assert active(world) == ["job-0", "job-2"]
    await end_run_of(world, "job-0")
    await end_run_of(world, "job-2")
    assert active(world) == ["job-3", "job-4"]
    assert waiting(world) == []


async def test_a_restart_submits_nothing_beyond_the_limit_whoever_is_seen_first(world: Platform) -> None:
    await limited(world, 4)
    world.jobs.objects = dict(reversed(world.jobs.objects.items()))
    await world.restart()
    assert active(world) == ["job-0", "job-1"]


async def test_one_whose_dag_is_not_there_keeps_nobody_waiting(world: Platform) -> None:
    await limited(world, 3, limit=1)
    world.jobs.create("lost", {"dagId": "nowhere", "airflowRef": {"name": "prod"}}, at="2025-12-31T00:00:00Z")
    await world.see_all()
    await end_run_of(world, "job-0")
    assert world.status_of("lost").reason == "DagNotFound"
    assert active(world) == ["job-1"]
    await world.later(60)
    await end_run_of(world, "job-1")
    await world.later(60)
    assert active(world) == ["job-2"]


async def test_a_submission_without_an_answer_keeps_its_place(world: Platform) -> None:
    world.prod.lose_answers = 1
    await limited(world, 2, limit=1)
    assert len(world.prod.runs) == 1
    assert waiting(world) == ["job-1"]
    await world.later(2)
    assert active(world) == ["job-0"]


async def test_one_that_is_cancelled_gives_its_place_to_the_next(world: Platform) -> None:
    await limited(world, 3, limit=1)
    world.jobs.user_deletes(("team-a", "job-0"), world.clock())
    await world.see_all()
    await world.look_everywhere()
    assert active(world) == ["job-1"]
    world.jobs.user_deletes(("team-a", "job-2"), world.clock())
    world.queue.vanished(("team-a", "job-2"), "uid-3")
    await end_run_of(world, "job-1")
    assert active(world) == []


async def test_a_higher_limit_counts_at_once(world: Platform) -> None:
    await limited(world, 4, limit=1)
    world.instance_objects.edit("prod", {"maxActiveRuns": 3})
    await world.see_all()
    assert active(world) == ["job-0", "job-1", "job-2"]


async def test_the_status_counts_who_runs_and_who_waits(world: Platform) -> None:
    await limited(world, 5)
    await world.look_after("prod")
    assert (world.instance("prod").active_runs, world.instance("prod").waiting_jobs) == (2, 3)


async def test_other_airflows_are_not_affected(world: Platform) -> None:
    await limited(world, 3, limit=1)
    await world.run_in("staging")
    assert world.status.phase is Phase.QUEUED
