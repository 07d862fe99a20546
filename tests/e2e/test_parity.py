"""The status of an MLJob agrees with Airflow, for an operator with Kafka and for an operator
without Kafka.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.parity import dag_ids, differences
from tests.live.airflow import AirflowRest
from tests.live.eventually import eventually
from tests.live.installation import Installation
from tests.live.kubectl import Watch
from tests.live.mljobs import Object, finished, holds, manifest

WAITS_FOR_A_PERSON = {"parity_paused"}
"""DAGs whose runs wait until a person acts, for example unpauses the DAG.
tests/e2e/test_attempts.py tests these DAGs.
"""
CONF: dict[str, dict[str, object]] = {
    "parity_params": {"count": 3},
    "parity_long_running": {"seconds": 2},
    "parity_long_running_teardown": {"seconds": 1},
    # tests/integration/test_requests.py runs this DAG with more instances.
    "parity_mapped_many": {"count": 25},
}
DAG_IDS = sorted(set(dag_ids()) - WAITS_FOR_A_PERSON)
ON_EVERY_AIRFLOW = {"parity_branch", "parity_deferral", "parity_mapped", "parity_retries", "parity_setup_teardown"}
"""The DAGs whose task instances and events come from the parts of Airflow that change most between
versions.
"""
BOUND = 600

pytestmark = pytest.mark.timeout(BOUND + 60)


def job_name(dag_id: str) -> str:
    return dag_id.replace("_", "-")


@pytest.fixture(scope="module")
def submitted(request: pytest.FixtureRequest, with_kafka: Installation, rest_only: Installation) -> list[str]:
    """The ids of the DAGs that the selected tests need. The operator with Kafka and the operator
    without Kafka each have an MLJob for every one of these DAGs.
    """
    about: Iterator[dict[str, Any]] = (
        item.callspec.params
        for item in request.session.items
        if isinstance(item, pytest.Function) and hasattr(item, "callspec")
    )
    asked_for = sorted({params["dag_id"] for params in about if params.get("dag_id") in DAG_IDS}) or DAG_IDS
    for installation in (with_kafka, rest_only):
        installation.jobs.apply(*(manifest(job_name(dag_id), dag_id, CONF.get(dag_id)) for dag_id in asked_for))
    return asked_for


def test_airflow_has_every_dag_of_the_folder(airflow: AirflowRest) -> None:
    eventually(lambda: sorted(airflow.dags(tags="parity")) == dag_ids(), "all DAGs are parsed", within=120)


@pytest.mark.parametrize("source", ["with_kafka", "rest_only"])
@pytest.mark.parametrize(
    "dag_id",
    [pytest.param(dag_id, marks=pytest.mark.every_airflow if dag_id in ON_EVERY_AIRFLOW else ()) for dag_id in DAG_IDS],
)
@pytest.mark.usefixtures("submitted")
def test_status_agrees_with_airflow(
    dag_id: str, source: str, airflow: AirflowRest, request: pytest.FixtureRequest
) -> None:
    jobs = request.getfixturevalue(source).jobs
    name = job_name(dag_id)

    status = jobs.until_finished(name, within=BOUND)[name]["status"]

    assert not differences(status, airflow), jobs.evidence(name)
    assert_conditions_agree_with_phase(status)


@pytest.mark.usefixtures("submitted")
def test_every_fact_comes_from_rest_without_kafka(rest_only: Installation) -> None:
    sources = [found["status"]["statusSource"] for found in rest_only.jobs.all().values() if finished(found)]

    assert set(sources) == {"REST"}


@pytest.mark.usefixtures("submitted")
def test_facts_come_from_events_with_kafka(with_kafka: Installation) -> None:
    seen = with_kafka.operator.metrics()

    assert seen["mljob_events_total", "applied"] > 100
    assert seen.get(("mljob_events_total", "unreadable"), 0) == 0


@pytest.mark.every_airflow
def test_progress_is_shown_during_the_run(with_kafka: Installation, rest_only: Installation, tmp_path: Path) -> None:
    wake = tmp_path / "wake"
    sources = {"Kafka": with_kafka.jobs, "REST": rest_only.jobs}

    def under_way(status: Object) -> bool:
        states = {task["taskId"]: task["state"] for task in status.get("tasks") or ()}
        walked = [states.get(task) for task in ("before", "sleeps", "after")] == ["success", "running", "none"]
        return walked and status["progress"] == "1/6"

    with with_kafka.jobs.watch() as pushed, rest_only.jobs.watch() as read:
        for jobs in sources.values():
            jobs.submit("seen", "parity_long_running", {"wake_file": str(wake)})
        for jobs in sources.values():
            status = jobs.until("seen", under_way, "one task is done, the next one runs")
            assert status["phase"] == "Running"
            assert 0 < status["percent"] < 100
        wake.touch()
        for jobs in sources.values():
            status = jobs.until_finished("seen")["seen"]["status"]
            assert (status["phase"], status["progress"], status["percent"]) == ("Succeeded", "6/6", 100)
        for source, watch in (("Kafka", pushed), ("REST", read)):
            eventually(lambda s=source, w=watch: s in told_by(w, "seen"), f"{source} has told something")  # type: ignore[misc]
    assert told_by(read, "seen") == {"REST"}


def told_by(watch: Watch, name: str) -> set[str]:
    return {status["statusSource"] for status in watch.statuses(name) if "statusSource" in status}


@pytest.mark.parametrize("source", ["with_kafka", "rest_only"])
def test_each_mljob_has_exactly_one_run(
    source: str, submitted: list[str], airflow: AirflowRest, request: pytest.FixtureRequest
) -> None:
    installation: Installation = request.getfixturevalue(source)

    for dag_id in submitted:
        name = job_name(dag_id)
        assert [run["dag_id"] for run in airflow.runs(installation.run_prefix(name))] == [dag_id]


def assert_conditions_agree_with_phase(status: Object) -> None:
    assert holds(status, "Complete") is (True if status["phase"] == "Succeeded" else None)
    assert holds(status, "Failed") is (True if status["phase"] == "Failed" else None)
    assert holds(status, "Reconciling") is False
    assert holds(status, "Stalled") is (status["phase"] == "Failed")
