from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from devstack.stack import Stack
from tests.conftest import PARALLELISM
from tests.e2e.cancellation import CANCELLER, LONG, OVER, TASKS_AT_ONCE, Work, assert_run_is_over, cancellation, delete
from tests.e2e.ten_runs import BOUND, DAGS, assert_all_ended_right, some, submit_ten
from tests.live.airflow import AirflowRest
from tests.live.eventually import eventually
from tests.live.installation import Installation
from tests.live.mljobs import MLJobs, Object, assert_waiting, manifest
from tests.live.operators import OperatorProcess

pytestmark = [pytest.mark.timeout(BOUND + 240), pytest.mark.disruptive]


@pytest.fixture(autouse=True)
def whole_again(stack: Stack) -> Iterator[None]:
    yield
    stack.start("kafka")
    stack.start("airflow-api-server")


@pytest.fixture(autouse=True, scope="module")
def standbys(with_kafka: Installation, rest_only: Installation) -> Iterator[None]:
    replicas = [(made.operator, made.operator.replica().start()) for made in (with_kafka, rest_only)]
    yield
    for operator, replica in replicas:
        eventually(partial(one_leads, operator, replica), "one replica leads", within=30)
        replica.stop()


def one_leads(operator: OperatorProcess, replica: OperatorProcess) -> bool:
    return operator.leads() is not replica.leads()


def test_ten_runs_end_right_when_kafka_dies(with_kafka: Installation, airflow: AirflowRest, stack: Stack) -> None:
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

    # The same process reads events again.
    before = operator.metrics().get(("mljob_events_total", "applied"), 0)
    jobs.submit("after-kafka-came-back", "parity_nested_groups")
    jobs.until_finished("after-kafka-came-back")
    eventually(
        lambda: operator.metrics()[("mljob_events_total", "applied")] > before,
        "events are applied again",
        evidence=operator.log_end,
    )


def test_run_ends_right_when_airflows_api_server_dies(
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


def test_deletion_waits_for_an_unreachable_airflow_only_until_the_timeout(
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


def test_submission_waits_until_airflow_is_reachable_again(with_kafka: Installation, stack: Stack) -> None:
    stack.stop("airflow-api-server")
    try:
        with_kafka.jobs.submit("patient", "parity_empty")
        status = with_kafka.jobs.until(
            "patient", lambda status: status.get("reason") == "AirflowUnavailable", "AirflowUnavailable"
        )
        assert_waiting(status, "AirflowUnavailable")
        assert stack.env["AIRFLOW_URL"] in status["message"]
        # An unreachable Airflow must not restart the operator or make it unready, because neither
        # would help.
        assert with_kafka.operator.get("/livez")[0] == 200
        assert with_kafka.operator.get("/readyz")[0] == 200
    finally:
        stack.start("airflow-api-server")

    assert with_kafka.jobs.until_finished("patient")["patient"]["status"]["phase"] == "Succeeded"


def test_run_is_cancelled_by_rest_if_the_cancellation_dag_is_paused(
    work: Work, with_kafka: Installation, airflow: AirflowRest
) -> None:
    [worker] = work.begin(with_kafka, "canceller-paused")
    airflow.pause(CANCELLER, paused=True)
    try:
        run_id = delete(with_kafka.jobs, "canceller-paused")
    finally:
        airflow.pause(CANCELLER, paused=False)

    assert_run_is_over(airflow, run_id)
    assert cancellation(airflow, run_id) is None
    worker.until_it_is_gone()


def test_run_is_cancelled_by_rest_if_the_cancellation_dag_gets_no_slot(
    work: Work, with_kafka: Installation, airflow: AirflowRest
) -> None:
    names = [f"greedy-{number}" for number in range(PARALLELISM // TASKS_AT_ONCE + 1)]
    with_kafka.jobs.apply(*(manifest(name, LONG) for name in names))

    def taken() -> bool:
        return running(with_kafka.jobs, names) >= PARALLELISM

    try:
        eventually(taken, "all slots are taken", within=240, evidence=partial(with_kafka.jobs.evidence, *names))
        run_ids = [with_kafka.jobs.status(name)["dagRunId"] for name in names]
        with_kafka.jobs.kubectl("delete", "mljobs", *names, "--timeout=240s", timeout=270)
    finally:
        work.leave_none_of(with_kafka)

    for run_id in run_ids:
        assert_run_is_over(airflow, run_id)
        # Late runs of the cancellation DAG find nothing to do, but they delay the cancellations of
        # the next test until they have ended.
        eventually(lambda run_id=run_id: cancellation(airflow, run_id) in (None, *OVER), "it has ended", within=240)  # type: ignore[misc]


def running(jobs: MLJobs, names: list[str]) -> int:
    found = jobs.all()
    return sum(found[name].get("status", {}).get("taskCounts", {}).get("running", 0) for name in names)
