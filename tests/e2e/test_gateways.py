"""While the URL of an AirflowInstance leads to a wrong server, the operator regards no run as
ended, and submits no run again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from benchmarks.simulated_airflow.airflow import Settings, SimulatedAirflow
from benchmarks.simulated_airflow.dags import Dag, cancellation_dag
from benchmarks.simulated_airflow.server import served
from devstack.stack import Stack
from tests.conftest import NewInstallation
from tests.live.airflow import AirflowRest
from tests.live.airflow_instances import WAIT, Platform, in_instance
from tests.live.eventually import eventually
from tests.live.http_gateway import EMPTY_OBJECT, NOT_FOUND, HttpGateway
from tests.live.installation import Installation
from tests.live.mljobs import MLJobs


@pytest.fixture(scope="module")
def instances(new_installation: NewInstallation) -> Installation:
    return new_installation("trust-instances", MLJOB_AIRFLOW_INSTANCES="true", MLJOB_AIRFLOW_URL="")


@pytest.fixture
def gateways() -> Iterator[ExitStack]:
    with ExitStack() as gateways:
        yield gateways


def asked(installation: Installation, operation: str) -> float:
    return installation.operator.requests().get(operation, 0)


def test_gateway_that_answers_404_neither_frees_a_run_nor_submits_a_second_one(
    platform: Platform, instances: Installation, gateways: ExitStack, airflow: AirflowRest, stack: Stack
) -> None:
    jobs: MLJobs = instances.jobs
    gateway = gateways.enter_context(HttpGateway(stack.env["AIRFLOW_URL"]))
    platform.make("gateway", url=gateway.url)
    platform.until("gateway", "Ready")
    jobs.apply(in_instance(platform, "gateway", "to-delete", 600), in_instance(platform, "gateway", "to-suspend", 600))
    runs = {name: jobs.until_phase(name, "Running")["dagRunId"] for name in ("to-delete", "to-suspend")}

    gateway.instead = NOT_FOUND
    jobs.kubectl("delete", "mljob", "to-delete", "--wait=false")
    jobs.kubectl("patch", "mljob", "to-suspend", "--type=merge", '--patch={"spec": {"suspend": true}}')
    platform.until("gateway", "Unreachable")
    jobs.kubectl("patch", "mljob", "to-suspend", "--type=merge", '--patch={"spec": {"suspend": false}}')
    looks = asked(instances, "probe")
    eventually(lambda: asked(instances, "probe") >= looks + 3, "the gateway is asked thrice more", within=120)
    assert jobs.exists("to-delete")
    assert airflow.run(WAIT, runs["to-delete"])["state"] == "running"  # type: ignore[index]
    assert len(airflow.runs(instances.run_prefix("to-suspend"))) == 1

    gateway.instead = None
    jobs.until_gone("to-delete")
    assert airflow.ended(WAIT, runs["to-delete"])["state"] == "failed"
    jobs.kubectl("delete", "mljob", "to-suspend", "--timeout=150s", timeout=180)
    states = [run["state"] for run in airflow.runs(instances.run_prefix("to-suspend"))]
    assert "running" not in states
    assert "queued" not in states


def test_instance_that_answers_nonsense_is_not_ready_and_affects_no_other(
    platform: Platform, instances: Installation, gateways: ExitStack, stack: Stack
) -> None:
    nonsense = gateways.enter_context(HttpGateway(stack.env["AIRFLOW_URL"], EMPTY_OBJECT))
    platform.make("nonsense", url=nonsense.url)
    platform.make("sound")
    platform.until("sound", "Ready")

    found = eventually(
        lambda: [
            each
            for each in (platform.get("nonsense").get("status") or {}).get("conditions") or ()
            if (each["type"], each["status"]) == ("Ready", "False") and each["reason"] != "NotAskedYet"
        ],
        "it says why it is not ready",
    )
    assert nonsense.url in found[0]["message"]
    looks = asked(instances, "probe")
    eventually(lambda: asked(instances, "probe") >= looks + 4, "it is looked after again", within=120)
    assert instances.operator.get("/livez")[0] == 200
    instances.jobs.apply(in_instance(platform, "sound", "beside-nonsense", 0))
    ended = instances.jobs.until_finished("beside-nonsense")["beside-nonsense"]["status"]
    assert ended["phase"] == "Succeeded"


def test_mljobs_are_not_judged_while_many_runs_have_vanished(
    platform: Platform, instances: Installation, gateways: ExitStack, airflow: AirflowRest, stack: Stack
) -> None:
    env, jobs = stack.env, instances.jobs
    another = SimulatedAirflow(
        [Dag(dag_id=WAIT, tasks=("wait",)), cancellation_dag()], Settings(env["AIRFLOW_USER"], env["AIRFLOW_PASSWORD"])
    )
    elsewhere = gateways.enter_context(served(another))
    gateway = gateways.enter_context(HttpGateway(env["AIRFLOW_URL"]))
    platform.make("moved", url=gateway.url)
    platform.until("moved", "Ready")
    names = [f"moved-{number}" for number in range(3)]
    jobs.apply(*(in_instance(platform, "moved", name, 600, backoffLimit=2) for name in names))
    runs = {name: jobs.until_phase(name, "Running")["dagRunId"] for name in names}

    gateway.target = elsewhere.url
    platform.until("moved", "RunsVanished", within=200)
    jobs.apply(in_instance(platform, "moved", "later", 0))
    jobs.until("later", lambda status: status.get("reason") == "AirflowInstanceNotReady", "it waits")
    looks = asked(instances, "active_runs")
    eventually(lambda: asked(instances, "active_runs") >= looks + 2, "another relist is taken")
    assert elsewhere.do(lambda airflow: len(airflow.store)) == 0
    for name in names:
        status = jobs.status(name)
        assert (status["phase"], status["reason"], status["attempts"]) == ("Running", "RunsVanished", 1)
        assert jobs.get(name)["metadata"]["finalizers"]

    gateway.target = env["AIRFLOW_URL"]
    platform.until("moved", "Ready", within=200)
    assert jobs.until_finished("later")["later"]["status"]["phase"] == "Succeeded"
    assert {airflow.run(WAIT, run_id)["state"] for run_id in runs.values()} == {"running"}  # type: ignore[index]
    jobs.remove_all()
    jobs.until_gone(*names)
