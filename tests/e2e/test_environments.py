"""MLJobs whose Airflow is behind a gateway, or whose DAG is one of these:

- a DAG that needs a logical date
- a DAG that triggers another DAG
- a DAG that is paused or removed during a run
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

import pytest

from devstack.stack import Stack
from tests.conftest import REMOVABLE, NewInstallation
from tests.live.airflow import AirflowRest
from tests.live.airflow_instances import platform_of
from tests.live.authority import Authority
from tests.live.eventually import eventually
from tests.live.http_gateway import Answer, HttpGateway
from tests.live.installation import Installation
from tests.live.kubectl import Kubectl
from tests.live.mljobs import MLJobs, Object, manifest

DAY = "2026-01-02T00:00:00Z"
CHILD = "environments_child"
BEHIND: Object = {}
"""The fields of a spec that make an MLJob use the Airflow behind the gateway. The fixture ``jobs``
sets them.
"""
REMOVED = "environments_removed"
WITH_TWO_STEPS = f"""\
import time
from airflow.sdk import DAG, task

with DAG("{REMOVED}", schedule=None, is_paused_upon_creation=False):
    task(task_id="first")(lambda: time.sleep(600))() >> task(task_id="second")(lambda: None)()
"""
UNAUTHORIZED = Answer(401, b"<html>Unauthorized</html>", "text/html")


@pytest.fixture(scope="module")
def instances(new_installation: NewInstallation) -> Installation:
    return new_installation("environments", MLJOB_AIRFLOW_INSTANCES="true", MLJOB_AIRFLOW_URL="")


@pytest.fixture(scope="module")
def gateway(airflow: AirflowRest, stack: Stack) -> Iterator[tuple[HttpGateway, str, str]]:
    """A slow gateway in front of Airflow, the certificate of the gateway's CA, and the token that
    the gateway requires. The gateway uses TLS, serves Airflow under a path, and limits each page of
    a list to five entries.
    """
    authority = Authority()
    token = airflow.token()

    def guard(headers: Mapping[str, str]) -> Answer | None:
        return None if headers.get("authorization") == f"Bearer {token}" else UNAUTHORIZED

    with HttpGateway(
        stack.env["AIRFLOW_URL"], tls=authority.server(), prefix="/teams/ml", guard=guard, most_rows=5, latency=0.05
    ) as gateway:
        yield gateway, authority.certificate.decode(), token


@pytest.fixture(scope="module")
def jobs(
    instances: Installation, kubectl: Kubectl, stack: Stack, gateway: tuple[HttpGateway, str, str]
) -> Iterator[MLJobs]:
    """Creates and reads MLJobs in the namespace of this module's operator.

    The fixture also creates an AirflowInstance with the gateway's URL. The dict ``BEHIND`` contains
    the field ``airflowRef`` for the spec of an MLJob that uses this AirflowInstance.
    """
    way, ca, token = gateway
    with platform_of(instances, kubectl, stack) as platform:
        platform.make("gateway", url=way.url, tls={"caBundle": ca}, token=token)
        platform.until("gateway", "Ready")
        BEHIND["airflowRef"] = {"name": platform.name("gateway")}
        yield instances.jobs
    instances.operator.stop()


def warnings(jobs: MLJobs, name: str) -> dict[str, Object]:
    return {event["reason"]: event for event in jobs.events(name) if event["type"] == "Warning"}


def test_mljob_runs_from_submission_to_end_behind_a_gateway(jobs: MLJobs, airflow: AirflowRest) -> None:
    many = [{"name": "pairs", "taskId": "publish"}]
    jobs.apply(
        manifest("outputs", "environments_outputs", outputs=many, **BEHIND),
        manifest(
            "day", "environments_ds", logicalDate=DAY, outputs=[{"name": "day", "taskId": "for_the_day"}], **BEHIND
        ),
        manifest("leaves", "environments_parent", **BEHIND),
        manifest("ends", "environments_parent", cancellation={"children": "Cancel"}, **BEHIND),
    )

    ended = jobs.until_finished("outputs", "day")
    outputs = ended["outputs"]["status"]["outputs"]
    assert outputs == {
        **{f"o{number}": number for number in range(7)},
        "pairs": [[number, number] for number in range(7)],
    }
    assert ended["outputs"]["status"]["progress"] == "7/7"
    assert ended["day"]["status"]["outputs"] == {"day": "2026-01-02"}

    jobs.apply(manifest("the-same-day", "environments_ds", logicalDate=DAY, **BEHIND))
    waits = jobs.until("the-same-day", lambda status: status.get("reason") == "LogicalDateTaken", "LogicalDateTaken")
    assert ended["day"]["status"]["dagRunId"] in waits["message"]

    children = {}
    for name in ("leaves", "ends"):
        run_id = jobs.until_phase(name, "Running")["dagRunId"]
        children[name] = eventually(partial(child_of, airflow, run_id), f"{name} has started a child")
        jobs.kubectl("delete", "mljob", name, "--timeout=100s")
        assert airflow.run("environments_parent", run_id)["state"] == "failed"  # type: ignore[index]
    assert airflow.run(CHILD, children["leaves"])["state"] == "running"  # type: ignore[index]
    assert children["leaves"] in warnings(jobs, "leaves")["ChildrenLeft"]["message"]
    assert airflow.ended(CHILD, children["ends"])["state"] == "failed"
    told = {event["reason"]: event["message"] for event in jobs.events("ends")}
    assert children["ends"] in told["ChildrenCancelled"]
    airflow.end(CHILD, children["leaves"])


def child_of(airflow: AirflowRest, run_id: str) -> str | None:
    """Return the id of the child run that the parent run ``run_id`` has triggered. Return None if
    there is no child run yet, or if the child run is not running.
    """
    found = airflow.get(f"/dags/environments_parent/dagRuns/{run_id}/taskInstances/trigger/xcomEntries")["xcom_entries"]
    if not any(entry["key"] == "trigger_run_id" for entry in found):
        return None
    path = f"/dags/environments_parent/dagRuns/{run_id}/taskInstances/trigger/xcomEntries/trigger_run_id"
    child = str(airflow.get(path)["value"]).strip('"')
    run = airflow.run(CHILD, child)
    return child if run is not None and run["state"] == "running" else None


def test_dag_that_is_paused_during_a_run_is_reported(jobs: MLJobs, airflow: AirflowRest) -> None:
    jobs.submit("paused-in-mid-run", "environments_two_steps", **BEHIND)
    jobs.until("paused-in-mid-run", lambda status: status.get("currentTask") == "first", "the first task runs")
    airflow.pause("environments_two_steps", paused=True)
    try:
        status = jobs.until("paused-in-mid-run", lambda status: status.get("reason") == "DagPaused", "DagPaused")
        assert status["phase"] == "Running"
        eventually(lambda: warnings(jobs, "paused-in-mid-run").get("DagPaused"), "a Warning tells of it")
    finally:
        airflow.pause("environments_two_steps", paused=False)
    ended = jobs.until_finished("paused-in-mid-run")["paused-in-mid-run"]["status"]
    assert ended["phase"] == "Succeeded"


def test_dag_whose_file_is_removed_during_a_run_is_reported(jobs: MLJobs, airflow: AirflowRest, stack: Stack) -> None:
    file = stack.directory / REMOVABLE / "environments_removed.py"
    file.write_text(WITH_TWO_STEPS)
    eventually(lambda: airflow.get("/dags", dag_id_pattern=REMOVED)["dags"], "Airflow has found the DAG")
    jobs.submit("removed-in-mid-run", REMOVED, **BEHIND)
    jobs.until("removed-in-mid-run", lambda status: status.get("currentTask") == "first", "the first task runs")

    file.unlink()

    status = jobs.until("removed-in-mid-run", lambda status: status.get("reason") == "DagStale", "DagStale")
    assert status["phase"] == "Running"
    told = eventually(lambda: warnings(jobs, "removed-in-mid-run").get("DagStale"), "a Warning tells of it")
    assert "no DAG file" in told["message"]
    jobs.kubectl("delete", "mljob", "removed-in-mid-run", "--timeout=100s")
    assert airflow.ended(REMOVED, status["dagRunId"])["state"] == "failed"
