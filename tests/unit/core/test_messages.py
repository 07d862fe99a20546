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
    cancelling,
    catalog,
    decided,
    error,
    failed,
    finished,
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
    suspended,
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
    ("situation", "reason", "words"),
    [
        pytest.param(given(job(deleted=ago(5)), run=running()), "Cancelling", ["cancellation DAG"], id="deleted"),
        pytest.param(given(job(cancel=True), run=running()), "CancelRequested", ["spec.cancel"], id="cancelled"),
        pytest.param(
            given(job(active_deadline_seconds=60), run=running()),
            "DeadlineExceeded",
            ["activeDeadlineSeconds (60 s)"],
            id="active for too long",
        ),
        pytest.param(
            given(job(pre_running_deadline_seconds=60), run=queued(), halt="DagPaused"),
            "PreRunningDeadlineExceeded",
            ["preRunningDeadlineSeconds (60 s)", "DAG train is paused"],
            id="not started in time",
        ),
        pytest.param(given(job(suspend=True), run=running()), "Suspending", ["suspended"], id="suspended"),
        pytest.param(
            given(job(run_policy="OnChange"), status=under_way(ran={"dag_id": "other"}), run=running()),
            "SpecChanged",
            ["runPolicy OnChange"],
            id="another spec",
        ),
        pytest.param(
            given(job(cancel=True, cancellation={"strategy": "Api"}), run=running()),
            "CancelRequested",
            ["REST API"],
            id="through REST",
        ),
        pytest.param(
            given(job(cancel=True), run=running(), cancel_dag_refused="mljob_cancel is paused"),
            "CancelRequested",
            ["REST API", "mljob_cancel is paused"],
            id="through REST, and why",
        ),
        pytest.param(
            given(backfill_job(cancel=True), run=backfill(RUNS)),
            "CancelRequested",
            ["backfill and its runs", "REST API"],
            id="a backfill",
        ),
        pytest.param(
            given(job(cancel=True), status=cancelling("CancelRequested", submitted=None)),
            "CancelRequested",
            ["Checking Airflow for a run"],
            id="is there a run?",
        ),
        pytest.param(
            given(job(cancel=True), run=running(), error=error(message="No answer in 5 s.")),
            "CancelRequested",
            ["No answer in 5 s."],
            id="Airflow can't be asked",
        ),
    ],
)
def test_message_while_cancelling(situation: Given, reason: str, words: list[str]) -> None:
    says(situation, "Cancelling", reason, words)


def over(spec: dict[str, Any], announced: str) -> Given:
    return given(job(**spec), announced=announced, run=failed(listed=True), children_seen=True)


@pytest.mark.parametrize(
    ("situation", "phase", "reason", "words"),
    [
        pytest.param(
            given(job(), run=succeeded(task("fit", "success"), listed=True), read_at=ago(1)),
            "Succeeded",
            "Succeeded",
            ["succeeded", "1/1 tasks"],
            id="succeeded",
        ),
        pytest.param(
            given(job(), run=succeeded(read=ago(30))),
            "Succeeded",
            "Succeeded",
            ["outputs could not be read"],
            id="succeeded, and its outputs follow",
        ),
        pytest.param(
            given(job(cancel=True), run=succeeded(listed=True), announced="CancelRequested"),
            "Succeeded",
            "Succeeded",
            ["succeeded"],
            id="succeeded before it was cancelled",
        ),
        pytest.param(
            given(job(), run=failed(task("fit", "failed", error=("ValueError", "no such column")), listed=True)),
            "Failed",
            "TaskFailed",
            ["Task fit", "try 1", "ValueError: no such column"],
            id="a task failed",
        ),
        pytest.param(
            given(job(), run=failed(task("fit", "failed"), task("load", "failed", index=2, at=ago(400)), listed=True)),
            "Failed",
            "TaskFailed",
            ["Task load[2]", "1 more failed", "log"],
            id="several tasks failed",
        ),
        pytest.param(
            given(job(), run=failed(task("fit", "success"), listed=True)),
            "Failed",
            "DagRunFailed",
            ["dagrun_timeout"],
            id="no task failed",
        ),
        pytest.param(given(job(), run=GONE), "Failed", "DagRunDeleted", ["deleted in Airflow"], id="the run is gone"),
        pytest.param(
            given(job(backoff_limit=2), status=under_way(failures=2), run=failed(task("fit", "failed"), listed=True)),
            "Failed",
            "BackoffLimitExceeded",
            ["3 attempts", "backoffLimit 2", "Task fit"],
            id="no retry is left",
        ),
        pytest.param(
            over({"cancel": True}, "CancelRequested"), "Cancelled", "CancelRequested", ["spec.cancel"], id="cancelled"
        ),
        pytest.param(
            over({"active_deadline_seconds": 60, "backoff_limit": 3}, "DeadlineExceeded"),
            "Failed",
            "DeadlineExceeded",
            ["activeDeadlineSeconds (60 s)"],
            id="active for too long",
        ),
        pytest.param(
            over({"pre_running_deadline_seconds": 60}, "PreRunningDeadlineExceeded"),
            "Failed",
            "PreRunningDeadlineExceeded",
            ["preRunningDeadlineSeconds (60 s)"],
            id="not started in time",
        ),
        pytest.param(
            over({"suspend": True}, "Suspending"), "Suspended", "Suspended", ["spec.suspend to false"], id="suspended"
        ),
        pytest.param(over({"deleted": ago(5)}, "Cancelling"), "Cancelled", "Cancelled", ["deleted"], id="deleted"),
        pytest.param(
            given(job(deleted=ago(5)), announced="Cancelling", run=GONE),
            "Cancelled",
            "Cancelled",
            ["not in Airflow any more"],
            id="deleted, and the run is gone",
        ),
        pytest.param(
            given(job(), status=finished(message="The run succeeded."), run=succeeded(), read_at=ago(1)),
            "Succeeded",
            "Succeeded",
            ["The run succeeded."],
            id="what a finished MLJob says stands",
        ),
    ],
)
def test_message_after_the_end(situation: Given, phase: str, reason: str, words: list[str]) -> None:
    says(situation, phase, reason, words)


def test_the_note_about_missing_outputs_disappears_once_they_are_read() -> None:
    first = reported(job(), run=succeeded(read=ago(30)))
    second = reported(job(), status=first, run=succeeded(), read_at=ago(0), outputs={"score": 1})
    assert second["message"] == "The run succeeded."
    assert second["outputs"] == {"score": 1}


@pytest.mark.parametrize(
    ("situation", "phase", "reason", "words"),
    [
        pytest.param(given(job(suspend=True)), "Suspended", "Suspended", ["spec.suspend to false"], id="suspended"),
        pytest.param(
            given(job(suspend=True), status=suspended()),
            "Suspended",
            "Suspended",
            ["spec.suspend"],
            id="still suspended",
        ),
        pytest.param(given(job(cancel=True)), "Cancelled", "CancelRequested", ["spec.cancel"], id="cancelled"),
        pytest.param(given(job(deleted=ago(5))), "Cancelled", "Cancelled", ["deleted"], id="deleted"),
        pytest.param(
            given(
                job(pre_running_deadline_seconds=600),
                status=submitting(),
                kept_by="There is no DAG train.",
                run=not_found(since=ago(10), again=True),
            ),
            "Failed",
            "PreRunningDeadlineExceeded",
            ["preRunningDeadlineSeconds (600 s)", "There is no DAG train."],
            id="not submitted in time, and why",
        ),
    ],
)
def test_message_if_the_mljob_is_stopped_before_its_first_run(
    situation: Given, phase: str, reason: str, words: list[str]
) -> None:
    says(situation, phase, reason, words)


@pytest.mark.parametrize(
    ("situation", "phase", "reason", "words"),
    [
        pytest.param(given(backfill_job(), run=backfill()), "Queued", "Queued", ["backfill 7"], id="runs are made"),
        pytest.param(
            given(backfill_job(), run=backfill({"2025-12-01": "queued"})),
            "Queued",
            "Queued",
            ["1 run"],
            id="runs are queued",
        ),
        pytest.param(
            given(backfill_job(), run=backfill(RUNS)),
            "Running",
            "RunsInProgress",
            ["1 of 3 runs", "1 finished"],
            id="runs are in progress",
        ),
        pytest.param(
            given(backfill_job(), run=backfill({"2025-12-01": "failed", "2025-12-02": "running"})),
            "Running",
            "RunsInProgress",
            ["1 of 2 runs", "1 finished", "1 of them failed"],
            id="a run has failed",
        ),
        pytest.param(
            given(backfill_job(), run=backfill(RUNS, reported={"2025-12-02": "success", "2025-12-03": "running"})),
            "Running",
            "RunsInProgress",
            ["1 of 3 runs", "2 finished"],
            id="runs are in progress, as events say",
        ),
        pytest.param(
            given(backfill_job(), run=backfill(RUNS, paused=True)),
            "Running",
            "BackfillPaused",
            ["Backfill 7", "1 run"],
            id="paused in Airflow",
        ),
        pytest.param(
            given(backfill_job(), run=backfill(RUNS), halt="DagPaused"),
            "Running",
            "RunsInProgress",
            ["1 of 3 runs"],
            id="a paused DAG does not hold up a backfill in progress",
        ),
        pytest.param(
            given(backfill_job(), run=backfill({"2025-12-01": "queued"}), halt="DagPaused"),
            "Queued",
            "DagPaused",
            ["DAG train", "Unpause"],
            id="the DAG is paused",
        ),
        pytest.param(
            given(backfill_job(suspend=True), run=backfill(RUNS)),
            "Running",
            "Suspending",
            ["pausing the backfill"],
            id="to be paused",
        ),
        pytest.param(
            given(backfill_job(suspend=True), run=backfill(RUNS), error=error(message="No answer in 5 s.")),
            "Running",
            "Suspending",
            ["No answer in 5 s."],
            id="can't be paused",
        ),
        pytest.param(
            given(backfill_job(suspend=True), run=backfill(RUNS, paused=True)),
            "Suspended",
            "Suspended",
            ["1 run in progress", "spec.suspend to false"],
            id="paused",
        ),
        pytest.param(
            given(backfill_job(), status=under_way(phase="Suspended"), run=backfill(RUNS, paused=True)),
            "Suspended",
            "Resuming",
            ["resuming the backfill"],
            id="to be resumed",
        ),
        pytest.param(
            given(backfill_job(), run=backfill({"2025-12-01": "success", "2025-12-02": "success"}, listed=True)),
            "Succeeded",
            "Succeeded",
            ["2 runs succeeded"],
            id="succeeded",
        ),
        pytest.param(
            given(backfill_job(), run=backfill({"2025-12-01": "success"}, not_created=2, listed=True)),
            "Succeeded",
            "Succeeded",
            ["Its run succeeded", "2 runs", "reprocessBehavior"],
            id="succeeded, and some were there already",
        ),
        pytest.param(
            given(backfill_job(), run=backfill(not_created=3, completed=ago(1), listed=True)),
            "Succeeded",
            "Succeeded",
            ["nothing to run", "3 runs", "reprocessBehavior"],
            id="there was nothing to run",
        ),
        pytest.param(
            given(
                backfill_job(),
                run=backfill({"2025-12-01": "failed", "2025-12-02": "failed", "2025-12-03": "success"}, listed=True),
            ),
            "Failed",
            "BackfillRunsFailed",
            ["2 of 3 runs", "2025-12-01 and 2025-12-02"],
            id="runs failed",
        ),
        pytest.param(
            given(
                backfill_job(),
                run=backfill({f"2025-12-01T0{hour}:00:00": "failed" for hour in range(7)}, listed=True),
            ),
            "Failed",
            "BackfillRunsFailed",
            ["7 of 7 runs", "2025-12-01, 2025-12-01T01:00:00Z", "2 more"],
            id="many runs failed",
        ),
        pytest.param(
            given(backfill_job(), run=backfill(completed=ago(1), listed=True)),
            "Failed",
            "BackfillEmpty",
            ["backfill 7", "without any run"],
            id="it has no runs",
        ),
        pytest.param(
            given(backfill_job(), run=not_found(since=ago(10), again=True, after=backfill(RUNS))),
            "Failed",
            "DagRunDeleted",
            ["backfill was deleted in Airflow"],
            id="it was deleted",
        ),
    ],
)
def test_message_of_a_backfill(situation: Given, phase: str, reason: str, words: list[str]) -> None:
    says(situation, phase, reason, words)


def test_running_failed_runs_again_does_not_change_the_end() -> None:
    run_again = backfill({"2025-12-01": "success"}, ended_as="failed", listed=True)
    says(given(backfill_job(), run=run_again), "Failed", "BackfillRunsFailed", ["again"])


@pytest.mark.parametrize(
    ("situation", "words"),
    [
        pytest.param(
            given(job(), status=under_way(ran={"dag_id": "other"}), run=running()),
            ["dagId", "conf", "runPolicy", "OnChange", "another name"],
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
