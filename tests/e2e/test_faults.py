"""Kafka, the operator and Airflow's api-server die in mid-run: every status ends right, and no run is started twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import cycle

import pytest

from devstack.stack import Stack
from tests.conftest import NewInstallation
from tests.e2e.parity import differences
from tests.live.airflow import AirflowRest
from tests.live.eventually import eventually
from tests.live.installation import Installation
from tests.live.mljobs import MLJobs, Object, manifest

DAGS = ("parity_retries", "parity_deferral", "parity_branch", "parity_states", "parity_mapped")
OVER = frozenset({"success", "failed"})
BOUND = 480

pytestmark = pytest.mark.timeout(BOUND + 240)


@pytest.fixture(autouse=True)
def whole_again(request: pytest.FixtureRequest, stack: Stack) -> Iterator[None]:
    """Whatever a test has ended runs again for the next."""
    yield
    if request.node.get_closest_marker("disruptive") is None:
        return
    stack.start("kafka")
    stack.start("airflow-api-server")


def submit_ten(jobs: MLJobs, prefix: str) -> list[str]:
    names = [f"{prefix}-{number}" for number in range(10)]
    jobs.apply(*(manifest(name, dag_id) for name, dag_id in zip(names, cycle(DAGS), strict=False)))
    return names


def runs_over(airflow: AirflowRest, installation: Installation) -> int:
    prefix = f"{installation.operator.prefix}.{installation.jobs.namespace}."
    return sum(run["state"] in OVER for run in airflow.runs(prefix))


def assert_all_ended_right(installation: Installation, names: list[str], airflow: AirflowRest) -> None:
    """Each as Airflow has it, and each with one run."""
    ended = installation.jobs.until_finished(*names, within=BOUND)
    for name in names:
        status = ended[name]["status"]
        assert len(airflow.runs(installation.run_prefix(name))) == 1
        assert not differences(status, airflow), installation.jobs.evidence(name)


def some(jobs: MLJobs, names: list[str], count: int, condition: Callable[[Object], object], what: str) -> None:
    """Wait until that many of them fulfil the condition."""

    def look() -> bool:
        found = jobs.all()
        return sum(bool(condition(found[name].get("status", {}))) for name in names) >= count

    eventually(
        look, f"{count} of {len(names)} MLJobs: {what}", within=BOUND, evidence=lambda: jobs.evidence(*names[:2])
    )


@pytest.mark.disruptive
def test_kafka_dies_during_ten_runs(with_kafka: Installation, airflow: AirflowRest, stack: Stack) -> None:
    jobs, operator = with_kafka.jobs, with_kafka.operator
    names = submit_ten(jobs, "kafka-dies")
    some(jobs, names, 3, lambda status: status.get("taskCounts", {}).get("success"), "a task has succeeded")

    stack.kill("kafka")
    ended = sum(jobs.status(name).get("phase") in ("Succeeded", "Failed") for name in names)
    some(
        jobs,
        names,
        min(ended + 2, len(names)),
        lambda status: status.get("phase") in ("Succeeded", "Failed"),
        "ended without Kafka",
    )
    assert operator.get("/livez")[0] == operator.get("/readyz")[0] == 200
    stack.start("kafka")

    assert_all_ended_right(with_kafka, names, airflow)

    # And events are read again, by the same process.
    before = operator.metrics().get(("mljob_events_total", "applied"), 0)
    jobs.submit("after-kafka-came-back", "parity_nested_groups")
    jobs.until_finished("after-kafka-came-back")
    eventually(
        lambda: operator.metrics()[("mljob_events_total", "applied")] > before,
        "events are applied again",
        evidence=operator.log_end,
    )


def test_the_operator_dies_during_ten_runs(installation: NewInstallation, airflow: AirflowRest) -> None:
    mortal = installation("mortal")
    prefix = f"{mortal.operator.prefix}.{mortal.jobs.namespace}."
    names = submit_ten(mortal.jobs, "operator-dies")

    # The first time amid the submissions ...
    eventually(lambda: airflow.runs(prefix), "a run is submitted", evidence=mortal.operator.log_end)
    mortal.operator.kill()
    mortal.operator.start()

    # ... and again amid the runs: what happens while it is away gives it no event.
    some(mortal.jobs, names, 3, lambda status: status.get("taskCounts", {}).get("success"), "a task has succeeded")
    mortal.operator.kill()
    over = runs_over(airflow, mortal)
    eventually(lambda: runs_over(airflow, mortal) >= min(over + 2, 10), "runs end without an operator", within=BOUND)
    mortal.operator.start()

    assert_all_ended_right(mortal, names, airflow)


@pytest.mark.disruptive
def test_the_api_server_of_airflow_dies_in_mid_run(
    with_kafka: Installation, rest_only: Installation, airflow: AirflowRest, stack: Stack
) -> None:
    names = [f"api-server-dies-{number}" for number in range(3)]
    for installation in (with_kafka, rest_only):
        installation.jobs.apply(*(manifest(name, dag_id) for name, dag_id in zip(names, DAGS, strict=False)))
    for installation in (with_kafka, rest_only):
        some(
            installation.jobs, names, 1, lambda status: status.get("taskCounts", {}).get("success"), "a task succeeded"
        )

    stack.kill("airflow-api-server")
    stack.start("airflow-api-server")

    for installation in (with_kafka, rest_only):
        assert_all_ended_right(installation, names, airflow)


@pytest.mark.disruptive
def test_deletion_does_not_wait_for_ever_for_an_airflow_that_is_gone(
    with_kafka: Installation, airflow: AirflowRest, stack: Stack
) -> None:
    jobs = with_kafka.jobs
    jobs.submit("let-go", "parity_long_running", cancellation={"timeoutSeconds": 3})
    run_id = jobs.until_phase("let-go", "Running")["dagRunId"]

    stack.kill("airflow-api-server")
    jobs.kubectl("delete", "mljob", "let-go", "--timeout=100s")

    def warnings() -> list[Object]:
        return [event for event in jobs.events("let-go") if event["reason"] == "CancellationAbandoned"]

    [warning] = eventually(warnings, "a Warning tells of it")
    assert warning["type"] == "Warning"
    assert run_id in warning["message"]

    stack.start("airflow-api-server")
    airflow.end("parity_long_running", run_id)
