"""An MLJob works with kubectl and kstatus as users of Kubernetes expect."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from mljob_contract.mljob import FINISHED
from tests.live.airflow import AirflowRest
from tests.live.eventually import eventually
from tests.live.installation import Installation
from tests.live.mljobs import MLJobs, Object, condition, holds, manifest

KUBECTL_APPLY = "kubectl.kubernetes.io/last-applied-configuration"


@pytest.fixture(scope="module")
def jobs(with_kafka: Installation, airflow: AirflowRest) -> Iterator[MLJobs]:
    """Three MLJobs: ``good`` succeeds, ``bad`` fails, and ``long`` stays active."""
    jobs = with_kafka.jobs
    jobs.apply(
        manifest("good", "parity_nested_groups", type="Enrichment"),
        manifest("bad", "parity_states"),
        manifest("long", "parity_long_running", deletionPolicy="Retain"),
    )
    yield jobs
    if run_id := jobs.status("long").get("dagRunId"):
        airflow.end("parity_long_running", run_id)


def test_kubectl_wait_returns_when_an_mljob_is_complete(jobs: MLJobs) -> None:
    jobs.kubectl("wait", "--for=condition=Complete", "mljob/good", "--timeout=300s", timeout=330)

    assert jobs.status("good")["phase"] == "Succeeded"


def test_kubectl_wait_returns_when_an_mljob_has_failed(jobs: MLJobs) -> None:
    jobs.kubectl("wait", "--for=condition=Failed", "mljob/bad", "--timeout=300s", timeout=330)

    assert jobs.status("bad")["phase"] == "Failed"


def test_kubectl_wait_returns_when_a_phase_is_reached(jobs: MLJobs) -> None:
    jobs.kubectl("wait", "--for=jsonpath={.status.phase}=Running", "mljob/long", "--timeout=300s", timeout=330)


@pytest.mark.parametrize(
    ("name", "reasons"),
    [
        ("good", ["Submitted", "Succeeded"]),
        ("bad", ["Submitted", "TaskFailed", "TaskFailed", "Failed"]),
    ],
)
def test_events_report_each_step_of_an_mljob(name: str, reasons: list[str], jobs: MLJobs) -> None:
    jobs.until_finished(name)

    def told() -> list[str]:
        found = [event["reason"] for event in jobs.events(name)]
        # The Event Running is left out while the Kubernetes API server is busy.
        assert found.count("Running") <= 1, found
        assert sorted(reason for reason in found if reason != "Running") == sorted(reasons), found
        return found

    eventually(told, f"events of {name}")


def test_events_name_the_problem_and_the_mljob(jobs: MLJobs) -> None:
    uid = jobs.until_finished("bad")["bad"]["metadata"]["uid"]
    events = eventually(lambda: [e for e in jobs.events("bad") if e["reason"] == "Failed"], "the event of its end")

    assert {event["involvedObject"]["uid"] for event in jobs.events("bad")} == {uid}
    assert [event["type"] for event in events] == ["Warning"]
    failed = [event["message"] for event in jobs.events("bad") if event["reason"] == "TaskFailed"]
    assert any("fails_at_once" in message and "retrying would not help" in message for message in failed), failed
    assert any("raises" in message and "ValueError" in message for message in failed), failed


def test_failed_mljob_names_the_failed_task_and_its_error(jobs: MLJobs) -> None:
    status = jobs.until_finished("bad")["bad"]["status"]

    assert status["reason"] == "TaskFailed"
    assert "failed at try 1" in status["message"]
    errors = {task["taskId"]: task["error"] for task in status["tasks"] if "error" in task}
    assert errors["fails_at_once"] == {"type": "AirflowFailException", "message": "retrying would not help"}
    assert errors["raises"]["type"] == "ValueError"
    assert status["currentTask"] in errors
    assert status["message"].startswith(f"Task {status['currentTask']} failed")
    assert status["progress"] == f"{status['taskCounts']['success']}/{status['taskCounts']['total']}"
    assert len(errors["raises"]["message"]) <= 400


def test_kubectl_get_shows_the_printer_columns(jobs: MLJobs) -> None:
    jobs.until_finished("good")

    header, row = jobs.kubectl("get", "mljob", "good").splitlines()
    assert header.split() == ["NAME", "DAG", "PHASE", "REASON", "PROGRESS", "TASK", "ATTEMPTS", "AGE"]
    assert row.split()[:5] == ["good", "parity_nested_groups", "Succeeded", "Succeeded", "5/5"]

    header, row = jobs.kubectl("get", "mljob", "good", "--output=wide").splitlines()
    for column in ("PERCENT", "RUN DAG", "RUN ID", "STARTED", "FINISHED", "SPEC APPLIED"):
        assert column in header
    assert jobs.status("good")["dagRunId"] in row


@pytest.mark.parametrize("name", ["mljobs", "mljob", "mlj", "ml"])
def test_kubectl_accepts_each_name_of_the_kind(name: str, jobs: MLJobs) -> None:
    found = jobs.kubectl("get", name, "--output=name").split()

    assert "mljob.mljob.dev/good" in found


def test_kubectl_delete_all_does_not_include_mljobs(jobs: MLJobs) -> None:
    assert "mljob" not in jobs.kubectl("get", "all", "--output=name")


def test_kubectl_explain_describes_every_field(jobs: MLJobs) -> None:
    spoken = jobs.kubectl("explain", "mljob.spec.cancellation.timeoutSeconds")
    assert "seconds" in spoken.partition("DESCRIPTION:")[2]

    served = json.loads(jobs.kubectl("get", "--raw", "/openapi/v3/apis/mljob.dev/v1alpha1"))
    schema = served["components"]["schemas"]["dev.mljob.v1alpha1.MLJob"]
    fields = {name: schema["properties"][name] for name in ("spec", "status")}
    assert [path for path in undescribed(fields, "") if path] == []


def undescribed(properties: dict[str, Any], path: str) -> Iterator[str]:
    for name, field in properties.items():
        if len(field.get("description", "")) < 10:
            yield f"{path}.{name}"
        yield from undescribed(field.get("properties", {}), f"{path}.{name}")
        yield from undescribed(field.get("items", {}).get("properties", {}), f"{path}.{name}[]")


def test_kubectl_describe_reads_well(jobs: MLJobs) -> None:
    jobs.until_finished("good")
    eventually(lambda: len(jobs.events("good")) == 3, "its events")

    text = jobs.kubectl("describe", "mljob", "good")

    for line in ("Dag Id:", "Phase:", "Succeeded", "Progress:", "5/5", "Conditions:", "Events:", "Submitted"):
        assert line in text
    assert FINISHED in text


def test_conditions_follow_the_api_conventions(jobs: MLJobs) -> None:
    found = jobs.until_finished("good", "bad")

    for job in found.values():
        types = [each["type"] for each in job["status"]["conditions"]]
        assert len(types) == len(set(types))
        for each in job["status"]["conditions"]:
            assert each["status"] in ("True", "False", "Unknown")
            assert each["reason"].isalnum()
            assert each["observedGeneration"] == job["metadata"]["generation"]
            assert datetime.fromisoformat(each["lastTransitionTime"]).tzinfo is not None
        assert job["status"]["observedGeneration"] == job["metadata"]["generation"]


def test_kstatus_recognises_progress_success_and_failure(jobs: MLJobs) -> None:
    # kstatus (sigs.k8s.io/cli-utils) calls an object Current if neither condition is True.
    running = jobs.until_phase("long", "Running")
    found = jobs.until_finished("good", "bad")

    assert (holds(running, "Reconciling"), holds(running, "Stalled")) == (True, False)
    assert (holds(found["good"]["status"], "Reconciling"), holds(found["good"]["status"], "Stalled")) == (False, False)
    assert (holds(found["bad"]["status"], "Reconciling"), holds(found["bad"]["status"], "Stalled")) == (False, True)


def test_operator_leaves_one_annotation_on_a_finished_mljob(jobs: MLJobs) -> None:
    jobs.kubectl("create", "--filename=-", stdin=json.dumps(manifest("untouched", "parity_empty")))
    found = jobs.until_finished("untouched")["untouched"]

    assert set(found["metadata"]) == {
        "name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "annotations",
    }  # fmt: skip
    assert set(jobs.get("good")["metadata"].get("annotations", {})) <= {KUBECTL_APPLY, FINISHED}


def test_active_run_without_changes_causes_no_writes(jobs: MLJobs, with_kafka: Installation) -> None:
    def passes() -> float:
        return with_kafka.operator.metrics()["mljob_resyncs_total", "", "ok"]

    def passes_more(count: int) -> None:
        before = passes()
        eventually(lambda: passes() >= before + count, f"{count} looks at the change feed", within=120)

    jobs.until("long", lambda status: status.get("taskCounts", {}).get("running") == 3, "its three tasks run")
    passes_more(3)  # longer than the period that one read of the change feed covers
    before = jobs.get("long")["metadata"]["resourceVersion"]
    with jobs.watch("long") as watch:
        passes_more(3)
        assert [kind for kind, _ in watch.events()] == ["ADDED"]

    assert jobs.get("long")["metadata"]["resourceVersion"] == before


def test_transition_time_of_a_condition_changes_only_with_its_status(jobs: MLJobs) -> None:
    status = jobs.until_finished("good")["good"]["status"]
    reconciling, complete = condition(status, "Reconciling"), condition(status, "Complete")

    assert reconciling is not None
    assert complete is not None
    assert reconciling["lastTransitionTime"] == complete["lastTransitionTime"]


def test_operator_answers_the_kubelet_and_prometheus(jobs: MLJobs, with_kafka: Installation) -> None:
    jobs.until_finished("good", "bad")
    jobs.until_phase("long", "Running")
    operator = with_kafka.operator

    assert operator.get("/livez") == (200, "ok")
    assert operator.get("/readyz") == (200, "ok")
    metrics = operator.metrics()
    of_team = ("", jobs.namespace)
    assert metrics["mljob_jobs_finished_total", *of_team, "Succeeded", "Succeeded", "Enrichment"] >= 1
    assert metrics["mljob_jobs_finished_total", *of_team, "Failed", "TaskFailed", "Custom"] >= 1
    assert any(key[:4] == ("mljob_jobs", *of_team, "Running") and key[-1] == "Custom" for key in metrics)
    assert metrics["mljob_jobs_live",] >= 1
    for stage in ("submission_wait", "queue_wait", "run"):
        assert metrics[f"mljob_job_{stage}_seconds_count", *of_team, "Enrichment"] == 1
    run, wait = (metrics[f"mljob_job_{stage}_seconds_sum", *of_team, "Enrichment"] for stage in ("run", "queue_wait"))
    whole = metrics["mljob_job_duration_seconds_sum", *of_team, "Succeeded", "Enrichment"]
    assert 0 < run + wait <= whole + 2, "times of a status have whole seconds"
    assert metrics["mljob_feed_read_timestamp_seconds", ""] > 0
    assert any(key[0] == "mljob_kafka_lag" for key in metrics)
    assert metrics["mljob_status_patch_seconds_count",] > 5
    assert metrics["mljob_event_to_status_seconds_count",] > 5
    assert metrics["mljob_resyncs_total", "", "ok"] > 0
    assert metrics["mljob_airflow_request_seconds_count", "", "submit", "ok"] >= 3


def test_log_lines_are_json_and_name_their_mljob(jobs: MLJobs, with_kafka: Installation) -> None:
    found = jobs.until_finished("good")["good"]
    operator = with_kafka.operator
    lines = [line for line in operator.log() if not line.startswith("--- ")]
    assert all(line.startswith("{") for line in lines), [line for line in lines if not line.startswith("{")][:5]

    about: list[Object] = [record for record in operator.records() if record.get("job") == "good"]

    assert {record["namespace"] for record in about} == {jobs.namespace}
    assert {record.get("run_id") for record in about} == {found["status"]["dagRunId"]}
    assert [record["phase"] for record in about if "phase" in record][-1] == "Succeeded"
    assert {record["level"] for record in about} == {"info"}
