"""If an obstacle prevents an MLJob's run, the status names the obstacle and says what to do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from devstack.stack import Stack
from tests.conftest import NewInstallation
from tests.live.airflow import AirflowRest
from tests.live.installation import Installation
from tests.live.mljobs import assert_waiting, holds

PAUSED = "submission_paused"
"""A paused DAG that no other test uses, because a test unpauses it."""


def test_unknown_dag_is_waited_for(with_kafka: Installation) -> None:
    with_kafka.jobs.submit("early", "not_deployed_yet")

    status = with_kafka.jobs.until("early", lambda status: status.get("reason") == "DagNotFound", "DagNotFound")

    assert_waiting(status, "DagNotFound")
    assert "not_deployed_yet" in status["message"]
    assert "submitTime" not in status
    assert "dagRunUrl" not in status
    with_kafka.jobs.until_told("early", "DagNotFound")
    assert "Warning" in [event["type"] for event in with_kafka.jobs.events("early") if event["reason"] == "DagNotFound"]


def test_corrected_dag_id_is_run_at_once(with_kafka: Installation, airflow: AirflowRest) -> None:
    with_kafka.jobs.submit("misspelt", "parity_emty")
    with_kafka.jobs.until("misspelt", lambda status: status.get("reason") == "DagNotFound", "DagNotFound")

    with_kafka.jobs.submit("misspelt", "parity_empty")

    status = with_kafka.jobs.until_finished("misspelt")["misspelt"]["status"]
    assert status["phase"] == "Succeeded"
    assert status["dagId"] == "parity_empty"
    assert len(airflow.runs(with_kafka.run_prefix("misspelt"))) == 1


def test_dag_that_cannot_be_imported_is_named_with_its_file(with_kafka: Installation) -> None:
    with_kafka.jobs.submit("broken", "parity_import_error")

    # Airflow has no DAG for a file that it has never been able to import.
    refused = ("DagImportError", "DagNotFound")
    status = with_kafka.jobs.until("broken", lambda status: status.get("reason") in refused, "refused")

    assert_waiting(status, status["reason"])
    assert "parity_import_error.py" in status["message"]
    assert "meant to fail" in status["message"]


def test_mljob_with_refused_params_stalls_until_they_are_corrected(
    with_kafka: Installation, airflow: AirflowRest
) -> None:
    with_kafka.jobs.submit("refused", "parity_params", {"count": 11})

    status = with_kafka.jobs.until("refused", lambda status: status.get("reason") == "ValidationFailed", "refused")

    assert status["phase"] == "Pending"
    assert holds(status, "Stalled") is True
    assert holds(status, "Reconciling") is False
    assert "count" in status["message"]
    assert "spec.conf" in status["message"]
    assert airflow.runs(with_kafka.run_prefix("refused")) == []

    with_kafka.jobs.submit("refused", "parity_params", {"count": 10, "mode": "slow"})

    found = with_kafka.jobs.until_finished("refused")["refused"]
    assert found["status"]["phase"] == "Succeeded"
    assert found["status"]["observedGeneration"] == found["metadata"]["generation"] == 2
    assert holds(found["status"], "Stalled") is False
    [run] = airflow.runs(with_kafka.run_prefix("refused"))
    assert run["conf"] == {"count": 10, "mode": "slow"}


@pytest.fixture
def paused_dag(airflow: AirflowRest) -> Iterator[str]:
    airflow.pause(PAUSED, paused=True)
    yield PAUSED
    airflow.pause(PAUSED, paused=True)


@pytest.mark.parametrize("source", ["with_kafka", "rest_only"])
def test_run_of_a_paused_dag_waits_and_the_status_says_so(
    source: str, paused_dag: str, airflow: AirflowRest, request: pytest.FixtureRequest
) -> None:
    jobs = request.getfixturevalue(source).jobs
    jobs.submit("paused", paused_dag)
    jobs.until("paused", lambda status: status.get("submitTime"), "submitted")

    # The operator promises ten seconds; the rest allows for a busy machine.
    status = jobs.until("paused", lambda status: status.get("reason") == "DagPaused", "DagPaused", within=20)

    assert status["phase"] == "Queued"
    assert holds(status, "Reconciling") is True
    assert paused_dag in status["message"]
    assert "unpause" in status["message"].lower()
    jobs.until_told("paused", "DagPaused")

    airflow.pause(paused_dag, paused=False)
    status = jobs.until_finished("paused")["paused"]["status"]
    assert status["phase"] == "Succeeded"


def test_wrong_credentials_are_reported_as_wrong(
    installation: NewInstallation, airflow: AirflowRest, stack: Stack
) -> None:
    stranger = installation("stranger", MLJOB_AIRFLOW_PASSWORD="not-the-password")
    stranger.jobs.submit("refused", "parity_empty")

    status = stranger.jobs.until(
        "refused", lambda status: status.get("reason") == "AirflowUnauthorized", "AirflowUnauthorized"
    )

    assert_waiting(status, "AirflowUnauthorized")
    assert "credentials" in status["message"]
    assert "not-the-password" not in "\n".join([status["message"], *stranger.operator.log()])
    assert airflow.runs(stranger.run_prefix("refused")) == []

    # The operator receives a corrected Secret when its pod restarts.
    stranger.operator.stop()
    stranger.operator.start(MLJOB_AIRFLOW_PASSWORD=stack.env["AIRFLOW_PASSWORD"])
    assert stranger.jobs.until_finished("refused")["refused"]["status"]["phase"] == "Succeeded"
