from __future__ import annotations

from typing import Any

import pytest

from mljob_operator.core.run.children import Child
from mljob_operator.core.status.events import of_children

from .situations import (
    ago,
    attempt,
    backfill,
    backfill_job,
    cancelling,
    catalog,
    error,
    events,
    failed,
    finished,
    given,
    job,
    later,
    queued,
    reported,
    running,
    status_of,
    stored,
    submitting,
    succeeded,
    task,
    under_way,
)

Status = dict[str, Any]
NEW: Status = {"observedGeneration": -1}
RUN: Status = {
    "attempts": 1,
    "dagId": "train",
    "dagRunId": "mljob.team-a.train.aaaaaaaaaa-1",
    "dagRunUrl": "https://airflow/run",
}
SUBMITTED = RUN | {"submitTime": "2026-01-01T12:00:00Z"}


def status(phase: str, reason: str, message: str = "Why.", **more: Any) -> Status:
    return {"phase": phase, "reason": reason, "message": message} | more


def kinds(old: Status, new: Status) -> list[tuple[str, str]]:
    return [told[:2] for told in events(old, new)]


PENDING = status("Pending", "Submitting")
QUEUED = status("Queued", "Queued", **SUBMITTED)
RUNNING = status("Running", "Running", **SUBMITTED)
CANCELLING = status("Cancelling", "Suspending", **SUBMITTED)
SUSPENDED = status("Suspended", "Suspended")
RETRYING = status("Pending", "RetryBackoff", **SUBMITTED)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param(NEW, PENDING, [], id="seen"),
        pytest.param(PENDING, QUEUED, [("Normal", "Submitted")], id="submitted"),
        pytest.param(PENDING, RUNNING, [("Normal", "Submitted"), ("Normal", "Running")], id="submitted and running"),
        pytest.param(QUEUED, RUNNING, [("Normal", "Running")], id="running"),
        pytest.param(RUNNING, RUNNING, [], id="the same again"),
        pytest.param(RUNNING, status("Running", "TaskRunning", **SUBMITTED), [], id="another reason while it runs"),
        pytest.param(RUNNING, status("Succeeded", "Succeeded", **SUBMITTED), [("Normal", "Succeeded")], id="succeeded"),
        pytest.param(RUNNING, status("Failed", "TaskFailed", **SUBMITTED), [("Warning", "Failed")], id="a task failed"),
        pytest.param(
            RUNNING, status("Failed", "DagRunDeleted", **SUBMITTED), [("Warning", "Failed")], id="the run was deleted"
        ),
        pytest.param(
            CANCELLING,
            status("Failed", "DeadlineExceeded", **SUBMITTED),
            [("Warning", "DeadlineExceeded")],
            id="activeDeadlineSeconds",
        ),
        pytest.param(
            CANCELLING,
            status("Failed", "PreRunningDeadlineExceeded", **SUBMITTED),
            [("Warning", "PreRunningDeadlineExceeded")],
            id="preRunningDeadlineSeconds",
        ),
        pytest.param(
            RUNNING,
            status("Failed", "BackoffLimitExceeded", **SUBMITTED),
            [("Warning", "BackoffLimitExceeded")],
            id="backoffLimit",
        ),
        pytest.param(RUNNING, RETRYING, [("Warning", "RetryBackoff")], id="a retry is to follow"),
        pytest.param(
            RETRYING,
            status("Queued", "Queued", **SUBMITTED | {"attempts": 2, "submitTime": "2026-01-01T12:01:00Z"}),
            [("Normal", "Submitted")],
            id="a retry was submitted",
        ),
        pytest.param(RUNNING, CANCELLING, [("Normal", "Cancelling")], id="cancelling"),
        pytest.param(
            CANCELLING,
            status("Cancelling", "CancelRequested", **SUBMITTED),
            [],
            id="another reason for the cancellation",
        ),
        pytest.param(
            CANCELLING, status("Cancelled", "CancelRequested", **SUBMITTED), [("Normal", "Cancelled")], id="cancelled"
        ),
        pytest.param(CANCELLING, SUSPENDED, [("Normal", "Suspended")], id="suspended"),
        pytest.param(SUSPENDED, PENDING, [("Normal", "Resumed")], id="resumed"),
        pytest.param(
            SUSPENDED,
            status("Pending", "AirflowInstanceNotReady"),
            [("Normal", "Resumed"), ("Warning", "AirflowInstanceNotReady")],
            id="resumed, and kept from running",
        ),
        pytest.param(SUSPENDED, RUNNING | {"submitTime": None}, [("Normal", "Resumed")], id="a backfill goes on"),
    ],
)
def test_phases_create_their_events(old: Status, new: Status, expected: list[tuple[str, str]]) -> None:
    assert kinds(old, {name: value for name, value in new.items() if value is not None}) == expected


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param(
            NEW, status("Pending", "DagNotFound"), ["DagNotFound"], id="what is in the way from the beginning"
        ),
        pytest.param(PENDING, status("Pending", "AirflowUnavailable"), ["AirflowUnavailable"], id="later"),
        pytest.param(
            status("Pending", "AirflowUnavailable"),
            status("Pending", "DagNotFound"),
            ["DagNotFound"],
            id="something else",
        ),
        pytest.param(
            status("Pending", "DagNotFound", "Once."),
            status("Pending", "DagNotFound", "Twice."),
            [],
            id="the same again",
        ),
        pytest.param(status("Pending", "DagNotFound"), PENDING, [], id="nothing any more"),
        pytest.param(PENDING, status("Pending", "ConcurrencyLimit"), [], id="its turn has not come"),
        pytest.param(QUEUED, status("Queued", "DagPaused", **SUBMITTED), ["DagPaused"], id="a DAG is paused"),
        pytest.param(
            RUNNING, status("Running", "DagStale", **SUBMITTED), ["DagStale"], id="a DAG is gone, while it runs"
        ),
        pytest.param(
            QUEUED, status("Queued", "RunsVanished", **SUBMITTED), ["RunsVanished"], id="many runs are missing"
        ),
        pytest.param(
            RUNNING, status("Running", "RunsVanished", **SUBMITTED), [], id="many runs are missing, while it runs"
        ),
        pytest.param(status("Queued", "DagPaused", **SUBMITTED), QUEUED, [], id="a DAG is unpaused"),
        pytest.param(
            CANCELLING,
            status("Cancelling", "AirflowUnavailable", **SUBMITTED),
            ["AirflowUnavailable"],
            id="an error while it is cancelled",
        ),
    ],
)
def test_a_new_reason_creates_a_warning(old: Status, new: Status, expected: list[str]) -> None:
    assert kinds(old, new) == [("Warning", reason) for reason in expected]


def entry(state: str, **more: Any) -> Status:
    return {"taskId": "fit", "state": state, "tryNumber": 2} | more


def with_tasks(*tasks: Status, **more: Any) -> Status:
    return status("Running", "Running", progress="0/1", tasks=list(tasks), **SUBMITTED) | more


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param(
            with_tasks(entry("running")), with_tasks(entry("failed")), ["Task fit failed at try 2"], id="a task failed"
        ),
        pytest.param(
            with_tasks(entry("running")),
            with_tasks(entry("failed", error={"type": "ValueError", "message": "no such column"})),
            ["Task fit failed at try 2: ValueError: no such column"],
            id="with its exception",
        ),
        pytest.param(
            with_tasks(entry("running")),
            with_tasks(entry("failed", error={"message": "killed"})),
            ["Task fit failed at try 2: killed"],
            id="with its error",
        ),
        pytest.param(
            with_tasks(entry("running")),
            with_tasks(entry("failed", mapped={"total": 5, "states": {"failed": 3, "running": 2}})),
            ["Task fit (3 of 5 instances) failed at try 2"],
            id="a mapped task",
        ),
        pytest.param(with_tasks(entry("failed")), with_tasks(entry("failed")), [], id="told of before"),
        pytest.param(with_tasks(entry("running")), with_tasks(entry("up_for_retry")), [], id="it is retried"),
        pytest.param(
            with_tasks(entry("running"), progress=None),
            with_tasks(entry("failed"), progress=None),
            [],
            id="not before Airflow has told how many tries there are",
        ),
        pytest.param(
            with_tasks(entry("failed"), progress=None),
            with_tasks(entry("failed")),
            ["Task fit failed at try 2"],
            id="once it has told",
        ),
        pytest.param(
            with_tasks(entry("running"), phase="Cancelling", reason="CancelRequested"),
            with_tasks(entry("failed"), phase="Cancelling", reason="CancelRequested"),
            [],
            id="the run is being cancelled",
        ),
        pytest.param(
            with_tasks(entry("running"), phase="Cancelled", reason="CancelRequested"),
            with_tasks(entry("failed"), phase="Cancelled", reason="CancelRequested"),
            [],
            id="the run was cancelled",
        ),
        pytest.param(
            with_tasks(entry("running"), phase="Failed", reason="DeadlineExceeded"),
            with_tasks(entry("failed"), phase="Failed", reason="DeadlineExceeded"),
            [],
            id="the run was cancelled at its deadline",
        ),
        pytest.param(
            with_tasks(entry("running"), phase="Suspended", reason="Suspended"),
            with_tasks(entry("failed"), phase="Suspended", reason="Suspended"),
            [],
            id="the run was cancelled because the MLJob was suspended",
        ),
    ],
)
def test_a_warning_for_each_task_that_failed(old: Status, new: Status, expected: list[str]) -> None:
    def present(told: Status) -> Status:
        return {name: value for name, value in told.items() if value is not None}

    assert events(present(old), present(new)) == [("Warning", "TaskFailed", message) for message in expected]


def test_a_task_that_failed_before_the_operator_began_to_cancel_has_a_warning() -> None:
    before = with_tasks(entry("running"))
    after = with_tasks(entry("failed"), phase="Cancelling", reason="CancelRequested")
    assert kinds(before, after) == [("Warning", "TaskFailed"), ("Normal", "Cancelling")]


ASKS = {"subject": "Deploy?", "url": "https://airflow/answer"}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param(
            with_tasks(),
            with_tasks(entry("awaiting_input", input=ASKS)),
            ["Task fit waits for a person's answer: Deploy? Answer at https://airflow/answer"],
            id="a question",
        ),
        pytest.param(
            with_tasks(),
            with_tasks(entry("awaiting_input", input={})),
            ["Task fit waits for a person's answer"],
            id="unknown",
        ),
        pytest.param(
            with_tasks(),
            with_tasks(entry("awaiting_input", input={"instances": 3})),
            ["Task fit (3 instances) waits for a person's answer"],
            id="a mapped task",
        ),
        pytest.param(
            with_tasks(entry("awaiting_input", input=ASKS)),
            with_tasks(entry("awaiting_input", input=ASKS)),
            [],
            id="told of before",
        ),
        pytest.param(
            with_tasks(entry("awaiting_input", input=ASKS) | {"tryNumber": 1}),
            with_tasks(entry("awaiting_input", input={})),
            ["Task fit waits for a person's answer"],
            id="another try",
        ),
        pytest.param(
            with_tasks(),
            with_tasks(entry("awaiting_input", input=ASKS), phase="Cancelling"),
            [],
            id="not while the run is cancelled",
        ),
    ],
)
def test_an_event_for_each_task_that_waits_for_a_person(old: Status, new: Status, expected: list[str]) -> None:
    told = [each for each in events(old, new) if each[1] == "AwaitingInput"]
    assert told == [("Normal", "AwaitingInput", message) for message in expected]


def with_failed_runs(*dates: str) -> Status:
    runs = [{"dagRunId": date, "url": f"https://airflow/{date}"} for date in dates]
    return status("Running", "RunsInProgress", backfill={"id": 7, "failedRuns": runs}, **SUBMITTED)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param(with_failed_runs(), with_failed_runs("1"), ["Run 1 failed: https://airflow/1"], id="one"),
        pytest.param(
            with_failed_runs("1"),
            with_failed_runs("1", "2", "3"),
            ["Run 2 failed: https://airflow/2", "Run 3 failed: https://airflow/3"],
            id="each",
        ),
        pytest.param(with_failed_runs("1"), with_failed_runs("1"), [], id="told of before"),
        pytest.param(
            with_failed_runs(), with_failed_runs(*"123456"), ["6 runs have failed, from 1 to 6"], id="one for many"
        ),
    ],
)
def test_a_warning_for_each_run_of_a_backfill_that_failed(old: Status, new: Status, expected: list[str]) -> None:
    assert events(old, new) == [("Warning", "RunFailed", message) for message in expected]


def unapplied(reason: str, message: str, generation: int) -> Status:
    condition = {
        "type": "SpecApplied",
        "status": "False",
        "reason": reason,
        "message": message,
        "lastTransitionTime": "2026-01-01T12:00:00Z",
    }
    return RUNNING | {"observedGeneration": generation, "conditions": [condition]}


def test_a_refused_change_creates_a_warning() -> None:
    before, after = RUNNING | {"observedGeneration": 1}, unapplied("RunPolicyOnce", "Too late.", 2)
    assert events(before, after) == [("Warning", "SpecChangeRefused", "Too late.")]
    assert events(after, after) == []


def test_a_change_that_waits_creates_a_warning() -> None:
    before, after = RUNNING | {"observedGeneration": 1}, unapplied("AirflowInstanceNotReady", "It is away.", 1)
    assert events(before, after) == [("Warning", "AirflowInstanceNotReady", "It is away.")]


def with_unknown(message: str) -> Status:
    condition = {
        "type": "UnknownParams",
        "status": "True",
        "reason": "UnknownParams",
        "message": message,
        "lastTransitionTime": "2026-01-01T12:00:00Z",
    }
    return RUNNING | {"conditions": [condition]}


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param(RUNNING, with_unknown("epoch"), ["epoch"], id="an unknown key"),
        pytest.param(with_unknown("epoch"), with_unknown("epoch"), [], id="told of before"),
        pytest.param(with_unknown("epoch"), with_unknown("rat"), ["rat"], id="another unknown key"),
        pytest.param(with_unknown("epoch"), RUNNING, [], id="no unknown key any more"),
    ],
)
def test_keys_that_are_no_params_create_a_warning(before: Status, after: Status, expected: list[str]) -> None:
    assert events(before, after) == [("Warning", "UnknownParams", message) for message in expected]


def test_a_run_that_was_cleared_in_airflow_creates_an_event() -> None:
    ended = status("Succeeded", "Succeeded", **SUBMITTED)
    again = PENDING | RUN | {"attempts": 2}
    assert events(ended, again) == [
        ("Normal", "ClearedInAirflow", f"Run {RUN['dagRunId']} was cleared in Airflow; following it as attempt 2.")
    ]


@pytest.mark.parametrize(
    ("old", "new", "reason", "message"),
    [
        pytest.param(
            PENDING,
            QUEUED,
            "Submitted",
            f"Submitted run {RUN['dagRunId']} of DAG train: https://airflow/run",
            id="a run",
        ),
        pytest.param(
            PENDING,
            QUEUED | {"backfill": {"id": 7}},
            "Submitted",
            "Submitted backfill 7 of DAG train: https://airflow/run",
            id="a backfill",
        ),
        pytest.param(QUEUED, RUNNING, "Running", f"Airflow started run {RUN['dagRunId']}.", id="a run that runs"),
        pytest.param(
            QUEUED,
            RUNNING | {"backfill": {"id": 7}},
            "Running",
            "Airflow started the first run of the backfill.",
            id="a backfill that runs",
        ),
        pytest.param(SUSPENDED, PENDING, "Resumed", "The MLJob is not suspended any more.", id="an MLJob that goes on"),
        pytest.param(SUSPENDED | SUBMITTED, QUEUED, "Resumed", "The backfill goes on.", id="a backfill that goes on"),
    ],
)
def test_events_have_their_messages(old: Status, new: Status, reason: str, message: str) -> None:
    assert [each[1:] for each in events(old, new)] == [(reason, message)]


def test_a_run_from_beginning_to_end() -> None:
    spec = job(backoff_limit=1)
    steps = [
        given(spec, begun=attempt(1)),
        given(spec, run=queued()),
        given(spec, run=running(task("fit"))),
        given(spec, run=failed(task("fit", "failed", error=("ValueError", "no such column")), listed=True)),
        given(spec, begun=attempt(2)),
        given(spec, run=queued(queued_at=later(10)), now=later(10)),
        given(spec, run=running(task("fit", try_number=2), queued_at=later(10)), now=later(20)),
        given(
            spec, run=succeeded(task("fit", "success", try_number=2), queued_at=later(10), end=later(30), listed=True)
        ),
    ]
    told, now = [], NEW
    for step in steps:
        after = reported(stored(step, now))
        told += [reason for _, reason, _ in events(now, after)]
        now = after
    assert told == ["Submitted", "Running", "TaskFailed", "RetryBackoff", "Submitted", "Running", "Succeeded"]


def test_a_cancellation_from_beginning_to_end() -> None:
    spec = job(cancel=True)
    now = status_of(given(spec, status=under_way()))
    cancelled = given(spec, run=running())
    ended = given(spec, run=failed(task("fit", "failed"), listed=True), children_seen=True)
    first = reported(stored(cancelled, now))
    second = reported(stored(ended, first))
    assert kinds(now, first) == [("Normal", "Cancelling")]
    assert kinds(first, second) == [("Normal", "Cancelled")], "the task failed because it was cancelled"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(
            given(job(), status=submitting(), error=error("DagNotFound", "Try 1.", starting=True)),
            given(job(), status=submitting(), error=error("DagNotFound", "Try 2.", starting=True)),
            id="an error that is repeated",
        ),
        pytest.param(
            given(job(), catalog=catalog(full=[""])), given(job(), catalog=catalog()), id="a place that becomes free"
        ),
        pytest.param(
            given(job(cancel=True), status=cancelling("CancelRequested"), run=running()),
            given(job(cancel=True), status=cancelling("CancelRequested"), run=running(), cancelled_at=ago(1)),
            id="a cancellation that goes on",
        ),
        pytest.param(
            given(job(held=True), status=finished(), run=succeeded()),
            given(job(held=False), status=finished(), run=succeeded(listed=True)),
            id="the last look at a finished run",
        ),
        pytest.param(
            given(backfill_job(), run=backfill({"2025-12-01": "running", "2025-12-02": "queued"})),
            given(backfill_job(), run=backfill({"2025-12-01": "success", "2025-12-02": "running"})),
            id="a backfill that goes on",
        ),
    ],
)
def test_these_changes_create_no_event(before: Any, after: Any) -> None:
    first = reported(before)
    assert events(first, reported(stored(after, first))) == []


ENDED, LEFT = Child("days", "manual__1", True), Child("hours", "manual__2", False)


@pytest.mark.parametrize(
    ("ended", "left", "expected"),
    [
        pytest.param([], [], [], id="none"),
        pytest.param([ENDED], [], [("Normal", "ChildrenCancelled", "manual__1 of DAG days")], id="cancelled"),
        pytest.param([], [LEFT], [("Warning", "ChildrenLeft", "manual__2 of DAG hours")], id="in progress"),
        pytest.param(
            [ENDED],
            [LEFT],
            [
                ("Normal", "ChildrenCancelled", "manual__1 of DAG days"),
                ("Warning", "ChildrenLeft", "manual__2 of DAG hours"),
            ],
            id="both",
        ),
    ],
)
def test_runs_that_a_cancelled_run_had_started_create_events(
    ended: list[Child], left: list[Child], expected: list[tuple[str, str, str]]
) -> None:
    found = of_children(ended, left, RUN["dagRunId"])
    assert [(told.type, told.reason) for told in found] == [each[:2] for each in expected]
    for told, (_, _, named) in zip(found, expected, strict=True):
        assert RUN["dagRunId"] in told.message
        assert named in told.message


def test_a_warning_about_runs_in_progress_says_how_the_operator_can_cancel_them() -> None:
    (told,) = of_children([], [LEFT], RUN["dagRunId"])
    assert "spec.cancellation.children set to Cancel" in told.message
