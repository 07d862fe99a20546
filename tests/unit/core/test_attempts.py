from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from mljob_operator.core.mljob import attempts

from .situations import (
    NOW,
    BeginAttempt,
    Given,
    Wait,
    ago,
    attempt,
    catalog,
    classified,
    decided,
    ended,
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
    run_number,
    running,
    submitting,
    succeeded,
    suspended,
    task,
    under_way,
)

NEW_RUN: dict[str, Any] = {"backoff_limit": 3, "retry_strategy": "NewRun"}
CLEAR: dict[str, Any] = {"backoff_limit": 3}


def begun(situation: Given) -> Any:
    action = decided(situation)
    assert isinstance(action, BeginAttempt)
    return action.attempt


@pytest.mark.parametrize(
    ("situation", "number", "run"),
    [
        pytest.param(given(job()), 1, 1, id="the first attempt has the first run"),
        pytest.param(
            given(job(**CLEAR), status=retrying(at=ago(10))), 2, 1, id="ClearFailed goes on with the run that failed"
        ),
        pytest.param(given(job(**NEW_RUN), status=retrying(at=ago(10))), 2, 2, id="NewRun takes another run"),
        pytest.param(
            given(job(**NEW_RUN), status=retrying(2, run=2, at=ago(20), failures=2, history=(ended(1),))),
            3,
            3,
            id="NewRun never takes a run id again",
        ),
        pytest.param(given(job(**CLEAR), status=suspended()), 2, 2, id="a resumed MLJob takes another run"),
        pytest.param(
            given(job(**CLEAR), status=retrying(at=ago(10), history=()), run=not_found(since=ago(10), again=True)),
            2,
            1,
            id="ClearFailed does not know yet that the run is gone",
        ),
        pytest.param(
            given(job(**CLEAR), status=submitting(2, history=(ended(1),)), nothing_to_clear=True),
            2,
            2,
            id="a run without failed tasks is followed by another one under the same number",
        ),
        pytest.param(
            given(job(run_policy="OnChange", **CLEAR), status=retrying(at=ago(10), ran={"dag_id": "other"})),
            2,
            2,
            id="another spec takes another run",
        ),
        pytest.param(
            given(job(run_policy="OnChange"), status=finished(number=3, run=2, ran={"dag_id": "other"})),
            4,
            3,
            id="attempts and runs are counted on",
        ),
        pytest.param(
            given(job(run_policy="OncePerSpec"), status=finished(ran={"dag_id": "other"}), newest=0),
            2,
            1,
            id="OncePerSpec counts the runs of each spec",
        ),
        pytest.param(
            given(job(run_policy="OncePerSpec"), status=finished(ran={"dag_id": "other"}), newest=2),
            2,
            2,
            id="OncePerSpec takes over a run that succeeded and is not in the status",
        ),
        pytest.param(
            given(
                job(run_policy="OncePerSpec"),
                status=finished(ran={"dag_id": "other"}),
                newest=2,
                newest_state="running",
            ),
            2,
            2,
            id="OncePerSpec takes over a run that is in progress and is not in the status",
        ),
        pytest.param(
            given(
                job(run_policy="OncePerSpec"),
                status=finished(ran={"dag_id": "other"}),
                newest=2,
                newest_state="failed",
            ),
            2,
            3,
            id="OncePerSpec takes no run over that failed and is not in the status",
        ),
        pytest.param(
            given(
                job(run_policy="OncePerSpec", retry="now"),
                status=finished(ran={"dag_id": "other"}, completed=ago(11)),
                newest=2,
            ),
            2,
            3,
            id="OncePerSpec takes no run over if a retry is requested",
        ),
        pytest.param(
            given(job(run_policy="OncePerSpec"), status=submitting(ran={"dag_id": "other"}), newest=2),
            1,
            2,
            id="OncePerSpec takes over the run of another spec before anything is submitted",
        ),
        pytest.param(
            given(
                job(run_policy="OncePerSpec"),
                status=finished(number=2, ran={"dag_id": "other"}, history=(ended(1, "Succeeded", "Succeeded"),)),
            ),
            3,
            1,
            id="OncePerSpec takes a run over again that succeeded",
        ),
        pytest.param(
            given(
                job(run_policy="OncePerSpec"),
                status=finished(number=2, ran={"dag_id": "other"}, history=(ended(1),)),
            ),
            3,
            2,
            id="OncePerSpec takes no run over that failed",
        ),
        pytest.param(
            given(
                job(run_policy="OncePerSpec"),
                status=finished(
                    number=3,
                    ran={"dag_id": "other"},
                    history=(ended(1, "Succeeded", "Succeeded"), ended(2, "Succeeded", "Succeeded", run=2)),
                ),
            ),
            4,
            2,
            id="OncePerSpec takes over the newest of two runs that succeeded",
        ),
        pytest.param(
            given(
                job(run_policy="OncePerSpec"),
                status=finished(
                    number=2, ran={"dag_id": "other"}, history=(ended(1, "Succeeded", "Succeeded", run=3),)
                ),
            ),
            3,
            3,
            id="OncePerSpec takes over a run that an earlier MLJob started",
        ),
        pytest.param(
            given(job(), status=finished("Failed", number=3, run=2), run=queued(queued_at=ago(3))),
            4,
            2,
            id="a run that was cleared in Airflow",
        ),
    ],
)
def test_the_next_attempt_has_its_number_and_its_run(situation: Given, number: int, run: int) -> None:
    found = begun(situation)
    assert (found.number, run_number(found.run_id)) == (number, run)


def test_a_retry_of_a_deleted_run_takes_another_run() -> None:
    gone = ended(1, "Failed", "DagRunDeleted", at=ago(10))
    status = submitting(1, submitted=ago(590), history=(gone,), failures=1)
    assert run_number(begun(given(job(**CLEAR), status=status)).run_id) == 2


def test_a_run_id_names_the_mljob() -> None:
    prefix, namespace, name, digest_and_number = begun(given(job())).run_id.split(".")
    assert (prefix, namespace, name) == ("mljob", "team-a", "train")
    assert digest_and_number.endswith("-1")


def test_a_run_id_belongs_to_the_object_and_with_once_per_spec_to_the_spec() -> None:
    def digest(**spec: Any) -> str:
        return str(begun(given(job(**spec), newest=0)).run_id.split(".")[3])

    assert digest(conf={"a": 1}) == digest(conf={"a": 2})
    assert digest(conf={"a": 1}, run_policy="OncePerSpec") != digest(conf={"a": 2}, run_policy="OncePerSpec")


def test_an_attempt_has_the_dag_and_the_airflow() -> None:
    there = catalog(instances={"prod": instance()}, default="prod", settings_access=[{}])
    found = begun(given(job(dag_id="score"), catalog=there))
    assert (found.dag_id, found.airflow) == ("score", "prod")


def test_with_once_a_retry_keeps_the_dag_and_the_airflow_of_the_first_attempt() -> None:
    there = catalog(instances={"prod": instance()}, settings_access=[{}])
    changed = job(dag_id="score", airflow_ref={"name": "prod"}, **NEW_RUN)
    was: dict[str, Any] = {"dag_id": "train", "airflow_ref": None}
    first = begun(given(job(dag_id="train", **NEW_RUN), status=retrying(at=ago(10))))
    retry = begun(given(changed, status=retrying(at=ago(10), ran=was), catalog=there))
    assert (retry.dag_id, retry.airflow, retry.spec_hash) == ("train", "", first.spec_hash)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"dag_id": "other"}, id="dagId"),
        pytest.param({"conf": {"epochs": 3}}, id="conf"),
        pytest.param({"conf_from": [{"configMapRef": {"name": "settings"}}]}, id="confFrom"),
        pytest.param({"airflow_ref": {"name": "prod"}}, id="airflowRef"),
        pytest.param({"logical_date": "2026-01-01T00:00:00Z"}, id="logicalDate"),
    ],
)
def test_a_change_of_what_is_run_begins_an_attempt(changes: dict[str, Any]) -> None:
    there = catalog(instances={"prod": instance()}, settings_access=[{}])
    changed = job(**{"dag_id": "train", "run_policy": "OnChange"} | changes)
    was: dict[str, Any] = {"dag_id": "train"} | {
        name: {} if name == "conf" else [] if name == "conf_from" else None for name in changes
    }
    ran = {"dag_id": "train"} | {name: value for name, value in was.items() if name != "dag_id"}
    assert begun(given(changed, status=finished(ran=ran), catalog=there)).number == 2


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"backoff_limit": 3}, id="backoffLimit"),
        pytest.param({"active_deadline_seconds": 60}, id="activeDeadlineSeconds"),
        pytest.param({"outputs": [{"name": "score", "taskId": "fit"}]}, id="outputs"),
        pytest.param({"retry_strategy": "NewRun"}, id="retryStrategy"),
        pytest.param({"deletion_policy": "Retain"}, id="deletionPolicy"),
        pytest.param({"type": "Training"}, id="type"),
    ],
)
def test_a_change_of_other_fields_begins_no_attempt(changes: dict[str, Any]) -> None:
    assert decided(job(held=False, run_policy="OnChange", **changes), status=finished()) == Wait()


@pytest.mark.parametrize(
    ("failures", "seconds"),
    [
        pytest.param(1, 10, id="10 s after the first failure"),
        pytest.param(2, 20, id="20 s after the second"),
        pytest.param(3, 40, id="40 s after the third"),
        pytest.param(6, 320, id="twice as long each time"),
        pytest.param(7, 360, id="at most 6 minutes"),
        pytest.param(1000, 360, id="for good"),
    ],
)
def test_a_retry_waits_for_its_backoff(failures: int, seconds: int) -> None:
    waiting = given(job(backoff_limit=1000), status=retrying(failures=failures, at=NOW))
    due = NOW + timedelta(seconds=seconds)
    assert decided(waiting) == Wait(due)
    assert isinstance(decided(waiting, now=due), BeginAttempt)


def test_a_changed_spec_does_not_wait_for_the_retry() -> None:
    changed = given(job(run_policy="OnChange", **CLEAR), status=retrying(at=NOW, ran={"dag_id": "other"}))
    assert isinstance(decided(changed), BeginAttempt)


def test_a_resumed_mljob_does_not_wait() -> None:
    assert isinstance(decided(job(), status=suspended(at=NOW)), BeginAttempt)


@pytest.mark.parametrize(
    ("limit", "failures", "phase", "reason"),
    [
        pytest.param(0, None, "Failed", "TaskFailed", id="no retries"),
        pytest.param(1, None, "Pending", "RetryBackoff", id="one is left"),
        pytest.param(2, 1, "Pending", "RetryBackoff", id="one of two is left"),
        pytest.param(2, 2, "Failed", "BackoffLimitExceeded", id="none is left"),
    ],
)
def test_backoff_limit_bounds_the_failed_attempts(limit: int, failures: int | None, phase: str, reason: str) -> None:
    over = failed(task("fit", "failed"), listed=True)
    status = reported(job(backoff_limit=limit), status=submitting(submitted=ago(590), failures=failures), run=over)
    assert (status["phase"], status["reason"]) == (phase, reason)
    assert status["failedAttempts"] == (failures or 0) + 1


def test_an_attempt_that_failed_goes_into_the_history() -> None:
    over = failed(task("fit", "failed", error=("ValueError", "no such column")), listed=True, end=ago(7))
    (entry,) = reported(job(backoff_limit=1), run=over)["history"]
    assert entry == {
        "attempt": 1,
        "dagRunId": begun(given(job())).run_id,
        "phase": "Failed",
        "reason": "TaskFailed",
        "message": "Task fit failed at try 1: ValueError: no such column",
        "progress": "0/1",
        "specHash": begun(given(job())).spec_hash,
        "submitTime": "2026-01-01T11:50:10Z",
        "startTime": "2026-01-01T11:50:20Z",
        "completionTime": "2026-01-01T11:59:53Z",
    }


@pytest.mark.parametrize(
    ("changes", "announced", "phase", "reason"),
    [
        pytest.param({"suspend": True}, "Suspending", "Cancelled", "Suspending", id="suspended"),
        pytest.param({}, "SpecChanged", "Cancelled", "SpecChanged", id="another spec"),
    ],
)
def test_an_attempt_that_was_cancelled_and_may_be_followed_goes_into_the_history(
    changes: dict[str, Any], announced: str, phase: str, reason: str
) -> None:
    over = failed(listed=True)
    status = reported(job(**changes), announced=announced, run=over, children_seen=True)
    assert [(entry["phase"], entry["reason"]) for entry in status["history"]] == [(phase, reason)]
    assert "failedAttempts" not in status


@pytest.mark.parametrize("over", [succeeded(listed=True), failed(listed=True)], ids=["succeeded", "failed"])
def test_an_attempt_that_ends_the_mljob_is_not_in_the_history(over: Any) -> None:
    status = reported(job(), run=over)
    assert status["completionTime"] == "2026-01-01T11:59:59Z"
    assert "history" not in status


def test_the_history_keeps_the_last_ten() -> None:
    earlier = tuple(ended(number, run=number) for number in range(1, 11))
    status = reported(
        job(backoff_limit=20, retry_strategy="NewRun"),
        status=submitting(11, run=11, submitted=ago(590), history=earlier, failures=10),
        run=failed(listed=True),
    )
    assert [entry["attempt"] for entry in status["history"]] == list(range(2, 12))


def test_a_finished_attempt_goes_into_the_history_when_another_one_begins() -> None:
    status = reported(
        job(run_policy="OnChange"), status=finished("Failed", ran={"dag_id": "other"}), begun=attempt(2, run=2)
    )
    (entry,) = status["history"]
    assert (entry["attempt"], entry["phase"], entry["reason"]) == (1, "Failed", "TaskFailed")
    assert (status["attempts"], status["phase"]) == (2, "Pending")


def test_a_new_attempt_clears_the_fields_of_the_last_run() -> None:
    left: dict[str, Any] = {
        "outputs": {"score": 1},
        "progress": "1/1",
        "percent": 100,
        "dag_run_state": "success",
        "current_task": "fit",
    }
    status = reported(
        job(run_policy="OnChange"), status=finished(ran={"dag_id": "other"}, **left), begun=attempt(2, run=2)
    )
    assert not {"outputs", "progress", "percent", "dagRunState", "currentTask", "submitTime", "completionTime"} & set(
        status
    )
    assert status["activeSince"] == "2026-01-01T12:00:00Z"


def test_an_attempt_on_the_same_run_keeps_the_tasks_and_not_the_outputs() -> None:
    left: dict[str, Any] = {"outputs": {"score": 1}, "progress": "1/2"}
    status = reported(job(backoff_limit=1), status=retrying(at=ago(10), **left), begun=attempt(2))
    assert status["progress"] == "1/2"
    assert "outputs" not in status
    assert status["activeSince"] == "2026-01-01T11:50:00Z"


def test_an_unsubmitted_attempt_is_in_the_history_if_its_number_is_used_up() -> None:
    was = submitting(1, ran={"dag_id": "other"})
    (entry,) = reported(job(run_policy="OnChange"), status=was, begun=attempt(2, run=2))["history"]
    assert (entry["attempt"], entry["phase"], entry["reason"]) == (1, "Cancelled", "SpecChanged")


def test_a_new_spec_resets_the_count_of_failures() -> None:
    changed = reported(
        job(run_policy="OnChange"), status=retrying(failures=2, ran={"dag_id": "other"}), begun=attempt(2, run=2)
    )
    same = reported(job(**CLEAR), status=retrying(failures=2), begun=attempt(2))
    assert "failedAttempts" not in changed
    assert same["failedAttempts"] == 2


def test_a_run_that_is_queued_again_while_it_runs_begins_no_attempt() -> None:
    # Airflow queues a run again when somebody clears a task of the run.
    assert decided(job(), run=running(queued_at=ago(3))) == Wait()


def test_a_retry_keeps_active_since() -> None:
    status = reported(job(**CLEAR), run=failed(listed=True))
    assert status["activeSince"] == "2026-01-01T11:50:00Z"


def test_the_backoff_counts_from_the_end_of_the_run_in_airflow() -> None:
    status = reported(job(**CLEAR), run=failed(listed=True, end=ago(4)))
    assert "the next at 12:00:06 UTC" in status["message"]
    assert decided(job(**CLEAR), run=failed(listed=True, end=ago(4)), status=status) == Wait(later(6))


def test_no_task_of_a_deleted_run_is_the_current_one() -> None:
    gone = not_found(since=ago(10), again=True, after=running(task("fit")))
    first = reported(job(**CLEAR), run=gone)
    assert "currentTask" not in first
    assert "currentTask" not in reported(job(**CLEAR), run=gone, status=first)


@pytest.mark.parametrize(
    ("situation", "since"),
    [
        pytest.param(given(job()), None, id="there is no attempt"),
        pytest.param(given(job(), status=under_way()), None, id="the first attempt"),
        pytest.param(
            given(job(**NEW_RUN), status=under_way(2, run=2, history=(ended(1),))), None, id="the run is a new one"
        ),
        pytest.param(given(job(**CLEAR), status=retrying(at=ago(10))), None, id="the retry has not begun"),
        pytest.param(
            given(job(**CLEAR), status=submitting(2, history=(ended(1, at=ago(10)),))),
            ago(9),
            id="the run is about to be cleared: the second after its first end",
        ),
        pytest.param(
            given(job(**CLEAR), status=under_way(2, submitted=ago(4), history=(ended(1, at=ago(10)),))),
            ago(4),
            id="the run was cleared: since it was queued again",
        ),
    ],
)
def test_facts_about_a_cleared_run_count_from_its_next_attempt(situation: Given, since: datetime | None) -> None:
    assert attempts.run_facts_since(classified(situation).job.status) == since
