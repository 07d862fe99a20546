"""The deletion of MLJobs cancels their active runs, unless the deletion policy is Retain."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import NewInstallation
from tests.e2e.cancellation import CANCELLER, LONG, Work, assert_run_is_over, cancellation, delete
from tests.live.airflow import AirflowRest
from tests.live.eventually import eventually
from tests.live.installation import Installation


@pytest.mark.parametrize("source", [pytest.param("with_kafka", marks=pytest.mark.every_airflow), "rest_only"])
def test_cancellation_dag_ends_the_run(
    source: str, work: Work, request: pytest.FixtureRequest, airflow: AirflowRest
) -> None:
    installation: Installation = request.getfixturevalue(source)
    jobs, [worker] = installation.jobs, work.begin(installation, "by-dag")
    with jobs.watch("by-dag") as watch:
        run_id = delete(jobs, "by-dag")

        assert_run_is_over(airflow, run_id)
        eventually(lambda: cancellation(airflow, run_id) == "success", f"{CANCELLER} has succeeded")
        worker.until_it_is_gone()
        eventually(lambda: "DELETED" in [kind for kind, _ in watch.events()], "the watch tells of it")
    phases = [status.get("phase") for status in watch.statuses("by-dag")]
    assert "Cancelling" in phases
    assert phases[-1] == "Cancelled"
    jobs.until_told("by-dag", "Cancelling", "Cancelled")


def test_strategy_api_ends_the_run_without_the_cancellation_dag(
    work: Work, with_kafka: Installation, airflow: AirflowRest
) -> None:
    [worker] = work.begin(with_kafka, "by-api", cancellation={"strategy": "Api"})

    run_id = delete(with_kafka.jobs, "by-api")

    assert_run_is_over(airflow, run_id)
    assert cancellation(airflow, run_id) is None
    worker.until_it_is_gone()


def test_retained_run_continues_after_its_mljob_is_deleted(
    work: Work, with_kafka: Installation, airflow: AirflowRest
) -> None:
    [worker] = work.begin(with_kafka, "to-stay", deletionPolicy="Retain")

    run_id = delete(with_kafka.jobs, "to-stay")

    run = airflow.run(LONG, run_id)
    assert run is not None
    assert run["state"] == "running"
    assert cancellation(airflow, run_id) is None
    assert worker.works


def test_teardown_tasks_release_the_resources_of_a_cancelled_run(
    tmp_path: Path, with_kafka: Installation, airflow: AirflowRest
) -> None:
    file = tmp_path / "torn-down"
    with_kafka.jobs.submit("holds", "parity_long_running_teardown", {"torn_down_file": str(file)})
    with_kafka.jobs.until("holds", lambda status: status.get("currentTask") == "hold", "it holds something", within=240)

    run_id = delete(with_kafka.jobs, "holds")

    eventually(file.exists, "the teardown has run", within=30)
    eventually(lambda: cancellation(airflow, run_id) == "success", f"{CANCELLER} has succeeded")
    assert airflow.ended("parity_long_running_teardown", run_id)["state"] == "failed"


def test_mljob_without_a_run_is_deleted_at_once(with_kafka: Installation, airflow: AirflowRest) -> None:
    with_kafka.jobs.submit("runless", "no_such_dag")
    with_kafka.jobs.until("runless", lambda status: status.get("reason") == "DagNotFound", "DagNotFound")

    with_kafka.jobs.kubectl("delete", "mljob", "runless", "--timeout=60s")

    assert airflow.runs(with_kafka.run_prefix("runless")) == []


def test_finished_mljob_can_be_deleted_while_the_operator_is_down(installation: NewInstallation) -> None:
    short = installation("short-lived")
    short.jobs.submit("done", "parity_empty")
    done = short.jobs.until_finished("done")["done"]
    assert "finalizers" not in done["metadata"]

    short.operator.kill()
    short.jobs.kubectl("delete", "mljob", "done", "--timeout=10s")


def test_deletion_requested_while_the_operator_was_down_is_completed(
    work: Work, installation: NewInstallation, airflow: AirflowRest
) -> None:
    absent = installation("absent")
    [worker] = work.begin(absent, "orphan")
    run_id = absent.jobs.status("orphan")["dagRunId"]
    absent.operator.kill()
    absent.jobs.kubectl("delete", "mljob", "orphan", "--wait=false")

    absent.operator.start()
    absent.jobs.until_gone("orphan", within=240)

    assert_run_is_over(airflow, run_id)
    worker.until_it_is_gone()
