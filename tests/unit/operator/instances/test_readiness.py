"""An AirflowInstance is ready or says why not, and its MLJobs wait until it is."""

from __future__ import annotations

import pytest

from mljob_contract.mljob import Phase

from .conftest import Platform


async def test_a_secret_that_is_missing_is_named_and_waited_for(world: Platform) -> None:
    del world.instance_objects.secrets["prod"]
    await world.look_after("prod")
    assert world.instance_says("prod")[:2] == ("False", "SecretMissing")
    await world.run_in("prod")
    assert world.says == (Phase.PENDING, "AirflowInstanceNotReady")
    assert "Secret prod is not there" in world.status.message
    world.instance_objects.secrets["prod"] = {"user": "mljob", "password": "right"}
    await world.look_after("prod")
    assert world.status.phase is Phase.QUEUED


async def test_a_key_that_is_missing_is_named(world: Platform) -> None:
    world.instance_objects.secrets["prod"] = {"user": "mljob", "passwd": "right"}
    await world.look_after("prod")
    status, reason, message = world.instance_says("prod")
    assert (status, reason) == ("False", "SecretMissing")
    assert "no key password; it has passwd, user" in message


@pytest.mark.parametrize("token", ["two\nlines", "a space", "schlüssel"])
async def test_a_token_that_is_none_is_named_and_is_in_no_message(world: Platform, token: str) -> None:
    world.instance_objects.secrets["prod"] = {"token": token}
    world.instance_objects.edit("prod", {"credentials": {"tokenSecretRef": {"name": "prod"}}})
    await world.see_all()
    await world.look_after("prod")
    status, reason, message = world.instance_says("prod")
    assert (status, reason) == ("False", "SecretMissing")
    assert "Key token of Secret prod" in message
    assert token not in message


async def test_a_secret_is_rotated_and_what_waits_goes_on(world: Platform) -> None:
    world.instance_objects.secrets["prod"]["password"] = "wrong"
    await world.look_after("prod")
    assert world.instance_says("prod")[:2] == ("False", "Unauthorized")
    await world.run_in("prod")
    assert world.says == (Phase.PENDING, "AirflowInstanceNotReady")
    world.instance_objects.secrets["prod"]["password"] = "right\n"
    await world.look_after("prod")
    assert world.instance_says("prod")[:2] == ("True", "Ready")
    assert world.status.phase is Phase.QUEUED
    assert [n.reason for name, n in world.instance_objects.notices if name == "prod"] == [
        "Ready",
        "Unauthorized",
        "Ready",
    ]


async def test_one_that_does_not_answer_is_not_ready_until_it_does(world: Platform) -> None:
    world.prod.down = True
    await world.look_after("prod")
    await world.run_in("prod")
    assert world.instance_says("prod")[:2] == ("False", "Unreachable")
    assert world.says == (Phase.PENDING, "AirflowInstanceNotReady")
    assert "submit" not in world.prod.calls
    world.prod.down = False
    await world.look_after("prod")
    assert world.status.phase is Phase.QUEUED


async def test_a_status_that_says_the_same_is_not_written_again(world: Platform) -> None:
    before = len(world.instance_objects.patches)
    for _ in range(5):
        world.clock.tick(15)
        await world.look_after("prod", "staging")
    assert len(world.instance_objects.patches) == before


async def test_a_secret_without_the_label_is_named_and_waited_for(world: Platform) -> None:
    world.instance_objects.unlabelled.add("prod")
    await world.look_after("prod")
    assert world.instance_says("prod")[:2] == ("False", "SecretUnlabelled")
    await world.run_in("prod")
    assert world.says == (Phase.PENDING, "AirflowInstanceNotReady")
    world.instance_objects.unlabelled.clear()
    await world.look_after("prod")
    assert world.status.phase is Phase.QUEUED


async def test_http_to_another_host_is_said_and_blocks_nothing(world: Platform) -> None:
    world.airflows["http://airflow.example.com"] = world.prod
    world.instance_objects.edit("prod", {"url": "http://airflow.example.com"})
    await world.see_all()
    await world.look_after("prod")
    assert world.instance_says("prod", "Secure")[:2] == ("False", "PlainHttp")
    assert world.instance_says("prod")[:2] == ("True", "Ready")
    await world.run_in("prod")
    assert world.status.phase is Phase.QUEUED
    assert [n.reason for name, n in world.instance_objects.notices if name == "prod"] == ["Ready", "PlainHttp"]


async def test_a_defect_in_looking_at_one_is_in_its_status(world: Platform, caplog: pytest.LogCaptureFixture) -> None:
    async def stumble() -> None:
        raise ValueError("Invalid header value b'Bearer right'")

    world.prod.probe = stumble  # type: ignore[assignment,method-assign]
    await world.look_after("prod", "prod")
    assert world.instance_says("prod") == (
        "False",
        "AirflowError",
        "It can't be used (ValueError); the operator's log has more.",
    )
    (record,) = (record for record in caplog.records if record.levelname == "ERROR")
    assert "in stumble" in record.getMessage()
