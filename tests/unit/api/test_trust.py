"""mljob-api refuses requests that it can't trust, and its answers contain no secrets."""

from __future__ import annotations

from typing import Any

import pytest

from mljob_contract.airflow_instance import AccessRule
from mljob_contract.events import EventName, TaskError
from mljob_contract.run_api import RunSubresource, run_path
from mljob_operator.api.listener import TlsConnection
from mljob_operator.core.mljob.identity import dag_run_id, pin
from mljob_operator.core.run.states import RunState, TaskState
from tests.fakes.airflow import FakeAirflow

from .conftest import ApiWorld, message_of, now

ALL = tuple(RunSubresource)
INSTANCE = {
    "url": "https://airflow.example.com",
    "credentials": {"tokenSecretRef": {"name": "airflow"}},
    "access": [{"namespaceSelector": {"matchLabels": {"team": "a"}}, "dags": ["train"]}],
}


@pytest.mark.parametrize("subresource", ALL)
async def test_client_without_the_front_proxys_certificate_gets_401(
    world: ApiWorld, subresource: RunSubresource
) -> None:
    await world.start()
    world.submitted()
    world.connection = TlsConnection(is_front_proxy=False)
    code, message = await message_of(await world.ask(subresource))
    assert (code, "kubectl get --raw" in message) == (401, True)
    world.connection = None
    assert (await message_of(await world.ask(subresource)))[0] == 401


@pytest.mark.parametrize("headers", [{}, {"X-Remote-User": ""}, {"X-Remote-User": "u" * 5000}])
async def test_request_without_a_user_gets_401(world: ApiWorld, headers: dict[str, str]) -> None:
    await world.start()
    world.submitted()
    answer = await world.get(run_path("team-a", "churn", RunSubresource.LOG), headers=headers)
    assert (await message_of(answer))[0] == 401


@pytest.mark.parametrize("subresource", ALL)
@pytest.mark.parametrize(
    "forged",
    [
        pytest.param("other", id="the run of another MLJob"),
        pytest.param("manual__2026-01-01", id="a manual run"),
        pytest.param("mljob.team-b.churn.abcdefghij-1", id="the same name in another namespace"),
        pytest.param("../../team-b/x", id="a path"),
    ],
)
async def test_forged_status_shows_nothing(world: ApiWorld, subresource: RunSubresource, forged: str) -> None:
    await world.start()
    other = world.submitted("secret", "team-b")
    world.airflow.set_task(other, "fit", TaskState.RUNNING)
    world.airflow.write(other, "fit", "of team b")
    world.submitted(status={"dagRunId": other.run_id if forged == "other" else forged})
    before = list(world.airflow.calls)
    code, message = await message_of(await world.ask(subresource))
    assert (code, message) == (403, "The run in the status of MLJob churn is not a run of this MLJob.")
    assert world.airflow.calls == before
    assert "team-b" not in message


async def test_status_with_the_run_of_a_deleted_mljob_of_the_same_name_shows_no_secret(world: ApiWorld) -> None:
    await world.start()
    world.submitted()
    earlier = str(dag_run_id("mljob", "team-a", "churn", "another uid"))
    run = world.airflow.queue("train", earlier, {"password": "hunter2hunter2"})
    world.airflow.begin(run)
    world.airflow.set_task(run, "fit", TaskState.RUNNING)
    world.airflow.write(run, "fit", "logged in with hunter2hunter2")
    world.jobs.objects["team-a", "churn"]["status"]["dagRunId"] = earlier

    log = await world.log()
    assert "logged in with" in log
    assert "hunter2hunter2" not in log


@pytest.mark.parametrize("subresource", ALL)
async def test_run_of_another_operator_is_refused(world: ApiWorld, subresource: RunSubresource) -> None:
    await world.start()
    world.submitted(status={"dagRunId": "else.team-a.churn.abcdefghij-1"})
    before = list(world.airflow.calls)
    assert await message_of(await world.ask(subresource)) == (
        403,
        "The run in the status of MLJob churn has the prefix 'else', so it is another operator's. "
        "This mljob-api shows runs with the prefix 'mljob'.",
    )
    assert world.airflow.calls == before


@pytest.mark.parametrize("subresource", ALL)
async def test_mljob_that_does_not_exist_is_not_found(world: ApiWorld, subresource: RunSubresource) -> None:
    await world.start()
    assert (await message_of(await world.ask(subresource)))[0] == 404


@pytest.mark.parametrize(
    ("namespace", "name"), [("Team", "churn"), ("team-a", "UPPER"), ("team-a", "x" * 200), ("-", "a")]
)
async def test_invalid_names_reach_no_api(world: ApiWorld, namespace: str, name: str) -> None:
    await world.start()
    answer = await world.ask(RunSubresource.LOG, name, namespace)
    assert (await message_of(answer))[0] == 404
    assert world.jobs.reads == 0


@pytest.mark.parametrize("subresource", ALL)
async def test_namespace_without_an_access_rule_is_refused(world: ApiWorld, subresource: RunSubresource) -> None:
    world.access = (AccessRule.model_validate({"dags": ["other"]}),)
    await world.start()
    world.submitted()
    code, message = await message_of(await world.ask(subresource))
    assert (code, "No access rule" in message) == (403, True)


async def test_reserved_dag_is_refused(world: ApiWorld) -> None:
    await world.start()
    world.submitted(status={"dagId": "secret_dag"})
    assert (await message_of(await world.ask(RunSubresource.GRAPH)))[0] == 403


async def with_instance(world: ApiWorld, **spec: Any) -> None:
    world.with_instances = True
    world.instances.create("prod", INSTANCE | spec)
    world.instances.secrets["airflow"] = {"token": "t0ken"}
    world.airflows["prod"] = FakeAirflow(now)
    await world.start()


async def test_airflow_instance_is_asked_with_its_secret_and_its_rules(world: ApiWorld) -> None:
    await with_instance(world)
    world.submitted(airflow="prod")
    world.submitted("churn", "team-b", airflow="prod")
    assert (await world.graph())["dagId"] == "train"
    code, message = await message_of(await world.ask(RunSubresource.GRAPH, namespace="team-b"))
    assert (code, "No access rule of AirflowInstance prod" in message) == (403, True)
    assert "team-a" not in message


async def test_airflow_instance_that_does_not_exist_is_not_found(world: ApiWorld) -> None:
    await with_instance(world)
    world.submitted(status={"airflowInstance": "gone"})
    assert (await message_of(await world.ask(RunSubresource.GRAPH)))[0] == 404


async def test_airflow_without_its_secret_concerns_no_other_airflow(world: ApiWorld) -> None:
    await with_instance(world)
    world.instances.create("broken", INSTANCE | {"credentials": {"tokenSecretRef": {"name": "absent"}}})
    world.airflows["broken"] = FakeAirflow(now)
    world.submitted("a", airflow="broken")
    world.submitted(airflow="prod")
    answer = await world.ask(RunSubresource.GRAPH, "a")
    assert "Retry-After" not in answer.headers, "kubectl would ask again for a minute before it shows the error"
    assert (await message_of(answer))[0] == 503
    assert (await world.graph())["dagId"] == "train"


async def test_backfill_says_where_its_runs_are(world: ApiWorld) -> None:
    await world.start()
    world.submitted(type="Backfill", backfill={"fromDate": "2026-01-01T00:00:00Z", "toDate": "2026-01-02T00:00:00Z"})
    code, message = await message_of(await world.ask(RunSubresource.LOG))
    assert (code, "backfill" in message) == (400, True)


async def test_only_get_is_a_method(world: ApiWorld) -> None:
    await world.start()
    world.submitted()
    assert world._client is not None
    answer = await world._client.post(run_path("team-a", "churn", RunSubresource.LOG), headers={"X-Remote-User": "ada"})
    assert (await message_of(answer))[0] == 405


@pytest.mark.parametrize(
    "path", ["/", "/openapi/v2", "/api", "/apis/run.mljob.dev/v1alpha1/namespaces/team-a/mljobs/churn"]
)
async def test_unknown_path_is_not_found(world: ApiWorld, path: str) -> None:
    await world.start()
    assert (await message_of(await world.get(path)))[0] == 404


async def test_discovery_lists_the_subresources(world: ApiWorld) -> None:
    await world.start()
    found = await (await world.get("/apis/run.mljob.dev/v1alpha1")).json()
    assert {one["name"]: one["verbs"] for one in found["resources"]} == {
        "mljobs/log": ["get"],
        "mljobs/events": ["get", "watch"],
        "mljobs/graph": ["get"],
    }
    groups = await (await world.get("/apis")).json()
    assert [group["name"] for group in groups["groups"]] == ["run.mljob.dev"]
    assert (await (await world.get("/apis/run.mljob.dev")).json())["preferredVersion"]["version"] == "v1alpha1"


async def test_one_user_has_a_quarter_of_the_places(world: ApiWorld) -> None:
    world.streams = 8
    await world.start()
    run = world.submitted()
    world.airflow.set_task(run, "fit", TaskState.RUNNING)
    world.airflow.write(run, "fit", "one")
    path = run_path("team-a", "churn", RunSubresource.LOG)
    following = [await world.get(path, follow="true") for _ in range(2)]
    for answer in following:
        await answer.content.readline()
    refused = await world.get(path)
    assert refused.headers["Retry-After"] == "5"
    code, message = await message_of(refused)
    assert (code, "You have 2 requests open" in message) == (429, True)
    assert (await world.get(path, headers={"X-Remote-User": "bob"})).status == 200


async def test_unexpected_error_tells_nothing_of_its_cause(world: ApiWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.start()
    world.submitted()

    async def fail(*_: Any) -> None:
        raise RuntimeError("password hunter2")

    monkeypatch.setattr(world.airflow, "get", fail)
    assert await message_of(await world.ask(RunSubresource.LOG)) == (
        500,
        "mljob-api has failed. Its log has the cause.",
    )


@pytest.mark.parametrize("subresource", [RunSubresource.LOG, RunSubresource.EVENTS])
async def test_removed_secret_and_a_forged_hash_of_the_spec_show_no_secret(
    world: ApiWorld, subresource: RunSubresource
) -> None:
    await world.start()
    run = world.submitted(conf={"password": "hunter2hunter2"}, confFrom=[{"secretRef": {"name": "warehouse"}}])
    world.airflow.set_task(run, "fit", TaskState.RUNNING)
    world.airflow.write(run, "fit", "logged in with hunter2hunter2")
    error = TaskError(type="ValueError", message="logged in with hunter2hunter2")
    world.report(run, EventName.TASK_FAILED, error=error)
    key = ("team-a", "churn")
    world.jobs.edit(key, {"confFrom": []})
    job = await world.jobs.get(key)
    assert job is not None
    world.jobs.objects[key]["status"]["specHash"] = job.parsed.hash

    text = await (await world.ask(subresource)).text()

    assert "logged in with ***" in text
    assert "hunter2hunter2" not in text


async def test_run_that_was_started_with_the_only_spec_needs_no_conf(world: ApiWorld) -> None:
    await world.start()
    run = world.submitted()
    world.airflow.set_task(run, "fit", TaskState.RUNNING)
    world.airflow.write(run, "fit", "fine")
    await world.log()
    assert "inputs" not in world.airflow.calls


async def test_follower_of_a_changed_mljob_waits_for_its_run(world: ApiWorld) -> None:
    await world.start()
    run = world.submitted()
    world.jobs.edit(("team-a", "churn"), {"backoffLimit": 3})
    del world.airflow.runs[run.dag_id, run.run_id]
    answer = await world.ask(RunSubresource.LOG, follow="true")
    world.airflow.runs[run.dag_id, run.run_id] = run
    world.airflow.set_task(run, "fit", TaskState.SUCCESS)
    world.airflow.write(run, "fit", "fine")
    world.airflow.end(run, RunState.SUCCESS)
    assert "fine" in await answer.text()


async def test_run_of_a_spec_in_its_id_needs_no_conf(world: ApiWorld) -> None:
    await world.start()
    world.submitted(runPolicy="OncePerSpec")
    key = ("team-a", "churn")
    world.jobs.edit(key, {"suspend": False, "backoffLimit": 3})
    job = await world.jobs.get(key)
    assert job is not None
    run_id = str(dag_run_id("mljob", "team-a", "churn", pin(job)))
    world.jobs.objects[key]["status"]["dagRunId"] = run_id
    run = world.airflow.queue("train", run_id, {})
    world.airflow.set_task(run, "fit", TaskState.RUNNING)
    world.airflow.write(run, "fit", "fine")
    await world.log()
    assert "inputs" not in world.airflow.calls
