from __future__ import annotations

from typing import Any

from mljob_contract.mljob import Phase
from mljob_operator.core.run.states import RunState, TaskState
from mljob_operator.errors import StoreUnavailable
from tests.live.eventually import until

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


async def test_active_runs_never_exceed_the_limit_and_are_admitted_in_order(world: Platform) -> None:
    await limited(world, 5)
    assert active(world) == ["job-0", "job-1"]
    assert waiting(world) == ["job-2", "job-3", "job-4"]
    assert "maxActiveRuns (2)" in (world.status_of("job-2").message or "")
    await end_run_of(world, "job-1")
    assert active(world) == ["job-0", "job-2"]
    await world.restart()
    await world.look_everywhere()
    assert active(world) == ["job-0", "job-2"]
    await end_run_of(world, "job-0")
    await end_run_of(world, "job-2")
    assert active(world) == ["job-3", "job-4"]
    assert waiting(world) == []


async def test_restart_keeps_to_the_limit_in_whichever_order_mljobs_are_listed(world: Platform) -> None:
    await limited(world, 4)
    world.jobs.objects = dict(reversed(world.jobs.objects.items()))
    await world.restart()
    assert active(world) == ["job-0", "job-1"]


async def test_mljob_whose_dag_is_missing_does_not_block_others(world: Platform) -> None:
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


async def test_unanswered_submission_counts_against_the_limit(world: Platform) -> None:
    world.prod.lose_answers = 1
    await limited(world, 2, limit=1)
    assert len(world.prod.runs) == 1
    assert waiting(world) == ["job-1"]
    await world.later(2)
    assert active(world) == ["job-0"]


async def test_cancelled_mljob_makes_room_for_the_next(world: Platform) -> None:
    await limited(world, 3, limit=1)
    world.jobs.user_deletes(("team-a", "job-0"), world.clock())
    await world.see_all()
    await world.look_everywhere()
    assert active(world) == ["job-1"]
    world.jobs.user_deletes(("team-a", "job-2"), world.clock())
    world.observe_deletion(("team-a", "job-2"), "uid-3")
    await end_run_of(world, "job-1")
    assert active(world) == []


async def test_raised_limit_takes_effect_at_once(world: Platform) -> None:
    await limited(world, 4, limit=1)
    world.instance_objects.edit("prod", {"maxActiveRuns": 3})
    await world.see_all()
    assert active(world) == ["job-0", "job-1", "job-2"]


async def test_instance_status_counts_active_and_waiting_mljobs(world: Platform) -> None:
    await limited(world, 5)
    await world.look_after("prod")
    assert (world.instance("prod").active_runs, world.instance("prod").waiting_jobs) == (2, 3)


async def test_limit_does_not_affect_other_airflows(world: Platform) -> None:
    await limited(world, 3, limit=1)
    await world.run_in("staging")
    assert world.status.phase is Phase.QUEUED


# Namespaces in turn, priorities, limits of access rules


def of(team: str, **rule: Any) -> dict[str, Any]:
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": team}}, **rule}


async def teams(world: Platform, *rules: dict[str, Any], **spec: Any) -> None:
    for team in ("team-a", "team-b"):
        world.instance_objects.labels[team] = {"kubernetes.io/metadata.name": team}
    world.instance_objects.edit("prod", {"access": list(rules), **spec})
    await world.see_all()


def create(world: Platform, team: str, *names: str, day: int = 1) -> None:
    for second, name in enumerate(names):
        spec = {"dagId": "train", "airflowRef": {"name": "prod"}, "cancellation": {"strategy": "Api"}}
        world.jobs.create(name, spec, namespace=team, at=f"2026-01-{day:02}T00:00:{second:02}Z")


async def test_many_mljobs_of_one_namespace_do_not_delay_another_namespace(world: Platform) -> None:
    await teams(world, {}, maxActiveRuns=1)
    create(world, "team-a", *(f"a-{number}" for number in range(20)))
    await world.see_all()
    create(world, "team-b", "b-0", day=2)
    await world.see_all()
    assert active(world) == ["a-0"]
    await end_run_of(world, "a-0")
    assert active(world) == ["b-0"]
    await end_run_of(world, "b-0")
    assert active(world) == ["a-1"]


async def test_restart_keeps_to_the_limits_of_rules(world: Platform) -> None:
    await teams(world, of("team-a", maxActiveRuns=1), of("team-b"), maxActiveRuns=2)
    create(world, "team-a", "a-0", "a-1", "a-2")
    create(world, "team-b", "b-0", "b-1")
    await world.see_all()
    before = active(world)
    assert before == ["a-0", "b-0"]
    await world.restart()
    assert active(world) == before
    await end_run_of(world, "b-0")
    assert active(world) == ["a-0", "b-1"]


async def test_higher_priority_is_admitted_first(world: Platform) -> None:
    await teams(world, of("team-b", priority=10), {}, maxActiveRuns=1)
    create(world, "team-a", "a-0", "a-1")
    await world.see_all()
    create(world, "team-b", "b-0", "b-1", day=2)
    await world.see_all()
    for ended, then in (("a-0", "b-0"), ("b-0", "b-1"), ("b-1", "a-1")):
        await end_run_of(world, ended)
        assert active(world) == [then]


async def test_limit_of_a_rule_is_shared_by_its_namespaces_and_delays_no_other_rule(world: Platform) -> None:
    await teams(world, {"dags": ["train"], "maxActiveRuns": 1}, {})
    world.prod.dags["predict"] = ("score",)
    create(world, "team-a", "a-0")
    create(world, "team-b", "b-0", day=2)
    world.jobs.create("free", {"dagId": "predict", "airflowRef": {"name": "prod"}}, namespace="team-b")
    await world.see_all()
    assert active(world) == ["a-0", "free"]
    assert "spec.access[0].maxActiveRuns (1)" in world.jobs.objects["team-b", "b-0"]["status"]["message"]
    await world.look_after("prod")
    assert world.instance("prod").waiting_jobs == 1
    await end_run_of(world, "a-0")
    assert active(world) == ["b-0", "free"]


async def test_edited_rules_apply_to_waiting_and_active_mljobs(world: Platform) -> None:
    await teams(world, {"maxActiveRuns": 3})
    create(world, "team-a", "a-0", "a-1")
    create(world, "team-b", "b-0", "b-1", day=2)
    await world.see_all()
    assert active(world) == ["a-0", "a-1", "b-0"]
    await teams(world, of("team-b", maxActiveRuns=1), of("team-a"))
    assert active(world) == ["a-0", "a-1", "b-0"], "b-0 holds the place that there is now"
    await end_run_of(world, "b-0")
    assert active(world) == ["a-0", "a-1", "b-1"]


async def test_place_of_an_mljob_that_proves_to_be_deleted_goes_to_the_next(world: Platform) -> None:
    world.prod.down = True
    await world.look_after("prod")
    await limited(world, 0, limit=1)
    # The operator sees the younger MLJob first, so the step of the older MLJob comes last.
    for name, second in (("younger", 2), ("older", 1)):
        spec = {"dagId": "train", "airflowRef": {"name": "prod"}}
        world.jobs.create(name, spec, at=f"2026-01-01T00:00:0{second}Z")
        await world.see_all()
        assert world.status_of(name).reason == "AirflowInstanceNotReady"
    # The watch is behind, so the operator learns of the deletion from the answer to a write.
    del world.jobs.objects["team-a", "older"]
    world.prod.down = False
    await world.instances.reconcile("prod")
    await world.settle()
    assert active(world) == ["younger"]


async def test_mljob_whose_status_kubernetes_refuses_does_not_block_others(world: Platform) -> None:
    await teams(world, {}, maxActiveRuns=1)
    create(world, "team-a", "a-0")
    await world.see_all()
    written = world.jobs.set_finalizer

    async def refused(job: Any, **options: Any) -> Any:
        if job.name == "a-1":
            raise StoreUnavailable("refused")
        return await written(job, **options)

    world.jobs.set_finalizer = refused
    create(world, "team-b", "b-0", day=3)
    create(world, "team-a", "a-1", day=2)
    async for job in world.jobs.list():
        world.job_controller.observe(job)
    world.prod.end(world.prod.only_run(), RunState.SUCCESS)
    await world.resync_of("prod").pass_once()
    await until(lambda: active(world) == ["b-0"])
