"""These tests check the names and values in a message. Other words of a message may change."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.core.situations import Wait

from .situations import (
    NO_DEFAULT,
    Given,
    ago,
    backfill,
    backfill_job,
    catalog,
    decided,
    error,
    failed,
    given,
    instance,
    job,
    later,
    not_found,
    queued,
    reported,
    retrying,
    run_event,
    running,
    stored,
    submitting,
    succeeded,
    task,
    under_way,
    unread,
)

PROD: dict[str, Any] = {"airflow_ref": {"name": "prod"}}
RUNS = {"2025-12-01": "success", "2025-12-02": "running", "2025-12-03": "queued"}
GONE = not_found(since=ago(10), again=True, after=running())


def says(situation: Given, phase: str, reason: str, words: list[str]) -> None:
    status = reported(situation)
    assert (status["phase"], status["reason"]) == (phase, reason)
    missing = [word for word in words if word not in status["message"]]
    assert not missing, status["message"]


@pytest.mark.parametrize(
    ("situation", "reason", "words"),
    [
        pytest.param(given(job()), "Submitting", ["run of DAG train"], id="a run is submitted"),
        pytest.param(given(backfill_job()), "Submitting", ["backfill of DAG train"], id="a backfill is submitted"),
        pytest.param(
            given(job(), status=submitting(ran={"dag_id": "other"}), unknown_until=later(10)),
            "Submitting",
            ["12:00:10 UTC"],
            id="an earlier submission may still arrive",
        ),
        pytest.param(
            given(job(), status=submitting(), error=error("DagNotFound", "There is no DAG train.", starting=True)),
            "DagNotFound",
            ["There is no DAG train."],
            id="the submission failed",
        ),
        pytest.param(
            given(job(backoff_limit=3), status=retrying(failures=2)),
            "RetryBackoff",
            ["Attempt 1", "up to 2 more attempts", "12:00:15 UTC", "ValueError: no such column"],
            id="several retries are left",
        ),
        pytest.param(
            given(job(backoff_limit=1), status=retrying()),
            "RetryBackoff",
            ["one more attempt", "12:00:05 UTC"],
            id="one retry is left",
        ),
        pytest.param(
            given(job(), catalog=catalog(default=NO_DEFAULT)),
            "NoDefaultAirflow",
            ["spec.airflowRef.name", "kubectl get airflowinstances", "mljob.dev/is-default-instance"],
            id="no default Airflow",
        ),
        pytest.param(
            given(job(**PROD)),
            "AirflowInstanceNotFound",
            ["'prod'", "spec.airflowRef", "kubectl get airflowinstances"],
            id="no such AirflowInstance",
        ),
        pytest.param(
            given(job(**PROD), catalog=catalog(instances={"prod": instance(deleting=True)})),
            "AirflowInstanceNotReady",
            ["AirflowInstance prod", "deleted", "spec.airflowRef.name"],
            id="an AirflowInstance that is being deleted",
        ),
        pytest.param(
            given(job(**PROD), catalog=catalog(instances={"prod": instance(url=7)})),
            "AirflowInstanceNotReady",
            ["AirflowInstance prod", "spec.url"],
            id="an AirflowInstance that can't be read",
        ),
        pytest.param(
            given(
                job(**PROD), catalog=catalog(instances={"prod": instance()}, not_ready={"prod": "No answer in 5 s."})
            ),
            "AirflowInstanceNotReady",
            ["AirflowInstance prod", "No answer in 5 s."],
            id="an AirflowInstance that is away",
        ),
        pytest.param(
            given(job(), catalog=catalog(not_ready={"": "No answer in 5 s."})),
            "AirflowInstanceNotReady",
            ["operator's settings", "No answer in 5 s."],
            id="the Airflow of the settings is away",
        ),
        pytest.param(
            given(job(dag_id="mljob_cancel")),
            "ValidationFailed",
            ["'mljob_cancel'", "spec.cancel", "spec.dagId"],
            id="a DAG of the platform",
        ),
        pytest.param(
            given(
                job(**PROD),
                catalog=catalog(instances={"prod": instance(access=[{"dags": ["other"]}])}, labels={"tier": "gold"}),
            ),
            "ValidationFailed",
            ["AirflowInstance prod", "namespace team-a", "tier=gold", "'train'", "spec.access", "dags: [train]"],
            id="no access rule of an AirflowInstance",
        ),
        pytest.param(
            given(job(), catalog=catalog(settings_access=[{"dags": ["other"]}])),
            "ValidationFailed",
            ["namespace team-a", "MLJOB_AIRFLOW_ACCESS", "dags: [train]"],
            id="no access rule of the settings",
        ),
        pytest.param(
            given(
                job(),
                catalog=catalog(
                    settings_access=[{"namespaceSelector": {"matchLabels": {"tier": "gold"}}}], labels_pending=True
                ),
            ),
            "Submitting",
            ["Waiting until the labels of namespace team-a are read."],
            id="the namespace's labels are being read",
        ),
        pytest.param(
            given(
                job(**PROD),
                catalog=catalog(
                    instances={"prod": instance(access=[{"credentials": {"tokenSecretRef": {"name": "team-a"}}}])}
                ),
            ),
            "Submitting",
            ["Waiting until Secret team-a is read."],
            id="credentials are being read",
        ),
        pytest.param(
            given(
                job(**PROD),
                catalog=catalog(
                    instances={"prod": instance(access=[{"credentials": {"tokenSecretRef": {"name": "team-a"}}}])},
                    logins={("prod", "team-a"): "Secret team-a is not there."},
                ),
            ),
            "AirflowUnauthorized",
            ["Secret team-a is not there."],
            id="credentials that can't be used",
        ),
        pytest.param(
            given(
                job(**PROD),
                catalog=catalog(
                    instances={"prod": instance(maxActiveRuns=2, access=[{"maxActiveRuns": 1}])}, full=["prod"]
                ),
            ),
            "ConcurrencyLimit",
            ["AirflowInstance prod", "spec.maxActiveRuns (2)", "spec.access[0].maxActiveRuns (1)"],
            id="no place is free",
        ),
        pytest.param(
            given(job(conf="none")), "ValidationFailed", ["spec.conf", "'none'"], id="a field that can't be read"
        ),
        pytest.param(
            given(job(type="Backfill")),
            "ValidationFailed",
            ["spec.backfill", "Backfill"],
            id="a backfill without dates",
        ),
        pytest.param(
            given(job(run_policy="OnChange"), announced="SpecChanged", run=failed(listed=True), children_seen=True),
            "Submitting",
            ["runPolicy OnChange"],
            id="the run of another spec was cancelled",
        ),
        pytest.param(
            given(job(), announced="Suspending", run=failed(listed=True), children_seen=True),
            "Submitting",
            ["suspended", "next attempt"],
            id="resumed while the run was being cancelled",
        ),
    ],
)
def test_message_while_pending(situation: Given, reason: str, words: list[str]) -> None:
    says(situation, "Pending", reason, words)


FIT = task("fit", started=ago(60))


@pytest.mark.parametrize(
    ("situation", "phase", "reason", "words"),
    [
        pytest.param(given(job(), run=queued()), "Queued", "Queued", ["accepted"], id="queued"),
        pytest.param(
            given(job(), status=under_way(phase="Pending"), run=unread()),
            "Queued",
            "Submitted",
            ["accepted"],
            id="submitted",
        ),
        pytest.param(
            given(job(), status=under_way(reason="TaskRunning", message="Task fit is running."), run=unread()),
            "Running",
            "TaskRunning",
            ["Task fit is running."],
            id="what was stored stands after a restart",
        ),
        pytest.param(given(job(), run=running()), "Running", "Running", ["in progress"], id="running"),
        pytest.param(
            given(job(), run=queued(reported=run_event("running"))),
            "Running",
            "Running",
            [],
            id="running, as an event says",
        ),
        pytest.param(
            given(job(), run=running(FIT, task("extract", "success"))),
            "Running",
            "TaskRunning",
            ["Task fit", "1/2 tasks"],
            id="a task runs",
        ),
        pytest.param(
            given(job(), run=running(task("wait", "deferred"), task("wait_too", "deferred"))),
            "Running",
            "TaskDeferred",
            ["Task wait and 1 more are", "triggerer"],
            id="tasks are deferred",
        ),
        pytest.param(
            given(job(), run=running(task("wait", "up_for_reschedule"))),
            "Running",
            "TaskRescheduled",
            ["Task wait is"],
            id="a task is rescheduled",
        ),
        pytest.param(
            given(job(), run=running(task("wait", "deferred"), FIT)),
            "Running",
            "TaskRunning",
            ["Task fit"],
            id="a task runs beside one that is deferred",
        ),
        pytest.param(
            given(job(), run=running(FIT, task("load", "up_for_retry", index=3, error=("OSError", "disk full")))),
            "Running",
            "TaskRetrying",
            ["Task load[3]", "try 1", "OSError: disk full"],
            id="a task is retried",
        ),
        pytest.param(
            given(job(), run=running(task("load", "failed", tries=2, certain=False, event=True))),
            "Running",
            "TaskRetrying",
            ["Task load", "try 1"],
            id="a failure with tries left",
        ),
        pytest.param(
            given(job(), run=running(task("ask", "awaiting_input", asks="Deploy?"))),
            "Running",
            "AwaitingInput",
            ["Task ask", "person", "Deploy?", "/tasks/ask/required_actions"],
            id="a task waits for a person",
        ),
        pytest.param(
            given(job(), run=running(task("ask", "awaiting_input"), task("ask_too", "awaiting_input"))),
            "Running",
            "AwaitingInput",
            ["1 more", "/required_actions"],
            id="several tasks wait for a person",
        ),
        pytest.param(
            given(job(), run=running(), halt="DagPaused"),
            "Running",
            "DagPaused",
            ["DAG train is paused", "Unpause"],
            id="the DAG is paused",
        ),
        pytest.param(
            given(job(), run=queued(), halt="DagStale"),
            "Queued",
            "DagStale",
            ["DAG train", "Put the DAG back"],
            id="the DAG is gone",
        ),
        pytest.param(
            given(job(), run=succeeded()), "Running", "CollectingOutputs", ["success"], id="the tasks are being read"
        ),
        pytest.param(
            given(job(), run=failed(), error=error(message="No answer in 5 s.")),
            "Running",
            "CollectingOutputs",
            ["failed", "No answer in 5 s."],
            id="the tasks can't be read",
        ),
        pytest.param(
            given(job(), run=running(reported=run_event("success"))),
            "Running",
            "EndUnconfirmed",
            ["success", "confirm the end"],
            id="an event tells of the end",
        ),
        pytest.param(
            given(job(), run=running(reported=run_event("failed")), error=error(message="No answer in 5 s.")),
            "Running",
            "EndUnconfirmed",
            ["failed", "No answer in 5 s."],
            id="an event tells of the end, and Airflow can't be asked",
        ),
        pytest.param(
            given(job(), status=under_way(airflow="prod"), run=running()),
            "Running",
            "AirflowInstanceNotFound",
            ["AirflowInstance prod", "Create the AirflowInstance again"],
            id="the AirflowInstance is gone",
        ),
        pytest.param(
            given(job(), run=running(), catalog=catalog(settings_airflow=False)),
            "Running",
            "AirflowInstanceNotFound",
            ["MLJOB_AIRFLOW_URL"],
            id="the settings name no Airflow any more",
        ),
        pytest.param(
            given(job(), run=GONE, vanished=True, catalog=catalog(not_ready={"": "RunsVanished"})),
            "Running",
            "RunsVanished",
            ["does not have the run", "each minute", "platform"],
            id="many runs are missing",
        ),
    ],
)
def test_message_while_the_run_is_in_progress(situation: Given, phase: str, reason: str, words: list[str]) -> None:
    says(situation, phase, reason, words)


@pytest.mark.parametrize(
    ("situation", "words"),
    [
        pytest.param(
            given(job(), status=under_way(ran={"dag_id": "other"}), run=running()),
            ["dagId", "other", "train", "runPolicy", "OnChange", "another name"],
            id="too late with runPolicy Once",
        ),
        pytest.param(
            given(job(conf="none"), run=running()), ["spec.conf", "'none'", "Correct the spec"], id="unreadable"
        ),
    ],
)
def test_message_after_a_change_without_effect(situation: Given, words: list[str]) -> None:
    (told,) = [each for each in reported(situation)["conditions"] if each["type"] == "SpecApplied"]
    assert not [word for word in words if word not in told["message"]], told["message"]


@pytest.mark.parametrize(
    ("of", "where"),
    [
        pytest.param(given(job(), run=running()), "/dags/train/runs/mljob.team-a.train.", id="a run's page"),
        pytest.param(given(backfill_job(), run=backfill(RUNS)), "/dags/train/backfills", id="a DAG's backfills"),
    ],
)
def test_a_status_says_where_to_see_the_run(of: Given, where: str) -> None:
    assert where in reported(of)["dagRunUrl"]


def test_the_url_stays_when_the_airflow_is_no_longer_known() -> None:
    before = reported(job(), run=running())
    assert reported(job(), run=running(), status=before, ui_url=None)["dagRunUrl"] == before["dagRunUrl"]


def test_a_long_message_is_cut() -> None:
    message = reported(job(), status=submitting(), error=error(message="x" * 5000, starting=True))["message"]
    assert len(message) == 1024
    assert message.endswith("...")


def announced_and_due(failed_once: Given) -> tuple[str, str]:
    status = reported(failed_once)
    action = decided(stored(failed_once, status))
    assert isinstance(action, Wait)
    told = status["message"].partition("the next at ")[2].partition(" UTC")[0]
    return told, f"{action.until:%H:%M:%S}"


def test_the_message_tells_when_the_next_attempt_begins() -> None:
    told, due = announced_and_due(given(job(backoff_limit=1), run=failed(listed=True, end=ago(4))))
    assert told == due == "12:00:06"


def test_the_message_tells_when_the_next_attempt_begins_after_a_deleted_run() -> None:
    told, due = announced_and_due(given(job(backoff_limit=1), run=GONE))
    assert due == "12:00:10"
    assert told == due


@pytest.mark.parametrize(
    ("situation", "noun"),
    [
        pytest.param(given(job(deleted=ago(5), deletion_policy="Retain"), status=submitting()), "run", id="run"),
        pytest.param(given(backfill_job(deleted=ago(5), deletion_policy="Retain")), "backfill", id="backfill"),
    ],
)
def test_deletion_that_retains_runs_starts_none(situation: Given, noun: str) -> None:
    assert reported(situation)["message"] == f"The MLJob is being deleted, so no {noun} is started."
