from __future__ import annotations

import pytest

from mljob_contract.mljob import Phase
from mljob_operator.controllers.airflow_instance.logins import Logins
from mljob_operator.ports import ProbeResult

from .conftest import Platform


async def test_missing_secret_is_named_and_waited_for(world: Platform) -> None:
    del world.instance_objects.secrets["prod"]
    await world.look_after("prod")
    assert world.instance_says("prod")[:2] == ("False", "SecretMissing")
    await world.run_in("prod")
    assert world.says == (Phase.PENDING, "AirflowInstanceNotReady")
    assert "Secret prod is not there" in world.message
    world.instance_objects.secrets["prod"] = {"user": "mljob", "password": "right"}
    await world.look_after("prod")
    assert world.status.phase is Phase.QUEUED


async def test_missing_key_of_a_secret_is_named(world: Platform) -> None:
    world.instance_objects.secrets["prod"] = {"user": "mljob", "passwd": "right"}
    await world.look_after("prod")
    status, reason, message = world.instance_says("prod")
    assert (status, reason) == ("False", "SecretMissing")
    assert "no key password; it has passwd, user" in message


@pytest.mark.parametrize("token", ["two\nlines", "a space", "schlüssel"])
async def test_unusable_token_is_reported_without_being_shown(world: Platform, token: str) -> None:
    world.instance_objects.secrets["prod"] = {"token": token}
    world.instance_objects.edit("prod", {"credentials": {"tokenSecretRef": {"name": "prod"}}})
    await world.see_all()
    await world.look_after("prod")
    status, reason, message = world.instance_says("prod")
    assert (status, reason) == ("False", "InvalidCredentials")
    assert "Key token of Secret prod" in message
    assert token not in message


async def test_rotated_secret_resumes_waiting_mljobs(world: Platform) -> None:
    world.instance_objects.secrets["prod"]["password"] = "wrong"
    await world.look_after("prod")
    assert world.instance_says("prod")[:2] == ("False", "Unauthorized")
    await world.run_in("prod")
    assert world.says == (Phase.PENDING, "AirflowInstanceNotReady")
    world.instance_objects.secrets["prod"]["password"] = "right\n"
    await world.look_after("prod")
    assert world.instance_says("prod")[:2] == ("True", "Ready")
    assert world.status.phase is Phase.QUEUED
    assert [n.reason for name, n in world.instance_objects.kube_events if name == "prod"] == [
        "Ready",
        "Unauthorized",
        "Ready",
    ]


async def test_unreachable_airflow_is_not_ready_until_it_answers(world: Platform) -> None:
    world.prod.down = True
    await world.look_after("prod")
    await world.run_in("prod")
    assert world.instance_says("prod")[:2] == ("False", "Unreachable")
    assert world.says == (Phase.PENDING, "AirflowInstanceNotReady")
    assert "submit" not in world.prod.calls
    world.prod.down = False
    await world.look_after("prod")
    assert world.status.phase is Phase.QUEUED


async def test_observed_generation_is_that_of_the_checked_spec(world: Platform) -> None:
    probe = world.prod.probe

    async def edited_meanwhile() -> ProbeResult:
        world.instance_objects.edit("prod", {"url": "http://nobody:8080"})
        await world.see_all()
        return await probe()

    world.prod.probe = edited_meanwhile
    await world.look_after("prod")
    edited = world.instance_objects.get("prod")
    assert edited.status.observed_generation == edited.generation - 1


async def test_unchanged_status_is_not_written_again(world: Platform) -> None:
    before = len(world.instance_objects.patches)
    for _ in range(5):
        world.clock.tick(15)
        await world.look_after("prod", "staging")
    assert len(world.instance_objects.patches) == before


async def test_secret_without_the_label_is_named_and_waited_for(world: Platform) -> None:
    world.instance_objects.unlabelled.add("prod")
    await world.look_after("prod")
    assert world.instance_says("prod")[:2] == ("False", "SecretUnlabelled")
    await world.run_in("prod")
    assert world.says == (Phase.PENDING, "AirflowInstanceNotReady")
    world.instance_objects.unlabelled.clear()
    await world.look_after("prod")
    assert world.status.phase is Phase.QUEUED


async def test_plain_http_to_another_host_is_reported_and_blocks_nothing(world: Platform) -> None:
    world.airflows["http://airflow.example.com"] = world.prod
    world.instance_objects.edit("prod", {"url": "http://airflow.example.com"})
    await world.see_all()
    await world.look_after("prod")
    assert world.instance_says("prod", "Secure")[:2] == ("False", "PlainHttp")
    assert world.instance_says("prod")[:2] == ("True", "Ready")
    await world.run_in("prod")
    assert world.status.phase is Phase.QUEUED
    assert [n.reason for name, n in world.instance_objects.kube_events if name == "prod"] == ["Ready", "PlainHttp"]


async def test_defect_in_reconciling_an_instance_is_in_its_status(
    world: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    async def stumble() -> None:
        raise ValueError("Invalid header value b'Bearer right'")

    world.prod.probe = stumble  # type: ignore[assignment]
    await world.look_after("prod", "prod")
    assert world.instance_says("prod") == (
        "False",
        "AirflowError",
        "It can't be used (ValueError); the operator's log has more.",
    )
    (record,) = (record for record in caplog.records if record.levelname == "ERROR")
    assert "in stumble" in record.getMessage()


@pytest.mark.parametrize("token", ["one\ntwo", "\u201ctoken\u201d", "two words", " \n"])
async def test_token_that_is_no_header_value_is_refused_without_being_shown(world: Platform, token: str) -> None:
    world.instance_objects.secrets["prod"] = {"token": token}
    url = "http://prod:8080"
    world.instance_objects.edit("prod", {"url": url, "credentials": {"tokenSecretRef": {"name": "prod"}}})
    await world.see_all()
    await world.look_after("prod")
    status, reason, message = world.instance_says("prod")
    assert (status, reason) == ("False", "InvalidCredentials")
    assert message.startswith("Key token of Secret prod (credentials) holds no token")
    assert not token.strip() or token not in message
    await world.run_in("prod")
    assert world.says == (Phase.PENDING, "AirflowInstanceNotReady")
    assert not token.strip() or token not in world.message


@pytest.mark.parametrize(
    ("secret", "login"),
    [
        ({"token": " t0k3n\r\n"}, (None, None, "t0k3n")),
        ({"user": " mljob\n", "password": " pass word \r\n"}, ("mljob", " pass word ", None)),
    ],
    ids=["token", "user and password"],
)
async def test_trailing_line_break_of_a_secret_is_removed(
    world: Platform, secret: dict[str, str], login: tuple[str | None, ...]
) -> None:
    world.instance_objects.secrets["prod"] = secret
    ref = "tokenSecretRef" if "token" in secret else "passwordSecretRef"
    instance = world.instance_objects.edit("prod", {"url": "http://prod:8080", "credentials": {ref: {"name": "prod"}}})
    found = await Logins(world.instance_objects).read(instance.spec.credentials)
    hidden = [secret and secret.get_secret_value() for secret in (found.password, found.token)]
    assert (found.user, *hidden) == login
