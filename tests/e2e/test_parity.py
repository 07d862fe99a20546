"""For whatever a DAG does, the status says what Airflow says: with Kafka, and without."""

from __future__ import annotations

import pytest

from tests.e2e.parity import dag_ids, differences
from tests.live.airflow import AirflowRest
from tests.live.eventually import eventually
from tests.live.installation import Installation
from tests.live.mljobs import Object, finished, holds, manifest

WAITS_FOR_A_PERSON = {"parity_paused"}
"""In test_submission."""
CONF: dict[str, dict[str, object]] = {
    "parity_params": {"count": 3},
    "parity_long_running": {"seconds": 2},
    "parity_long_running_teardown": {"seconds": 1},
    "parity_mapped_many": {"count": 25},  # with hundreds: tests/integration/test_requests.py
}
DAG_IDS = sorted(set(dag_ids()) - WAITS_FOR_A_PERSON)
BOUND = 600

pytestmark = pytest.mark.timeout(BOUND + 60)


def job_name(dag_id: str) -> str:
    return dag_id.replace("_", "-")


@pytest.fixture(scope="module")
def all_submitted(with_kafka: Installation, rest_only: Installation) -> None:
    """Every DAG once for either operator, all at the same time: the tests then wait for theirs."""
    for installation in (with_kafka, rest_only):
        installation.jobs.apply(*(manifest(job_name(dag_id), dag_id, CONF.get(dag_id)) for dag_id in DAG_IDS))


def test_every_dag_of_the_folder_is_in_airflow(airflow: AirflowRest) -> None:
    eventually(lambda: sorted(airflow.dags(tags="parity")) == dag_ids(), "all DAGs are parsed", within=120)


@pytest.mark.parametrize("source", ["with_kafka", "rest_only"])
@pytest.mark.parametrize("dag_id", DAG_IDS)
@pytest.mark.usefixtures("all_submitted")
def test_the_status_says_what_airflow_says(
    dag_id: str, source: str, airflow: AirflowRest, request: pytest.FixtureRequest
) -> None:
    jobs = request.getfixturevalue(source).jobs
    name = job_name(dag_id)

    status = jobs.until_finished(name, within=BOUND)[name]["status"]

    assert not differences(status, airflow), jobs.evidence(name)
    assert_conditions_agree_with_phase(status)


@pytest.mark.usefixtures("all_submitted")
def test_without_kafka_every_fact_comes_from_rest(rest_only: Installation) -> None:
    sources = [found["status"]["statusSource"] for found in rest_only.jobs.all().values() if finished(found)]

    assert set(sources) == {"REST"}


@pytest.mark.usefixtures("all_submitted")
def test_with_kafka_the_facts_are_pushed(with_kafka: Installation) -> None:
    seen = with_kafka.operator.metrics()

    assert seen["mljob_events_total", "applied"] > 100
    assert seen.get(("mljob_events_total", "unreadable"), 0) == 0


@pytest.mark.parametrize("source", ["with_kafka", "rest_only"])
@pytest.mark.usefixtures("all_submitted")
def test_every_mljob_has_exactly_one_run(source: str, airflow: AirflowRest, request: pytest.FixtureRequest) -> None:
    installation: Installation = request.getfixturevalue(source)

    for dag_id in DAG_IDS:
        name = job_name(dag_id)
        assert [run["dag_id"] for run in airflow.runs(installation.run_prefix(name))] == [dag_id]


def assert_conditions_agree_with_phase(status: Object) -> None:
    assert holds(status, "Complete") is (True if status["phase"] == "Succeeded" else None)
    assert holds(status, "Failed") is (True if status["phase"] == "Failed" else None)
    assert holds(status, "Reconciling") is False
    assert holds(status, "Stalled") is (status["phase"] == "Failed")
