"""What the operator relies on of the Kubernetes API for AirflowInstances, true of the real one and of the fake."""

from __future__ import annotations

import pytest

from mljob_operator.core.airflow_instance.instance import Instance
from mljob_operator.core.status.events import WARNING, KubeEvent
from mljob_operator.errors import Conflict, Gone, ReferenceMissing, SecretUnlabelled

from .conftest import Platform


async def read(platform: Platform, name: str) -> Instance:
    (found,) = [instance for instance in await platform.store.list() if instance.name == name]
    return found


async def test_a_status_is_patched(platform: Platform, name: str) -> None:
    await platform.create(name)
    before = await read(platform, name)
    after = await platform.store.write_status(before, {"version": "3.3.2", "activeRuns": 2})
    assert (after.status.version, after.status.active_runs) == ("3.3.2", 2)
    assert after.newer_than(before)
    assert not before.newer_than(after)
    again = await platform.store.write_status(after, {"version": None})
    assert "version" not in again.stored_status
    assert again.stored_status["activeRuns"] == 2


async def test_one_that_has_changed_is_not_patched(platform: Platform, name: str) -> None:
    await platform.create(name)
    before = await read(platform, name)
    await platform.label(name)
    with pytest.raises(Conflict):
        await platform.store.write_status(before, {"version": "3.3.2"})


async def test_one_that_is_gone_is_not_patched(platform: Platform, name: str) -> None:
    await platform.create(name)
    before = await read(platform, name)
    await platform.delete(name)
    with pytest.raises(Gone):
        await platform.store.write_status(before, {"version": "3.3.2"})
    assert await platform.store.set_finalizer(before, present=True) is None


async def test_the_finalizer_holds_it_until_it_is_taken_away(platform: Platform, name: str) -> None:
    await platform.create(name)
    held = await platform.store.set_finalizer(await read(platform, name), present=True)
    assert held is not None
    assert held.has_finalizer
    await platform.delete(name)
    deleting = await read(platform, name)
    assert deleting.deleting
    assert await platform.store.set_finalizer(deleting, present=False) is None
    assert name not in [instance.name for instance in await platform.store.list()]


async def test_a_secret_is_read_as_text(platform: Platform, name: str) -> None:
    await platform.secret(name, {"user": "mljob", "password": "pässword"})
    assert await platform.store.secret(name) == {"user": "mljob", "password": "pässword"}


async def test_a_secret_that_is_not_there_is_named(platform: Platform, name: str) -> None:
    with pytest.raises(ReferenceMissing, match=name):
        await platform.store.secret(name)


async def test_a_secret_without_the_label_is_not_given_out(platform: Platform, name: str) -> None:
    """Whoever may create AirflowInstances could have any Secret of the operator's namespace sent to an address of theirs."""
    await platform.secret(name, {"user": "mljob"}, labelled=False)
    with pytest.raises(SecretUnlabelled, match=name):
        await platform.store.secret(name)
    await platform.secret(name, {"user": "mljob"})
    assert await platform.store.secret(name) == {"user": "mljob"}


async def test_namespaces_have_their_labels(platform: Platform) -> None:
    assert (await platform.store.namespaces())["default"]["kubernetes.io/metadata.name"] == "default"


async def test_an_event_tells_of_it(platform: Platform, name: str) -> None:
    await platform.create(name)
    await platform.store.record(await read(platform, name), KubeEvent(WARNING, "Unreachable", "No answer."))
    assert await platform.events(name) == [("Warning", "Unreachable", "No answer.")]
