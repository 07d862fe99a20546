"""An MLJob that takes the outputs of another MLJob runs after the other MLJob has succeeded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from tests.live.airflow import AirflowRest
from tests.live.eventually import eventually
from tests.live.installation import Installation
from tests.live.kubectl import KubectlError
from tests.live.mljobs import MLJobs, Object, holds, manifest

DATA, STEP = "chained_data", "chained_step"
OUTPUTS = {"dataset": "digits", "rows": 2000, "labels": ["zero", "one"]}


def taking(name: str, *keys: str) -> Object:
    return {"outputsRef": {"name": name, **({"keys": list(keys)} if keys else {})}}


@pytest.fixture
def jobs(with_kafka: Installation) -> Iterator[MLJobs]:
    """An :class:`.MLJobs` object, which creates, reads and awaits MLJobs. The operator of the MLJobs
    reads events from Kafka. After each test, the MLJobs that the test has created are deleted.
    """
    before = set(with_kafka.jobs.all())
    yield with_kafka.jobs
    if names := set(with_kafka.jobs.all()) - before:
        with_kafka.jobs.kubectl("delete", "mljobs", "--wait=false", *names)
        with_kafka.jobs.until_gone(*names)


def conf_of(airflow: AirflowRest, status: Object) -> dict[str, Any]:
    conf: dict[str, Any] = airflow.ended(status["dagId"], status["dagRunId"])["conf"]
    return conf


def waits(reason: str) -> Any:
    return lambda status: (status.get("phase"), status.get("reason")) == ("Pending", reason)


@pytest.mark.every_airflow
def test_chain_that_is_applied_at_once_in_the_wrong_order_runs_in_order(
    jobs: MLJobs, airflow: AirflowRest, with_kafka: Installation
) -> None:
    with jobs.watch() as watch:
        jobs.apply(
            manifest("chain-predict", STEP, confFrom=[taking("chain-train"), taking("chain-data", "labels")]),
            manifest("chain-train", STEP, {"epochs": 3}, confFrom=[taking("chain-data", "dataset", "rows")]),
            manifest("chain-data", DATA),
        )
        names = ("chain-data", "chain-train", "chain-predict")
        found = {name: job["status"] for name, job in jobs.until_finished(*names).items()}
        eventually(
            lambda: watch.statuses("chain-predict")[-1].get("phase") == "Succeeded", "the watch has seen the end"
        )
    assert {status["phase"] for status in found.values()} == {"Succeeded"}, jobs.evidence(*names)

    train, predict = conf_of(airflow, found["chain-train"]), conf_of(airflow, found["chain-predict"])
    assert train == {"dataset": "digits", "rows": 2000, "epochs": 3}
    assert predict == {**train, "steps": 1, "labels": ["zero", "one"]}
    assert found["chain-predict"]["outputs"] == {**predict, "steps": 2}
    for name in names:
        assert len(airflow.runs(with_kafka.run_prefix(name))) == 1
    assert [taken["dagRunId"] for taken in found["chain-predict"]["upstreams"]] == [
        found["chain-train"]["dagRunId"],
        found["chain-data"]["dagRunId"],
    ]
    for before, after in (("chain-data", "chain-train"), ("chain-train", "chain-predict")):
        ended, submitted = found[before]["completionTime"], found[after]["submitTime"]
        assert datetime.fromisoformat(submitted) >= datetime.fromisoformat(ended)
    waited = [seen for seen in watch.statuses("chain-predict") if waits("WaitingForMLJob")(seen)]
    assert waited
    assert not any("dagRunId" in seen for seen in waited)
    reasons = {event["reason"] for event in jobs.events("chain-predict")}
    # The Event Running is left out while the Kubernetes API server is busy.
    assert reasons - {"Running"} == {"Submitted", "Succeeded"}, "waiting for another MLJob is no warning"


def test_failed_mljob_stops_the_chain_and_a_retry_continues_it(
    jobs: MLJobs, airflow: AirflowRest, with_kafka: Installation
) -> None:
    jobs.apply(
        manifest("stop-predict", STEP, confFrom=[taking("stop-train")]),
        manifest("stop-train", STEP, confFrom=[taking("stop-data")]),
        manifest("stop-data", DATA, {"fails_once": True}),
    )
    for name in ("stop-train", "stop-predict"):
        status = jobs.until(name, waits("DependencyFailed"), "tells that it gets no outputs")
        assert holds(status, "Stalled")
        assert "the warehouse was away" in status["message"]
        # The operator records an Event after the status that the Event tells of.
        warnings = eventually(
            lambda name=name: [event["reason"] for event in jobs.events(name) if event["type"] == "Warning"],  # type: ignore[misc]
            f"MLJob {name} has a Warning",
        )
        assert warnings == ["DependencyFailed"]
    assert not airflow.runs(with_kafka.run_prefix("stop-train"))

    run_id = jobs.status("stop-data")["dagRunId"]
    airflow.request("POST", f"/dags/{DATA}/dagRuns/{run_id}/clear", {"dry_run": False, "only_failed": True})
    found = jobs.until_finished("stop-data", "stop-train", "stop-predict")
    assert {job["status"]["phase"] for job in found.values()} == {"Succeeded"}, jobs.evidence(*found)
    assert conf_of(airflow, found["stop-train"]["status"]) == OUTPUTS
    assert [taken["attempt"] for taken in found["stop-train"]["status"]["upstreams"]] == [2]


def test_operator_that_restarts_continues_the_chain(
    jobs: MLJobs, airflow: AirflowRest, with_kafka: Installation
) -> None:
    jobs.apply(manifest("back-train", STEP, confFrom=[taking("back-data", "rows")]))
    jobs.until("back-train", waits("WaitingForMLJob"), "waits")
    with_kafka.operator.kill()
    jobs.apply(manifest("back-data", DATA, {"rows": 5}))
    with_kafka.operator.start()
    found = jobs.until_finished("back-data", "back-train")
    assert conf_of(airflow, found["back-train"]["status"]) == {"rows": 5}


def test_mljobs_that_wait_for_each_other_say_so_until_one_is_edited(jobs: MLJobs) -> None:
    jobs.apply(
        manifest("ring-a", STEP, confFrom=[taking("ring-b")]), manifest("ring-b", STEP, confFrom=[taking("ring-a")])
    )
    for name in ("ring-a", "ring-b"):
        status = jobs.until(name, waits("DependencyFailed"), "tells of the cycle")
        assert "wait for each other's outputs" in status["message"]
    jobs.kubectl("patch", "mljob", "ring-b", "--type=merge", "--patch", json.dumps({"spec": {"confFrom": []}}))
    found = jobs.until_finished("ring-a", "ring-b")
    assert {job["status"]["phase"] for job in found.values()} == {"Succeeded"}


def test_output_that_does_not_exist_is_named_and_an_edit_corrects_it(jobs: MLJobs, airflow: AirflowRest) -> None:
    jobs.apply(manifest("lack-data", DATA), manifest("lack-train", STEP, confFrom=[taking("lack-data", "row")]))
    status = jobs.until("lack-train", waits("DependencyFailed"), "misses an output")
    assert "succeeded without the output 'row'. Its outputs are dataset, labels, rows." in status["message"]
    corrected = {"spec": {"confFrom": [taking("lack-data", "rows")]}}
    jobs.kubectl("patch", "mljob", "lack-train", "--type=merge", "--patch", json.dumps(corrected))
    found = jobs.until_finished("lack-train")
    assert conf_of(airflow, found["lack-train"]["status"]) == {"rows": 2000}


def test_mljob_can_not_name_itself(jobs: MLJobs) -> None:
    with pytest.raises(KubectlError, match="outputsRef must name another MLJob"):
        jobs.apply(manifest("self", STEP, confFrom=[taking("self")]))
