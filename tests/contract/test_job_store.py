from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mljob_contract.mljob import FINALIZER, RETRY_REQUESTED_AT, UNOBSERVED, ConfSource, Reference
from mljob_operator.core.status.events import NORMAL, KubeEvent
from mljob_operator.errors import Conflict, Gone, ReferenceMissing, Refused
from mljob_operator.ports import ConfObject

from .conftest import Cluster

SPEC = {"dagId": "train", "conf": {"epochs": 3}, "suspend": True}
"""A spec with which a new MLJob has no finalizer."""


async def test_mljob_is_read_as_it_was_written(cluster: Cluster, name: str) -> None:
    job = await cluster.create(name, SPEC)
    assert (job.name, job.generation, job.spec.conf, job.has_finalizer, job.deleting) == (
        name,
        1,
        {"epochs": 3},
        False,
        False,
    )
    assert job.key in {other.key async for other in cluster.store.list()}


@pytest.mark.parametrize(
    ("spec", "has_finalizer"),
    [
        pytest.param({}, True, id="an MLJob that starts at once"),
        pytest.param({"suspend": False}, True, id="suspend is false"),
        pytest.param({"suspend": True}, False, id="a suspended MLJob"),
        pytest.param({"cancel": True}, False, id="a cancelled MLJob"),
        pytest.param({"confFrom": [{"outputsRef": {"name": "data"}}]}, False, id="an MLJob that may wait"),
    ],
)
async def test_admission_policy_adds_the_finalizer(
    cluster: Cluster, name: str, spec: dict[str, Any], *, has_finalizer: bool
) -> None:
    job = await cluster.create(name, {"dagId": "train", **spec})
    assert job.has_finalizer is has_finalizer


async def test_new_mljob_has_the_default_status(cluster: Cluster, name: str) -> None:
    job = await cluster.create(name, SPEC)
    assert job.stored.content == UNOBSERVED
    job = await cluster.store.write_status(job, {"observedGeneration": 1, "phase": "Pending"})
    assert job.stored.content == {"observedGeneration": 1, "phase": "Pending"}


async def test_missing_mljob_is_none(cluster: Cluster) -> None:
    assert await cluster.store.get(("default", "nobody")) is None


async def test_status_patch_changes_only_the_named_fields_and_keeps_the_generation(cluster: Cluster, name: str) -> None:
    job = await cluster.create(name, SPEC)
    job = await cluster.store.write_status(job, {"phase": "Running", "taskCounts": {"total": 2, "running": 1}})
    job = await cluster.store.write_status(job, {"taskCounts": {"running": None, "success": 1}})
    assert job.stored.content == UNOBSERVED | {"phase": "Running", "taskCounts": {"total": 2, "success": 1}}
    assert job.generation == 1
    again = await cluster.store.get(job.key)
    assert again is not None
    assert again.resource_version == job.resource_version


async def test_invalid_status_is_refused_and_changes_nothing(cluster: Cluster, name: str) -> None:
    job = await cluster.create(name, SPEC)
    with pytest.raises(Refused):
        await cluster.store.write_status(job, {"phase": "Running", "attempts": 2**70})
    again = await cluster.store.get(job.key)
    assert again is not None
    assert again.stored.content == UNOBSERVED


async def test_patch_of_an_older_version_is_refused(cluster: Cluster, name: str) -> None:
    old = await cluster.create(name, SPEC)
    new = await cluster.edit(old.key, {"conf": {"epochs": 4}})
    assert new.newer_than(old)
    assert new.generation == 2
    with pytest.raises(Conflict):
        await cluster.store.write_status(old, {"phase": "Running"})
    with pytest.raises(Conflict):
        await cluster.store.set_finalizer(old, present=True)


async def test_empty_patch_shows_whether_a_version_is_the_latest(cluster: Cluster, name: str) -> None:
    job = await cluster.create(name, SPEC)
    old = await cluster.store.write_status(job, {"phase": "Pending"})
    assert (await cluster.store.write_status(old, {})).resource_version == old.resource_version
    new = await cluster.edit(old.key, {"conf": {"epochs": 4}})
    with pytest.raises(Conflict):
        await cluster.store.write_status(old, {})
    await cluster.delete(new.key)
    with pytest.raises(Gone):
        await cluster.store.write_status(new, {})


async def test_patch_of_a_deleted_mljob_is_refused(cluster: Cluster, name: str) -> None:
    job = await cluster.create(name, SPEC)
    await cluster.delete(job.key)
    with pytest.raises(Gone):
        await cluster.store.write_status(job, {"phase": "Running"})
    assert await cluster.store.set_finalizer(job, present=False) is None


async def test_patch_does_not_change_a_re_created_mljob_of_the_same_name(cluster: Cluster, name: str) -> None:
    job = await cluster.create(name, SPEC)
    await cluster.delete(job.key)
    await cluster.create(name, SPEC)
    with pytest.raises((Gone, Conflict)):
        await cluster.store.write_status(job, {"phase": "Running"})


async def test_finalizer_blocks_the_deletion_until_it_is_removed(cluster: Cluster, name: str) -> None:
    job = await cluster.create(name, SPEC)
    held = await cluster.store.set_finalizer(job, present=True)
    assert held is not None
    assert held.has_finalizer
    await cluster.delete(job.key)
    deleting = await cluster.store.get(job.key)
    assert deleting is not None
    assert deleting.deleting
    assert await cluster.store.set_finalizer(deleting, present=False) is None
    assert await cluster.store.get(job.key) is None


async def test_finalizers_of_others_are_kept(cluster: Cluster, name: str) -> None:
    job = await cluster.create(name, SPEC)
    job = await cluster.finalizers(job.key, "example.com/theirs")
    held = await cluster.store.set_finalizer(job, present=True)
    assert held is not None
    assert set(held.finalizers) == {"example.com/theirs", FINALIZER}
    free = await cluster.store.set_finalizer(held, present=False)
    assert free is not None
    assert free.finalizers == ("example.com/theirs",)
    await cluster.finalizers(job.key)


async def test_annotation_is_set_together_with_the_finalizer(cluster: Cluster, name: str) -> None:
    held = await cluster.store.set_finalizer(await cluster.create(name, SPEC), present=True)
    assert held is not None
    free = await cluster.store.set_finalizer(held, present=False, annotations={RETRY_REQUESTED_AT: "now"})
    assert free is not None
    assert (free.has_finalizer, free.retry_request) == (False, "now")


async def test_event_is_recorded_about_the_mljob(cluster: Cluster, name: str) -> None:
    job = await cluster.create(name, SPEC)
    await cluster.store.record(job, KubeEvent(NORMAL, "Submitted", "Submitted a run."))
    assert await cluster.events(name) == [("Normal", "Submitted", "Submitted a run.")]


async def test_sources_of_conf_are_readable(cluster: Cluster, name: str) -> None:
    for kind, field in (("ConfigMap", "config_map_ref"), ("Secret", "secret_ref")):
        missing = ConfSource.model_validate({field: Reference(name=f"{name}-none")})
        with pytest.raises(ReferenceMissing, match=f"{kind} {name}-none"):
            await cluster.store.source("default", missing)
        optional = ConfSource.model_validate({field: Reference(name=f"{name}-none", optional=True)})
        assert await cluster.store.source("default", optional) is None
        await cluster.data(kind, name, {"user": "reader", "more.json": "{}"})
        found = await cluster.store.source("default", ConfSource.model_validate({field: Reference(name=name)}))
        assert found is not None
        assert (dict(found.data), found.secret) == ({"user": "reader", "more.json": "{}"}, kind == "Secret")


@pytest.mark.parametrize("kind", ["ConfigMap", "Secret"])
async def test_watch_reports_a_change_of_a_source_of_conf(kind: str, cluster: Cluster, name: str) -> None:
    told = cluster.changes.of(ConfObject("default", kind, name))

    appears = asyncio.ensure_future(anext(told))
    done, _ = await asyncio.wait([appears], timeout=1)
    assert not done, "it is not there"
    await cluster.data(kind, name, {"user": "reader"})
    await asyncio.wait_for(appears, 180)
    changes = asyncio.ensure_future(anext(told))
    await cluster.data(kind, name, {"user": "writer"})
    await asyncio.wait_for(changes, 180)
    await told.aclose()

    again = cluster.changes.of(ConfObject("default", kind, name))
    await asyncio.wait_for(anext(again), 180)
    await again.aclose()


async def test_deletion_applies_only_to_the_given_version(cluster: Cluster, name: str) -> None:
    old = await cluster.create(name, SPEC)
    new = await cluster.edit(old.key, {"type": "Prediction"})
    with pytest.raises(Conflict):
        await cluster.store.delete(old)
    await cluster.store.delete(new)
    assert await cluster.store.get(new.key) is None
