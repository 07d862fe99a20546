from __future__ import annotations

import pytest

from mljob_operator.core.airflow_instance.instance import Instance
from mljob_operator.core.status.events import WARNING, KubeEvent
from mljob_operator.errors import Conflict, Gone, ReferenceMissing, SecretUnlabelled

from .conftest import Platform


async def read(platform: Platform, name: str) -> Instance:
    (found,) = [instance for instance in await platform.store.list() if instance.name == name]
    return found


async def test_status_patch_is_stored(platform: Platform, name: str) -> None:
    await platform.create(name)
    before = await read(platform, name)
    after = await platform.store.write_status(before, {"version": "3.3.2", "activeRuns": 2})
    assert (after.status.version, after.status.active_runs) == ("3.3.2", 2)
    assert after.newer_than(before)
    assert not before.newer_than(after)
    again = await platform.store.write_status(after, {"version": None})
    assert "version" not in again.stored_status
    assert again.stored_status["activeRuns"] == 2


async def test_patch_of_an_older_version_is_refused(platform: Platform, name: str) -> None:
    await platform.create(name)
    before = await read(platform, name)
    await platform.label(name)
    with pytest.raises(Conflict):
        await platform.store.write_status(before, {"version": "3.3.2"})


async def test_patch_of_a_deleted_instance_is_refused(platform: Platform, name: str) -> None:
    await platform.create(name)
    before = await read(platform, name)
    await platform.delete(name)
    with pytest.raises(Gone):
        await platform.store.write_status(before, {"version": "3.3.2"})
    assert await platform.store.set_finalizer(before, present=True) is None


async def test_finalizer_blocks_the_deletion_until_it_is_removed(platform: Platform, name: str) -> None:
    await platform.create(name)
    held = await platform.store.set_finalizer(await read(platform, name), present=True)
    assert held is not None
    assert held.has_finalizer
    await platform.delete(name)
    deleting = await read(platform, name)
    assert deleting.deleting
    assert await platform.store.set_finalizer(deleting, present=False) is None
    assert name not in [instance.name for instance in await platform.store.list()]


async def test_secret_is_read_as_text(platform: Platform, name: str) -> None:
    await platform.secret(name, {"user": "mljob", "password": "pässword"})
    assert await platform.store.secret(name) == {"user": "mljob", "password": "pässword"}


async def test_missing_secret_is_named(platform: Platform, name: str) -> None:
    with pytest.raises(ReferenceMissing, match=name):
        await platform.store.secret(name)


async def test_secret_without_the_label_is_not_returned(platform: Platform, name: str) -> None:
    # Otherwise the author of an AirflowInstance could send any Secret in the operator's namespace
    # to any URL.
    await platform.secret(name, {"user": "mljob"}, labelled=False)
    with pytest.raises(SecretUnlabelled, match=name):
        await platform.store.secret(name)
    await platform.secret(name, {"user": "mljob"})
    assert await platform.store.secret(name) == {"user": "mljob"}


async def test_namespaces_have_their_labels(platform: Platform) -> None:
    assert (await platform.store.namespaces())["default"]["kubernetes.io/metadata.name"] == "default"


async def test_event_is_recorded_about_the_instance(platform: Platform, name: str) -> None:
    await platform.create(name)
    await platform.store.record(await read(platform, name), KubeEvent(WARNING, "Unreachable", "No answer."))
    assert await platform.events(name) == [("Warning", "Unreachable", "No answer.")]


async def test_labels_of_a_namespace_are_readable(platform: Platform) -> None:
    found = await platform.store_of_api.namespace("default")
    assert found is not None
    assert found["kubernetes.io/metadata.name"] == "default"
    assert await platform.store_of_api.namespace("contract-no-such-namespace") is None
