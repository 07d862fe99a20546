"""Tasks that wait for the input of a person, or in Airflow's triggerer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.stack import Stack
from tests.live.airflow import AirflowRest
from tests.live.eventually import eventually
from tests.live.installation import Installation
from tests.live.kubectl import Kubectl, Watch
from tests.live.mljobs import MLJobs, Object, manifest
from tests.live.page_shell import PageShell
from tests.page_runners import PEOPLE_PAGE, Runner

APPROVE = "people_approve"
LABEL = "people_label"


@pytest.fixture(scope="module")
def seen(with_kafka: Installation) -> Iterator[Watch]:
    """A watch of the MLJobs that begins before the fixture ``jobs`` creates MLJobs."""
    with with_kafka.jobs.watch() as watch:
        yield watch


@pytest.fixture(scope="module")
def reads_before(with_kafka: Installation) -> float:
    """How often the operator has read questions before the fixture ``jobs`` creates MLJobs. Other
    tests use the same operator.
    """
    return with_kafka.operator.requests().get("questions", 0)


@pytest.fixture(scope="module")
def jobs(with_kafka: Installation, seen: Watch, reads_before: float) -> Iterator[MLJobs]:
    """MLJobs whose runs wait for the input of a person or in the triggerer."""
    with_kafka.jobs.apply(
        manifest("to-approve", APPROVE, {"model": "digits"}, outputs=[{"name": "deploy", "taskId": "deploy"}]),
        manifest("to-reject", APPROVE),
        manifest("to-cancel-asking", APPROVE, cancellation={"strategy": "Api"}),
        manifest("to-label", LABEL),
        manifest("deferred", "people_nobody"),
    )
    for name in ("to-approve", "to-reject", "to-cancel-asking", "to-label"):
        until_asked(with_kafka.jobs, name)
    # Airflow 3.3.2 sets a task to failed if the task is answered before the scheduler knows that
    # the process that asked has ended.
    until_read_again(with_kafka, times=2)
    yield with_kafka.jobs
    names = [name for name, job in with_kafka.jobs.all().items() if job["spec"]["dagId"].startswith("people_")]
    with_kafka.jobs.kubectl("delete", "mljobs", "--wait=false", *names)
    with_kafka.jobs.until_gone(*names)


def until_asked(jobs: MLJobs, name: str) -> Object:
    return jobs.until(name, lambda status: status.get("reason") == "AwaitingInput", "somebody is asked")


def until_read_again(installation: Installation, *, times: int) -> None:
    """Wait until the operator has read the list of changed tasks from Airflow ``times`` more times."""
    goal = installation.operator.requests()["changed_tasks"] + times
    eventually(lambda: installation.operator.requests()["changed_tasks"] >= goal, f"the feed was read {times} times")


def answer(airflow: AirflowRest, status: Object, task_id: str, option: str, map_index: int = -1) -> None:
    path = f"/dags/{status['dagId']}/dagRuns/{status['dagRunId']}/taskInstances/{task_id}/{map_index}/hitlDetails"
    code, body = airflow.request("PATCH", path, {"chosen_options": [option], "params_input": {}})
    assert code == 200, body


def task(status: Object, task_id: str) -> Object:
    found: Object = next(entry for entry in status["tasks"] if entry["taskId"] == task_id)
    return found


def asked(jobs: MLJobs, name: str) -> list[str]:
    return [event["message"] for event in jobs.events(name) if event["reason"] == "AwaitingInput"]


def test_command_of_the_page_lists_where_to_answer(
    jobs: MLJobs, stack: Stack, kubectl: Kubectl, tmp_path: Path
) -> None:
    shell = PageShell(stack, kubectl, jobs.namespace, tmp_path, bound=120)

    listed = shell.types(Runner.PEOPLE, PEOPLE_PAGE).splitlines()

    assert f"{jobs.status('to-reject')['dagRunUrl']}/tasks/approve/required_actions" in listed


def test_person_is_asked_and_the_answer_continues_the_run(jobs: MLJobs, airflow: AirflowRest) -> None:
    status = until_asked(jobs, "to-approve")

    waiting = task(status, "approve")
    assert (status["phase"], status["currentTask"], waiting["state"]) == ("Running", "approve", "awaiting_input")
    url = f"{status['dagRunUrl']}/tasks/approve/required_actions"
    assert waiting["input"] == {"subject": "Deploy digits?", "url": url}
    assert all(part in status["message"] for part in ("approve", "Deploy digits?", url))
    assert status["taskCounts"] == {"total": 3, "success": 1, "awaitingInput": 1, "none": 1}

    answer(airflow, status, "approve", "Approve")

    status = jobs.until_finished("to-approve")["to-approve"]["status"]
    assert (status["phase"], status["outputs"]) == ("Succeeded", {"deploy": "deployed"})
    assert "input" not in task(status, "approve")
    assert len(asked(jobs, "to-approve")) == 1
    assert url in asked(jobs, "to-approve")[0]


def test_rejection_continues_the_run_too(jobs: MLJobs, airflow: AirflowRest) -> None:
    answer(airflow, until_asked(jobs, "to-reject"), "approve", "Reject")

    status = jobs.until_finished("to-reject")["to-reject"]["status"]
    assert (status["phase"], task(status, "deploy")["state"]) == ("Succeeded", "skipped")


def test_waiting_task_instances_are_counted_until_the_last_is_answered(jobs: MLJobs, airflow: AirflowRest) -> None:
    status = jobs.until("to-label", lambda status: status.get("taskCounts", {}).get("awaitingInput") == 3, "all wait")
    waiting = task(status, "label")
    assert waiting["input"] == {
        "subject": "What is on picture 0?",
        "url": f"{status['dagRunUrl']}/required_actions",
        "instances": 3,
    }
    assert "2 more wait as well" in status["message"]

    answer(airflow, status, "label", "cat", 0)
    answer(airflow, status, "label", "dog", 2)

    status = jobs.until("to-label", lambda status: status["taskCounts"].get("awaitingInput") == 1, "one waits")
    assert task(status, "label")["input"] == {
        "subject": "What is on picture 1?",
        "url": f"{status['dagRunUrl']}/tasks/label/mapped/1/required_actions",
        "instances": 1,
    }
    answer(airflow, status, "label", "cat", 1)

    status = jobs.until_finished("to-label")["to-label"]["status"]
    assert (status["phase"], status["taskCounts"]) == ("Succeeded", {"total": 3, "success": 3})


def test_question_is_read_once_for_each_wait(jobs: MLJobs, with_kafka: Installation, reads_before: float) -> None:
    until_asked(jobs, "to-cancel-asking")
    until_read_again(with_kafka, times=3)
    waits = sum(len(asked(jobs, name)) for name in ("to-approve", "to-reject", "to-label", "to-cancel-asking"))
    # The three waiting instances may have started to wait in up to three passes.
    assert 1 <= with_kafka.operator.requests()["questions"] - reads_before <= waits + 2


def test_run_that_is_cancelled_while_it_waits_ends(jobs: MLJobs, airflow: AirflowRest) -> None:
    status = until_asked(jobs, "to-cancel-asking")

    jobs.kubectl("patch", "mljob", "to-cancel-asking", "--type=merge", "--patch", '{"spec": {"cancel": true}}')

    status = jobs.until_finished("to-cancel-asking")["to-cancel-asking"]["status"]
    assert (status["phase"], status["reason"]) == ("Cancelled", "CancelRequested")
    assert "input" not in task(status, "approve")
    assert airflow.ended(APPROVE, status["dagRunId"])["state"] == "failed"


def test_status_says_that_a_deferred_task_occupies_no_worker(jobs: MLJobs, seen: Watch) -> None:
    jobs.until_finished("deferred")
    deferred = [status for status in seen.statuses("deferred") if status.get("reason") == "TaskDeferred"]

    assert deferred, [(status.get("phase"), status.get("reason")) for status in seen.statuses("deferred")]
    assert {status["currentTask"] for status in deferred} == {"wait"}
    assert "triggerer" in deferred[0]["message"]
