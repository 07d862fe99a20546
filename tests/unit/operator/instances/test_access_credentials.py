from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import SecretStr

from mljob_contract.airflow_instance import AccessRule, Credentials
from mljob_contract.mljob import Phase
from mljob_operator.controllers.airflow_instance import logins as logins_module
from mljob_operator.controllers.airflow_instance.logins import AccessLogins
from mljob_operator.core.airflow_instance.credentials import Login
from mljob_operator.core.run.states import RunState, TaskState
from mljob_operator.errors import AirflowUnauthorized, AirflowUnavailable
from tests.fakes.airflow import FakeAirflow, FakeUser
from tests.unit.operator.conftest import World

from .conftest import Platform

EVERYBODY: dict[str, Any] = {}
OF_TEAM_A = {
    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "team-a"}},
    "credentials": {"passwordSecretRef": {"name": "team-a"}},
}


async def set_up(world: Platform, *rules: dict[str, Any], password: str = "right") -> None:
    world.instance_objects.secrets["team-a"] = {"user": "user-a", "password": password}
    world.instance_objects.labels.setdefault("team-b", {"kubernetes.io/metadata.name": "team-b"})
    world.instance_objects.edit("prod", {"access": list(rules)})
    await world.see_all()
    await world.look_after("prod")


def calls(world: World, user: str = "user-a") -> set[str]:
    return set(world.users[user].calls) if user in world.users else set()


async def test_runs_are_submitted_followed_and_cancelled_with_the_credentials_of_the_rule(world: Platform) -> None:
    await set_up(world, OF_TEAM_A, EVERYBODY)
    await world.run_in("prod", cancellation={"strategy": "Api"})
    assert "submit" in calls(world)
    await world.edit(cancel=True)
    await world.look_everywhere()
    assert world.status.phase is Phase.CANCELLED
    assert {"submit", "cancel", "get", "tasks", "outputs"} <= calls(world)
    assert not {"changed_runs", "changed_tasks", "probe"} & calls(world), "the change feed is the operator's own"


async def test_cancellation_dag_is_triggered_with_the_credentials_of_the_instance(world: Platform) -> None:
    await set_up(world, OF_TEAM_A)
    await world.run_in("prod")
    await world.edit(cancel=True)
    assert "trigger_cancellation" in world.prod.calls
    # A user who may trigger the cancellation DAG could end every team's runs.
    assert "trigger_cancellation" not in calls(world)


async def test_other_namespaces_use_the_credentials_of_the_instance(world: Platform) -> None:
    await set_up(world, OF_TEAM_A, EVERYBODY)
    world.jobs.create("other", {"dagId": "train", "airflowRef": {"name": "prod"}}, namespace="team-b")
    await world.see_all()
    assert world.prod.only_run()
    assert calls(world) == set()


async def test_first_matching_rule_selects_the_credentials(world: Platform) -> None:
    await set_up(world, EVERYBODY, OF_TEAM_A)
    await world.run_in("prod")
    assert world.prod.only_run()
    assert calls(world) == set()


async def test_requests_of_all_credentials_go_on_when_airflow_answers_again(world: Platform) -> None:
    await set_up(world, OF_TEAM_A)
    world.prod.down = True
    await world.look_after("prod")
    await world.run_in("prod")
    assert world.says == (Phase.PENDING, "AirflowInstanceNotReady")
    world.prod.down, world.prod.resumed = False, 0
    # The clock stands still, so no backoff ends.
    await world.look_after("prod")
    assert world.prod.resumed == 2, "the requests of the operator and those of user-a"
    assert world.prod.only_run()
    assert "submit" in calls(world)


async def test_restarted_operator_uses_the_same_credentials(world: Platform) -> None:
    await set_up(world, OF_TEAM_A)
    await world.run_in("prod")
    world.users.clear()
    await world.restart()
    await world.end(world.prod)
    assert world.status.phase is Phase.SUCCEEDED
    assert {"tasks", "outputs"} <= calls(world)


async def test_run_whose_rule_was_removed_is_followed_with_the_credentials_of_the_instance(world: Platform) -> None:
    await set_up(world, OF_TEAM_A)
    await world.run_in("prod")
    await set_up(world, {"dags": ["other"]})
    world.users.clear()
    await world.end(world.prod)
    assert world.status.phase is Phase.SUCCEEDED
    assert calls(world) == set()


async def test_wrong_credentials_of_a_rule_affect_only_its_team(world: Platform) -> None:
    await set_up(world, OF_TEAM_A, EVERYBODY, password="wrong")
    await world.run_in("prod")
    assert world.says == (Phase.PENDING, "AirflowUnauthorized")
    await world.look_after("prod")
    assert world.says == (Phase.PENDING, "AirflowUnauthorized")
    assert "Secret team-a" in world.message
    assert world.instance_says("prod")[:2] == ("True", "Ready")
    status, reason, message = world.instance_says("prod", "AccessCredentials")
    assert (status, reason) == ("False", "Unauthorized")
    assert "spec.access[0].credentials: " in message
    assert "Secret team-a" in message
    world.jobs.create("other", {"dagId": "train", "airflowRef": {"name": "prod"}}, namespace="team-b")
    await world.see_all()
    assert world.jobs.objects["team-b", "other"]["status"]["phase"] == "Queued"
    assert [n.reason for name, n in world.instance_objects.kube_events if name == "prod"] == ["Ready", "Unauthorized"]


async def test_mljob_is_not_bound_to_an_airflow_that_rejects_its_credentials(world: Platform) -> None:
    await set_up(world, OF_TEAM_A, password="wrong")
    world.jobs.create("first", {"dagId": "train", "airflowRef": {"name": "prod"}})
    await world.see_all()
    await world.look_after("prod")
    await world.run_in("prod")
    assert world.says == (Phase.PENDING, "AirflowUnauthorized")
    assert not world.has_finalizer


async def test_rotated_secret_resumes_waiting_mljobs(world: Platform) -> None:
    await set_up(world, OF_TEAM_A, password="wrong")
    await world.run_in("prod")
    await world.look_after("prod")
    world.instance_objects.secrets["team-a"]["password"] = "right\n"
    await world.look_after("prod")
    assert world.status.phase is Phase.QUEUED
    assert world.instance_says("prod", "AccessCredentials")[:2] == ("True", "AccessCredentials")


async def test_waiting_mljobs_resume_when_airflow_accepts_the_same_credentials(world: Platform) -> None:
    await set_up(world, OF_TEAM_A, password="wrong")
    await world.run_in("prod")
    await world.look_after("prod")
    world.users["user-a"].locked = False
    await world.look_after("prod")
    assert world.status.phase is Phase.QUEUED


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        pytest.param("missing", "SecretMissing", id="missing"),
        pytest.param("key", "SecretMissing", id="a key is missing"),
        pytest.param("label", "SecretUnlabelled", id="without the label"),
    ],
)
async def test_unusable_secret_is_named_before_a_run_is_submitted(world: Platform, broken: str, reason: str) -> None:
    await set_up(world, OF_TEAM_A)
    match broken:
        case "missing":
            del world.instance_objects.secrets["team-a"]
        case "key":
            del world.instance_objects.secrets["team-a"]["password"]
        case "label":
            world.instance_objects.unlabelled.add("team-a")
    await world.look_after("prod")
    await world.run_in("prod")
    assert world.says == (Phase.PENDING, "AirflowUnauthorized")
    assert "Secret team-a" in world.message
    assert not world.has_finalizer
    assert world.instance_says("prod")[:2] == ("True", "Ready")
    assert world.instance_says("prod", "AccessCredentials")[:2] == ("False", reason)


async def test_deletion_does_not_need_the_credentials_of_the_team(world: Platform) -> None:
    await set_up(world, OF_TEAM_A)
    await world.run_in("prod")
    await set_up(world, OF_TEAM_A, password="wrong")
    await world.delete()
    await world.settle()
    assert world.prod.only_run("mljob_cancel")
    world.prod.end(world.prod.only_run(), RunState.FAILED)
    await world.look_everywhere()
    assert not world.exists


async def test_mljob_of_a_new_rule_waits_until_its_secret_has_been_read(world: Platform) -> None:
    world.instance_objects.secrets["team-a"] = {"user": "user-a", "password": "right"}
    world.instance_objects.edit("prod", {"access": [OF_TEAM_A]})
    await world.see_all()
    await world.run_in("prod")
    assert world.says == (Phase.PENDING, "Submitting")
    assert "submit" not in world.prod.calls
    await world.look_after("prod")
    assert world.status.phase is Phase.QUEUED
    assert world.event_reasons == ["Submitted"]


async def test_status_does_not_mention_rule_credentials_when_no_rule_has_them(world: Platform) -> None:
    await world.look_after("prod")
    assert "AccessCredentials" not in {found.type for found in world.instance("prod").conditions or ()}


async def test_missing_credentials_of_the_instance_keep_every_team_waiting(world: Platform) -> None:
    await set_up(world, OF_TEAM_A)
    world.prod.down = True
    await world.look_after("prod")
    await world.run_in("prod")
    assert world.says == (Phase.PENDING, "AirflowInstanceNotReady")
    world.prod.down = False
    await world.look_after("prod")
    assert world.status.phase is Phase.QUEUED


async def test_access_rules_of_the_settings_may_have_credentials() -> None:
    class Own(World):
        own_access = (AccessRule.model_validate(OF_TEAM_A),)

    world = Own()
    world.instance_objects.secrets["team-a"] = {"user": "user-a", "password": "right"}
    await world.apply()
    assert (world.status.phase, world.status.reason) == (Phase.PENDING, "Submitting")
    await world.look_at_own_logins()
    assert calls(world) == {"params", "submit"}
    run = world.airflow.only_run()
    for task_id, _ in list(run.tasks):
        world.airflow.set_task(run, task_id, TaskState.SUCCESS)
    world.airflow.end(run, RunState.SUCCESS)
    await world.look()
    assert world.status.phase is Phase.SUCCEEDED
    assert "outputs" in calls(world)
    await world.job_controller.close()


async def test_defect_in_checking_one_rule_affects_only_that_rule(world: World) -> None:
    of_a, of_b = (Credentials.model_validate({"passwordSecretRef": {"name": name}}) for name in ("team-a", "team-b"))

    async def read(credentials: Credentials) -> Login:
        if credentials == of_a:
            raise KeyError("a defect")
        return Login("user-b")

    def connect(login: Login) -> FakeAirflow:
        return world.airflow

    logins = AccessLogins(read)
    await logins.refresh([of_a, of_b], connect, "http://airflow", ask=True)
    assert logins.airflow(of_b) is world.airflow
    problem = logins.problems[of_a]
    assert problem is not None
    assert "unexpected error, see the operator's log" in problem.message


class SlowAirflow:
    """An Airflow that answers a probe only when the test allows the answer.

    Attributes:
        probes: The answer to each probe, in order.
        password: The password in all Secrets.
    """

    def __init__(self) -> None:
        self.probes: list[asyncio.Future[None]] = []
        self.password = "old"

    async def read(self, credentials: Credentials) -> Login:
        return Login(credentials.source, SecretStr(self.password))

    def connect(self, login: Login) -> Any:
        assert login.password is not None
        return self if login.password.get_secret_value() == "old" else SlowAirflow()

    async def probe(self) -> None:
        self.probes.append(asyncio.get_running_loop().create_future())
        await self.probes[-1]

    async def close(self) -> None: ...


@pytest.fixture
def short_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logins_module, "TEST_SECONDS", 0.01)


SLOW = [Credentials.model_validate({"passwordSecretRef": {"name": f"team-{number}"}}) for number in range(5)]


@pytest.mark.usefixtures("short_tests")
async def test_slow_answers_to_suspect_logins_are_awaited_together_and_not_for_long() -> None:
    airflow = SlowAirflow()
    accounts = AccessLogins(airflow.read)

    async def refresh() -> None:
        async with asyncio.timeout(180):
            await accounts.refresh(SLOW, airflow.connect, "http://airflow", ask=True)

    await refresh()
    for credentials in SLOW:
        accounts.mark_suspect(credentials)
    await refresh()
    await refresh()
    assert len(airflow.probes) == len(SLOW), "each login is tried once at a time"
    assert not any(accounts.problems.values())
    airflow.probes[0].set_exception(AirflowUnauthorized("Airflow refused the login"))
    airflow.probes[1].set_exception(AirflowUnavailable("no answer"))
    airflow.probes[2].set_result(None)
    for _ in range(2):
        await refresh()
    problem = accounts.problems[SLOW[0]]
    assert problem is not None
    assert problem.reason == "Unauthorized"
    assert [credentials for credentials, found in accounts.problems.items() if found] == [SLOW[0]]
    assert len(airflow.probes) == len(SLOW) + 2, "the refused login and the one without an answer are tried again"
    await accounts.close()


@pytest.mark.usefixtures("short_tests")
async def test_result_about_an_earlier_login_does_not_count() -> None:
    airflow = SlowAirflow()
    accounts = AccessLogins(airflow.read)

    async def refresh() -> None:
        async with asyncio.timeout(180):
            await accounts.refresh(SLOW[:1], airflow.connect, "http://airflow", ask=True)

    await refresh()
    accounts.mark_suspect(SLOW[0])
    await refresh()
    airflow.password = "new"
    await refresh()
    airflow.probes[0].set_exception(AirflowUnauthorized("Airflow refused the login"))
    await refresh()
    assert accounts.problems == {SLOW[0]: None}
    await accounts.close()


@pytest.mark.usefixtures("short_tests")
async def test_airflow_that_stops_answering_is_not_ready_although_logins_are_being_tested(
    world: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(*_: Any) -> None:
        await asyncio.Event().wait()

    await set_up(world, OF_TEAM_A)
    monkeypatch.setattr(FakeUser, "probe", hang, raising=False)
    registered = world.registry.find("prod")
    assert registered is not None
    [credentials] = registered.logins.problems
    registered.logins.mark_suspect(credentials)
    async with asyncio.timeout(180):
        await world.look_after("prod")
    world.prod.down = True
    async with asyncio.timeout(180):
        await world.look_after("prod")
    assert {found.type: found.status for found in world.instance("prod").conditions or ()}["Ready"] == "False"
