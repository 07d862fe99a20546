"""An MLJob is created again from the manifest of a finished MLJob."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from mljob_contract.mljob import FINISHED, RETRY_REQUESTED_AT, Phase
from mljob_operator.core.run.states import RunState

from .conftest import KEY, World
from .runs import begin, edit, end, runs

Manifest = dict[str, Any]


async def finished(world: World, state: RunState = RunState.SUCCESS, **spec: Any) -> Manifest:
    await world.apply(**spec)
    await world.later(5)
    run = world.airflow.only_run()
    run.outputs["scores"] = {"accuracy": 0.98}
    await end(world, state)
    return world.jobs.body(KEY)


async def restore(world: World, manifest: Manifest) -> None:
    world.jobs.user_deletes(KEY, world.clock())
    await world.see_all()
    world.observe_deletion(KEY, manifest["metadata"]["uid"])
    await world.settle()
    world.jobs.restore(manifest)
    await world.see_all()


def record(manifest: Manifest) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(manifest["metadata"]["annotations"][FINISHED])
    return found


def change(manifest: Manifest, **fields: Any) -> None:
    manifest["metadata"]["annotations"][FINISHED] = json.dumps(record(manifest) | fields)


@pytest.mark.parametrize("policy", ["Once", "OnChange", "OncePerSpec"])
@pytest.mark.parametrize("state", [RunState.SUCCESS, RunState.FAILED])
async def test_a_finished_mljob_does_not_run_again(world: World, policy: str, state: RunState) -> None:
    manifest = await finished(world, state, runPolicy=policy)
    before, ran = world.status, runs(world)

    await restore(world, manifest)
    await world.later(60)

    after = world.status
    assert runs(world) == ran
    assert (after.phase, after.reason, after.dag_run_id) == (before.phase, before.reason, before.dag_run_id)
    assert (after.start_time, after.completion_time) == (before.start_time, before.completion_time)
    assert after.observed_generation == 1
    assert [each.type for each in after.conditions or () if each.status == "True"] == [
        each.type for each in before.conditions or () if each.status == "True"
    ]


async def test_tasks_and_outputs_are_read_from_airflow_again(world: World) -> None:
    manifest = await finished(world)
    before = world.status

    await restore(world, manifest)

    assert before.outputs
    assert world.status.outputs == before.outputs
    assert world.status.progress == before.progress
    assert [task.state for task in world.status.tasks or ()] == [task.state for task in before.tasks or ()]
    assert (
        "finalizers" not in world.jobs.objects[KEY]["metadata"] or not world.jobs.objects[KEY]["metadata"]["finalizers"]
    )


async def test_while_airflow_is_down_the_status_says_how_the_mljob_ended(world: World) -> None:
    manifest = await finished(world)
    before = world.status
    world.airflow.down = True

    await restore(world, manifest)

    assert world.status.phase is Phase.SUCCEEDED
    assert world.status.outputs is None
    world.airflow.down = False
    await world.later(600)
    assert world.status.outputs == before.outputs


async def test_a_run_that_airflow_no_longer_has_stays_finished(world: World) -> None:
    manifest = await finished(world)
    world.airflow.runs.clear()

    await restore(world, manifest)
    for _ in range(5):
        await world.later(60)

    assert runs(world) == []
    assert world.status.phase is Phase.SUCCEEDED
    assert not world.jobs.objects[KEY]["metadata"]["finalizers"]


async def test_a_restart_in_the_middle_starts_no_run(world: World) -> None:
    manifest = await finished(world)
    world.airflow.down = True
    await restore(world, manifest)
    world.airflow.down = False

    await world.restart()
    await world.later(600)

    assert len(runs(world)) == 1
    assert world.status.outputs


async def test_a_handled_retry_request_is_not_handled_again(world: World) -> None:
    await finished(world, RunState.FAILED)
    await world.request_retry("first")
    await world.later(600)
    await end(world, RunState.FAILED)
    manifest, ran = world.jobs.body(KEY), runs(world)
    assert manifest["metadata"]["annotations"][RETRY_REQUESTED_AT] == "first"

    await restore(world, manifest)
    await world.later(600)

    assert runs(world) == ran


async def test_a_new_retry_request_runs_a_restored_mljob_again(world: World) -> None:
    manifest = await finished(world, RunState.FAILED)
    await restore(world, manifest)

    await world.request_retry("again")
    await world.later(600)

    assert world.status.attempts == 2
    assert world.status.phase is Phase.QUEUED


async def test_run_policy_decides_about_a_manifest_whose_spec_was_edited(world: World) -> None:
    manifest = await finished(world, runPolicy="OnChange")
    manifest["spec"]["conf"] = {"epochs": 9}

    await restore(world, manifest)
    await world.later(60)

    assert len(runs(world)) == 2


async def test_with_run_policy_once_an_edited_manifest_is_refused_and_not_run(world: World) -> None:
    manifest = await finished(world)
    manifest["spec"]["conf"] = {"epochs": 9}

    await restore(world, manifest)
    await world.later(60)

    assert len(runs(world)) == 1
    assert [each.reason for each in world.status.conditions or () if each.type == "SpecApplied"] == ["RunPolicyOnce"]


async def test_a_manifest_without_the_annotation_runs(world: World) -> None:
    manifest = await finished(world)
    del manifest["metadata"]["annotations"]

    await restore(world, manifest)

    assert len(runs(world)) == 2


async def test_a_copy_under_another_name_runs(world: World) -> None:
    manifest = await finished(world)
    manifest["metadata"]["name"] = "copy"

    world.jobs.restore(manifest)
    await world.see_all()

    assert len(runs(world)) == 2


async def test_an_mljob_that_had_not_finished_has_no_record(world: World) -> None:
    await world.apply()
    await begin(world)

    assert FINISHED not in world.jobs.body(KEY)["metadata"].get("annotations", {})


def shown(manifest: Manifest, text: str) -> None:
    manifest["metadata"]["annotations"][FINISHED] = text


HOSTILE: dict[str, Callable[[Manifest], None]] = {
    "not JSON": lambda m: shown(m, "{"),
    "a list": lambda m: shown(m, "[]"),
    "nested deeply": lambda m: shown(m, "[" * 4000),
    "too long": lambda m: shown(m, json.dumps(record(m)) + " " * 20_000),
    "a phase that is not an end": lambda m: change(m, phase="Running"),
    "no phase": lambda m: change(m, phase=None),
    "no end": lambda m: change(m, completionTime=None),
    "a time without a zone": lambda m: change(m, submitTime="2026-01-01T00:00:00"),
    "attempt zero": lambda m: change(m, attempts=0),
    "an attempt beyond all numbers": lambda m: change(m, attempts=10**30),
    "the run of another MLJob": lambda m: change(m, dagRunId=record(m)["dagRunId"].replace(".churn.", ".other.")),
    "the run of another namespace": lambda m: change(m, dagRunId=record(m)["dagRunId"].replace(".team-a.", ".team-b.")),
    "the run of another operator": lambda m: change(m, dagRunId=record(m)["dagRunId"].replace("mljob.", "theirs.", 1)),
    "any text as a run": lambda m: change(m, dagRunId="scheduled__2026-01-01"),
}


@pytest.mark.parametrize("forge", HOSTILE.values(), ids=HOSTILE.keys())
async def test_an_invalid_record_counts_as_absent(world: World, forge: Callable[[Manifest], None]) -> None:
    manifest = await finished(world)
    forge(manifest)

    await restore(world, manifest)

    assert len(runs(world)) == 2
    assert world.status.phase is Phase.QUEUED


async def test_a_record_decides_nothing_while_the_mljob_has_a_status(world: World) -> None:
    manifest = await finished(world, RunState.FAILED)
    change(manifest, phase="Succeeded")

    world.jobs.objects[KEY]["metadata"]["annotations"] = manifest["metadata"]["annotations"]
    await world.restart()
    await edit(world, backoffLimit=0)

    assert world.status.phase is Phase.FAILED


async def test_a_record_has_no_field_that_only_the_operator_may_write(world: World) -> None:
    manifest = await finished(world)
    change(manifest, outputs={"accuracy": 1.0}, tasks=[], dagRunUrl="https://evil.example", submittedBy="x")

    await restore(world, manifest)

    assert world.status.outputs == {"scores": {"accuracy": 0.98}}
    assert "evil" not in json.dumps(world.jobs.body(KEY)["status"])
