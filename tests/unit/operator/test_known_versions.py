"""The controller recognises versions of MLJobs that it knows already."""

from __future__ import annotations

import pytest

from mljob_operator.core.mljob.resource.job import Job
from mljob_operator.core.run.states import TaskState
from tests.strategies import event

from . import chains
from .conftest import KEY, World
from .runs import newest


async def test_version_that_the_operator_has_written_is_known(world: World) -> None:
    await world.apply()
    known = world.job_controller.latest(KEY)
    assert known is not None

    assert world.job_controller.observe_known(KEY, known.uid, known.resource_version)

    assert world.job_controller.observe_known(KEY, known.uid, str(int(known.resource_version) - 1)), "an older version"
    assert not world.job_controller.tasks, "no step is needed"


async def test_other_versions_are_unknown(world: World) -> None:
    await world.apply()
    known = world.job_controller.latest(KEY)
    assert known is not None

    assert not world.job_controller.observe_known(KEY, known.uid, str(int(known.resource_version) + 1))
    assert not world.job_controller.observe_known(KEY, "another-uid", known.resource_version)
    assert not world.job_controller.observe_known(("team-b", "churn"), known.uid, known.resource_version)


async def test_versions_of_a_finished_mljob_are_known(world: World) -> None:
    await chains.apply(world, "data")
    await chains.end(world, "data")
    key, metadata = ("team-a", "data"), world.jobs.objects["team-a", "data"]["metadata"]
    uid, resource_version = metadata["uid"], metadata["resourceVersion"]
    assert world.job_controller.latest(key) is None, "a finished MLJob has no worker"

    assert world.job_controller.observe_known(key, uid, resource_version)
    assert not world.job_controller.observe_known(key, uid, str(int(resource_version) + 1))


async def test_finished_mljob_whose_outputs_are_awaited_is_read(world: World) -> None:
    await chains.apply(world, "data")
    await chains.end(world, "data")
    await chains.apply(world, "train", "data", "does-not-exist")
    metadata = world.jobs.objects["team-a", "data"]["metadata"]

    assert not world.job_controller.observe_known(("team-a", "data"), metadata["uid"], metadata["resourceVersion"])


@pytest.mark.parametrize("known_first", [False, True])
async def test_mljob_that_is_selected_again_stays_while_the_watch_is_behind(world: World, *, known_first: bool) -> None:
    await world.apply()
    world.airflow.begin(newest(world))
    await world.look()
    world.jobs.edit(KEY, {})
    deselected = Job.from_object(world.jobs.body(KEY))
    world.jobs.edit(KEY, {})
    selected = Job.from_object(world.jobs.body(KEY))
    # The operator learns of the latest version from a conflict.
    await world.tell(event("extract", TaskState.RUNNING))
    controller = world.job_controller
    known = controller.latest(KEY)
    assert known is not None
    assert known.newer_than(selected)

    # kopf handles the deletion after the known versions have been left out.
    if known_first:
        assert controller.observe_known(KEY, selected.uid, selected.resource_version)
    controller.observe_deletion(KEY, deselected.uid, deselected.resource_version)
    if not known_first:
        controller.observe(selected)

    assert controller.latest(KEY) is known


async def test_mljob_is_forgotten_after_the_deletion_of_its_latest_version(world: World) -> None:
    await world.apply()
    known = world.job_controller.latest(KEY)
    assert known is not None

    world.job_controller.observe_deletion(KEY, known.uid, str(int(known.resource_version) + 1))
    await world.settle()

    assert world.job_controller.latest(KEY) is None
