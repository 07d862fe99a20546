from __future__ import annotations

import json
from urllib.parse import quote

import pytest

from tests.live.airflow import AirflowRest
from tests.live.installation import Installation
from tests.live.mljobs import holds

DAG_ID = "declared"
NETWORK = {"width": 3, "branches": [{"width": 2}, {"width": 4, "branches": [{"width": 1}]}]}

pytestmark = pytest.mark.every_airflow


def test_nested_params_reach_the_task_typed_and_published_values_become_outputs(
    with_kafka: Installation, airflow: AirflowRest
) -> None:
    jobs = with_kafka.jobs
    jobs.submit("nested", DAG_ID, {"model_id": "digits", "optimizer": {"kind": "sgd"}, "network": NETWORK})

    status = jobs.until_finished("nested")["nested"]["status"]

    assert status["phase"] == "Succeeded", jobs.evidence("nested")
    assert status["outputs"] == {"width": 10, "rate": "sgd", "breadth": 1}
    path = f"/dags/{DAG_ID}/dagRuns/{quote(status['dagRunId'], safe='')}/taskInstances/measure/logs/1"
    warnings = [line["event"] for line in airflow.get(path)["content"] if line.get("level") == "warning"]
    assert any("does not declare the output 'breadth'" in said for said in warnings), warnings
    assert any("The value 'sgd' does not fit" in said for said in warnings), warnings


def test_contradictory_params_fail_without_a_retry_and_the_status_says_why(with_kafka: Installation) -> None:
    jobs = with_kafka.jobs
    jobs.submit("contradicts-itself", DAG_ID, {"model_id": "digits", "epochs": 20, "limit": 5})

    status = jobs.until_finished("contradicts-itself")["contradicts-itself"]["status"]

    assert status["phase"] == "Failed"
    [task] = status["tasks"]
    # The profile allows a second try, which would change nothing.
    assert task["tryNumber"] == 1
    assert "limit is below epochs" in json.dumps(status)


@pytest.mark.parametrize(
    ("conf", "named"),
    [
        ({}, "model_id"),
        ({"model_id": "digits", "optimizer": {"kind": "lion"}}, "lion"),
        ({"model_id": "digits", "network": {"width": 1, "branches": [{"width": 0}]}}, "branches"),
        ({"model_id": "digits", "epoch": 3}, "epochs"),
    ],
)
def test_invalid_conf_is_refused_before_a_run(
    conf: dict[str, object], named: str, with_kafka: Installation, airflow: AirflowRest
) -> None:
    jobs, name = with_kafka.jobs, f"refused-{named.replace('_', '-')}"
    jobs.submit(name, DAG_ID, conf)

    refused = jobs.until(name, lambda status: status.get("reason") == "ValidationFailed", "it is refused")

    # Not Failed: a changed spec.conf is enough to run the MLJob.
    assert refused["phase"] == "Pending"
    assert named in refused["message"]
    assert airflow.runs(with_kafka.run_prefix(name)) == []


def test_unknown_param_of_another_dag_is_a_warning(with_kafka: Installation) -> None:
    jobs = with_kafka.jobs
    jobs.submit("unknown-param", "attempts_infer", {"x": 1, "xs": 2})

    status = jobs.until_finished("unknown-param")["unknown-param"]["status"]

    assert status["phase"] == "Succeeded", jobs.evidence("unknown-param")
    assert holds(status, "UnknownParams")
    jobs.until_told("unknown-param", "UnknownParams")
