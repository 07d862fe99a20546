"""Suspension, cancellation, deadlines, retries, run policies and sources of conf."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from typing import Any

import pytest

from tests.live.airflow import AirflowRest
from tests.live.eventually import eventually
from tests.live.installation import Installation
from tests.live.kubectl import KubectlError
from tests.live.mljobs import MLJobs, Object, holds, manifest

WAIT = "attempts_wait"
FLAKY = "attempts_flaky"
INFER = "attempts_infer"
ACTIVE = {"queued", "running"}


@pytest.fixture(scope="module")
def retried(with_kafka: Installation) -> Iterator[MLJobs]:
    """MLJobs whose first attempt fails."""
    with_kafka.jobs.apply(
        manifest("cleared", FLAKY, backoffLimit=2, outputs=[{"name": "score", "taskId": "score"}]),
        manifest("anew", FLAKY, backoffLimit=1, retryStrategy="NewRun"),
        manifest("by-hand", FLAKY),
        manifest("on-request", FLAKY),
        manifest("on-request-anew", FLAKY, retryStrategy="NewRun"),
    )
    yield with_kafka.jobs
    names = [name for name, job in with_kafka.jobs.all().items() if job["spec"]["dagId"] in (WAIT, FLAKY, INFER)]
    with_kafka.jobs.kubectl("delete", "mljobs", "--wait=false", *names)
    with_kafka.jobs.until_gone(*names)


@pytest.fixture(scope="module")
def jobs(retried: MLJobs) -> MLJobs:
    """The MLJobs of ``retried``, and MLJobs whose runs take long or never start."""
    retried.apply(
        manifest("to-suspend", WAIT),
        manifest("to-cancel", WAIT, cancellation={"strategy": "Api"}),
        manifest("too-long", WAIT, activeDeadlineSeconds=12, backoffLimit=3, cancellation={"strategy": "Api"}),
        manifest("never-starts", "parity_paused", cancellation={"strategy": "Api"}),
        manifest("to-change", WAIT, {"label": "first"}, runPolicy="OnChange", cancellation={"strategy": "Api"}),
    )
    return retried


def edit(jobs: MLJobs, name: str, **spec: Any) -> None:
    jobs.kubectl("patch", "mljob", name, "--type=merge", "--patch", json.dumps({"spec": spec}))


def request_retry(jobs: MLJobs, name: str, value: str) -> None:
    jobs.kubectl("annotate", "--overwrite", f"mljob/{name}", f"mljob.dev/retry-requested-at={value}")


def until_handled(jobs: MLJobs, name: str, value: str) -> None:
    jobs.until(name, lambda status: status.get("lastHandledRetry") == value, f"the request {value!r} is handled")


def ended_run(airflow: AirflowRest, status: Object) -> dict[str, Any]:
    return airflow.ended(status["dagId"], status["dagRunId"])


def test_mljob_created_suspended_runs_once_it_is_resumed(with_kafka: Installation, airflow: AirflowRest) -> None:
    jobs = with_kafka.jobs
    jobs.submit("later", "parity_empty", suspend=True)
    status = jobs.until_phase("later", "Suspended")
    assert (holds(status, "Suspended"), holds(status, "Reconciling")) == (True, False)
    assert "finalizers" not in jobs.get("later")["metadata"]
    assert airflow.runs(with_kafka.run_prefix("later")) == []

    edit(jobs, "later", suspend=False)

    status = jobs.until_finished("later")["later"]["status"]
    assert (status["phase"], holds(status, "Suspended"), status["attempts"]) == ("Succeeded", False, 1)


def test_suspending_ends_the_run_and_resuming_submits_another(
    jobs: MLJobs, with_kafka: Installation, airflow: AirflowRest
) -> None:
    first = jobs.until("to-suspend", lambda status: status.get("currentTask") == "wait", "it runs")

    edit(jobs, "to-suspend", suspend=True)

    status = jobs.until_phase("to-suspend", "Suspended")
    assert ended_run(airflow, first)["state"] == "failed"
    assert [(entry["attempt"], entry["phase"], entry["reason"]) for entry in status["history"]] == [
        (1, "Cancelled", "Suspending")
    ]

    edit(jobs, "to-suspend", suspend=False)

    status = jobs.until("to-suspend", lambda status: status.get("phase") == "Running", "it runs again")
    assert status["attempts"] == 2
    runs = airflow.runs(with_kafka.run_prefix("to-suspend"))
    assert [run["dag_run_id"] for run in runs if run["state"] in ACTIVE] == [status["dagRunId"]]
    reasons = jobs.until_told("to-suspend", "Submitted", "Submitted", "Suspended", "Resumed")
    assert [reasons.count(reason) for reason in ("Submitted", "Suspended", "Resumed")] == [2, 1, 1]


def test_cancelled_mljob_remains_as_a_record(jobs: MLJobs, airflow: AirflowRest) -> None:
    jobs.until("to-cancel", lambda status: status.get("currentTask") == "wait", "it runs")

    edit(jobs, "to-cancel", cancel=True)

    status = jobs.until_finished("to-cancel")["to-cancel"]["status"]
    assert (status["phase"], status["reason"]) == ("Cancelled", "CancelRequested")
    assert ended_run(airflow, status)["state"] == "failed"
    with pytest.raises(KubectlError, match="cancel can't be set back"):
        edit(jobs, "to-cancel", cancel=False)


def test_mljob_that_exceeds_its_active_deadline_fails(jobs: MLJobs, airflow: AirflowRest) -> None:
    status = jobs.until_finished("too-long")["too-long"]["status"]

    assert (status["phase"], status["reason"], status["attempts"]) == ("Failed", "DeadlineExceeded", 1)
    assert "activeDeadlineSeconds (12 s)" in status["message"]
    assert ended_run(airflow, status)["state"] == "failed"
    jobs.kubectl("wait", "--for=condition=Failed", "mljob/too-long", "--timeout=5s")


def test_run_that_never_starts_fails_and_the_status_says_why_it_waited(jobs: MLJobs, airflow: AirflowRest) -> None:
    jobs.until("never-starts", lambda status: status.get("reason") == "DagPaused", "it waits for a paused DAG")

    edit(jobs, "never-starts", preRunningDeadlineSeconds=1)

    status = jobs.until_finished("never-starts")["never-starts"]["status"]
    assert (status["phase"], status["reason"]) == ("Failed", "PreRunningDeadlineExceeded")
    assert "parity_paused is paused" in status["message"]
    assert ended_run(airflow, status)["state"] == "failed"


@pytest.mark.every_airflow
def test_clear_failed_retry_runs_only_failed_tasks(
    retried: MLJobs, with_kafka: Installation, airflow: AirflowRest
) -> None:
    status = retried.until_finished("cleared")["cleared"]["status"]

    # The MLJob waits for ten seconds only; the Event exists for longer.
    [waited] = [event for event in retried.events("cleared") if event["reason"] == "RetryBackoff"]
    assert "the warehouse was away" in waited["message"]

    assert (status["phase"], status["attempts"], status["failedAttempts"]) == ("Succeeded", 2, 1)
    assert len(airflow.runs(with_kafka.run_prefix("cleared"))) == 1
    tries = {row["task_id"]: row["try_number"] for row in airflow.task_instances(FLAKY, status["dagRunId"])}
    assert tries == {"prepare": 1, "flaky": 2, "score": 1}
    assert {task["taskId"]: task["tryNumber"] for task in status["tasks"]} == tries
    assert (status["outputs"], status["progress"]) == ({"score": 0.93}, "3/3")
    assert [(entry["phase"], entry["reason"]) for entry in status["history"]] == [("Failed", "TaskFailed")]


def test_new_run_retry_runs_every_task(retried: MLJobs, with_kafka: Installation, airflow: AirflowRest) -> None:
    status = retried.until_finished("anew")["anew"]["status"]

    assert (status["phase"], status["attempts"]) == ("Succeeded", 2)
    assert ended_run(airflow, status)["state"] == "success"
    runs = {run["dag_run_id"]: run["state"] for run in airflow.runs(with_kafka.run_prefix("anew"))}
    assert runs == {status["history"][0]["dagRunId"]: "failed", status["dagRunId"]: "success"}


@pytest.mark.every_airflow
def test_run_that_a_user_clears_in_airflow_is_followed(retried: MLJobs, airflow: AirflowRest) -> None:
    status = retried.until_finished("by-hand")["by-hand"]["status"]
    assert (status["phase"], ended_run(airflow, status)["state"]) == ("Failed", "failed")

    code, answer = airflow.request(
        "POST", f"/dags/{FLAKY}/dagRuns/{status['dagRunId']}/clear", {"dry_run": False, "only_failed": True}
    )
    assert code == 200, answer

    retried.until("by-hand", lambda status: status.get("attempts") == 2, "it is followed")
    status = retried.until_finished("by-hand")["by-hand"]["status"]
    assert status["phase"] == "Succeeded"
    assert holds(status, "Failed") is None
    retried.until_told("by-hand", "ClearedInAirflow")


@pytest.mark.every_airflow
def test_command_in_the_message_of_a_failed_mljob_runs_the_failed_tasks_again(
    retried: MLJobs, with_kafka: Installation, airflow: AirflowRest
) -> None:
    status = retried.until_finished("on-request")["on-request"]["status"]
    assert (status["phase"], status["reason"]) == ("Failed", "TaskFailed")
    failure, _, command = status["message"].partition(" To retry: kubectl ")

    retried.kubectl(*shlex.split(command.replace("$(date +%s)", "first")))

    until_handled(retried, "on-request", "first")
    status = retried.until_finished("on-request")["on-request"]["status"]
    assert (status["phase"], status["attempts"], status.get("failedAttempts")) == ("Succeeded", 2, None)
    assert ended_run(airflow, status)["state"] == "success"
    assert len(airflow.runs(with_kafka.run_prefix("on-request"))) == 1
    tries = {row["task_id"]: row["try_number"] for row in airflow.task_instances(FLAKY, status["dagRunId"])}
    assert tries == {"prepare": 1, "flaky": 2, "score": 1}
    assert [(entry["phase"], entry["message"]) for entry in status["history"]] == [("Failed", failure)]
    assert "ClearedInAirflow" not in retried.until_told("on-request", "RetryRequested")


def test_requested_retry_with_new_run_runs_every_task_once_for_each_request(
    retried: MLJobs, with_kafka: Installation, airflow: AirflowRest
) -> None:
    failed = retried.until_finished("on-request-anew")["on-request-anew"]["status"]
    assert failed["phase"] == "Failed"

    for attempt, request in enumerate(("first", "second"), start=2):
        request_retry(retried, "on-request-anew", request)
        request_retry(retried, "on-request-anew", request)
        until_handled(retried, "on-request-anew", request)
        status = retried.until_finished("on-request-anew")["on-request-anew"]["status"]
        assert (status["phase"], status["attempts"]) == ("Succeeded", attempt)
        assert ended_run(airflow, status)["state"] == "success"

    states = [run["state"] for run in airflow.runs(with_kafka.run_prefix("on-request-anew"))]
    assert sorted(states) == ["failed", "success", "success"]


def test_on_change_runs_a_changed_spec_with_one_run_at_a_time(
    jobs: MLJobs, with_kafka: Installation, airflow: AirflowRest
) -> None:
    jobs.until("to-change", lambda status: status.get("currentTask") == "wait", "it runs")
    prefix = with_kafka.run_prefix("to-change")

    for label in ("second", "third", "fourth"):
        edit(jobs, "to-change", conf={"label": label, "seconds": 0})
        assert len([run for run in airflow.runs(prefix) if run["state"] in ACTIVE]) <= 1

    def last() -> bool:
        job = jobs.get("to-change")
        assert job["status"].get("observedGeneration") == job["metadata"]["generation"]
        return bool(job["status"]["phase"] == "Succeeded")

    eventually(last, "the last spec has run", evidence=lambda: jobs.evidence("to-change"))
    assert ended_run(airflow, jobs.status("to-change"))["conf"] == {"label": "fourth", "seconds": 0}
    assert not [run for run in airflow.runs(prefix) if run["state"] in ACTIVE]


def test_once_refuses_a_changed_spec(with_kafka: Installation) -> None:
    jobs = with_kafka.jobs
    jobs.submit("once", "parity_empty", {"a": 1})
    before = jobs.until_finished("once")["once"]["status"]

    edit(jobs, "once", conf={"a": 2})

    status = jobs.until("once", lambda status: holds(status, "SpecApplied") is False, "the change is refused")
    assert (status["phase"], status["dagRunId"]) == ("Succeeded", before["dagRunId"])
    table = jobs.kubectl("get", "mljob", "once", "--output=wide").splitlines()
    assert [line.split()[-1] for line in table] == ["APPLIED", "False"]
    jobs.until_told("once", "SpecChangeRefused")


def test_mljob_that_expired_and_is_created_again_takes_over_its_run(
    with_kafka: Installation, airflow: AirflowRest
) -> None:
    jobs = with_kafka.jobs
    nightly = manifest("nightly", "parity_empty", {"day": 1}, runPolicy="OncePerSpec", ttlSecondsAfterFinished=2)
    jobs.apply(nightly)
    jobs.until_gone("nightly")
    (run,) = airflow.runs(with_kafka.run_prefix("nightly"))
    assert airflow.ended("parity_empty", run["dag_run_id"])["state"] == "success"

    del nightly["spec"]["ttlSecondsAfterFinished"]
    jobs.apply(nightly)

    status = jobs.until_finished("nightly")["nightly"]["status"]
    assert (status["phase"], status["dagRunId"]) == ("Succeeded", run["dag_run_id"])
    assert len(airflow.runs(with_kafka.run_prefix("nightly"))) == 1


def test_conf_is_read_from_configmaps_and_secrets_and_secrets_appear_nowhere_else(
    with_kafka: Installation, airflow: AirflowRest
) -> None:
    jobs = with_kafka.jobs
    sources = [{"configMapRef": {"name": "defaults"}}, {"secretRef": {"name": "warehouse"}}]
    jobs.submit("sourced", INFER, {"x": 4}, confFrom=sources, outputs=[{"name": "got", "taskId": "conf_keys"}])
    status = jobs.until("sourced", lambda status: status.get("reason") == "ReferenceMissing", "it waits")
    assert "ConfigMap defaults" in status["message"]

    jobs.kubectl("create", "configmap", "defaults", "--from-literal=region=eu", '--from-literal=more.json={"deep":[1]}')
    jobs.kubectl("create", "secret", "generic", "warehouse", "--from-literal=password=hunter2-correct-horse")

    status = jobs.until_finished("sourced")["sourced"]["status"]
    assert status["outputs"]["got"] == {"region": "str", "deep": "list", "password": "str", "x": "int"}
    assert ended_run(airflow, status)["conf"]["password"] == "hunter2-correct-horse"

    jobs.submit("refused-label", WAIT, {"seconds": -1}, confFrom=[{"secretRef": {"name": "bad-label"}}])
    jobs.kubectl("create", "secret", "generic", "bad-label", "--from-literal=label=hunter2-correct-horse-battery")
    status = jobs.until("refused-label", lambda status: status.get("reason") == "ValidationFailed", "it is refused")
    assert "spec.conf.seconds: -1 is less than the minimum of 0" in status["message"]
    assert "spec.confFrom[0] (Secret bad-label).label" in status["message"]

    told = (
        json.dumps([jobs.all(), jobs.events("sourced"), jobs.events("refused-label")]) + with_kafka.operator.log_end()
    )
    assert "hunter2" not in told


def test_refused_conf_is_tried_again_when_its_configmap_changes(with_kafka: Installation) -> None:
    jobs = with_kafka.jobs
    source = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "seconds"}}
    jobs.kubectl.apply({**source, "data": {"all.json": '{"seconds": -1}'}})
    jobs.submit("mended", WAIT, confFrom=[{"configMapRef": {"name": "seconds"}}])
    jobs.until("mended", lambda status: status.get("reason") == "ValidationFailed", "it is refused")

    jobs.kubectl.apply({**source, "data": {"all.json": '{"seconds": 0}'}})

    # If the operator did not watch the ConfigMap, it would try again a minute after the refusal.
    jobs.until("mended", lambda status: "dagRunState" in status, "its run is submitted", within=40)


def test_many_mljobs_run_one_dag_at_the_same_time(with_kafka: Installation) -> None:
    jobs, names = with_kafka.jobs, {f"infer-{i}": i for i in range(20)}
    outputs = [{"name": "prediction", "taskId": "predict"}, {"name": "doubled", "taskId": "double"}]
    jobs.apply(*(manifest(name, INFER, {"x": x}, type="Inference", outputs=outputs) for name, x in names.items()))

    found = jobs.until_finished(*names)

    assert {name: job["status"]["phase"] for name, job in found.items()} == dict.fromkeys(names, "Succeeded")
    assert {name: job["status"]["outputs"] for name, job in found.items()} == {
        name: {"prediction": {"y": 2.0 * x}, "doubled": [2, 4, 6]} for name, x in names.items()
    }
