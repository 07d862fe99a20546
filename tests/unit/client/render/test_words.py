"""The words for durations, numbers, states and tasks in the view and in `kubectl mljob`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mljob.endings import failure as failure_of
from mljob.render import numbers, states, times
from mljob.render.explanation import explain
from mljob.render.rows import FRESH_SECONDS, NEW, row_of
from mljob.render.tasks import Task, line_of
from mljob.render.waits import waits_since
from mljob.resource import RETRY_REQUESTED_AT, MLJob
from mljob.verdict import Verdict
from mljob.view.live_pages.jobs import JobRows
from mljob.view.pages.compare_page import compare_page
from mljob.view.pages.job_page import JobInput, job_page
from mljob.view.pages.summary import summary_of
from mljob.view.rendering import Renderer
from mljob_contract.mljob import Phase
from mljob_operator.core.mljob.resource.job import Job
from mljob_operator.core.mljob.retry_request import how_to_retry
from mljob_operator.core.run.states import TaskState
from tests.unit.client.statuses import failed

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
ENDED = [
    {
        "attempt": 1,
        "dagRunId": "mljob.team-a.digits.x-1",
        "phase": "Failed",
        "reason": "TaskFailed",
        "completionTime": "2026-03-02T08:59:00Z",
    }
]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (None, ""),
        (-5, "0s"),
        (0, "0s"),
        (59.9, "59s"),
        (60, "1m"),
        (252, "4m12s"),
        (3600, "1h"),
        (3 * 3600 + 12 * 60 + 5, "3h12m"),
        (2 * 86400 + 4 * 3600, "2d4h"),
        (400 * 86400, "1y35d"),
    ],
)
def test_duration_has_its_two_largest_units(seconds: float | None, shown: str) -> None:
    assert times.duration(seconds) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(9.0, "9"), (0.1532, "0.1532"), (123456.0, "123456"), (1e12, "1e+12"), (-0.5, "-0.5"), (0.000012345, "1.234e-05")],
)
def test_numbers_are_short(value: float, shown: str) -> None:
    assert numbers.number(value) == shown


def test_metrics_beyond_the_first_are_counted() -> None:
    assert numbers.metrics({f"m{number}": float(number) for number in range(6)}) == "m0 0  m1 1  m2 2  m3 3  +2"


@pytest.mark.parametrize(
    ("percent", "bar"),
    [(None, ""), (0, ".........."), (49, "####......"), (100, "##########"), (900, "##########"), (-1, "..........")],
)
def test_bar_has_ten_columns(percent: int | None, bar: str) -> None:
    assert numbers.bar(percent) == bar


def test_each_state_has_an_icon_and_a_word_of_its_own() -> None:
    phases = [states.of_phase(phase) for phase in Phase]
    assert [sign.word for sign in phases] == [phase.value for phase in Phase]
    tasks = [states.of_task(state) for state in TaskState]
    assert len({sign.word for sign in tasks}) == len(tasks)
    for sign in [*phases, *tasks, states.of_phase(""), states.of_phase("Odd"), states.of_task("odd")]:
        assert len(sign.icon) == len(sign.ascii) == 1
        assert sign.ascii.isascii()
        assert sign.word


def task(**fields: Any) -> str:
    line = line_of(Task.of({"taskId": "fit", **fields}), NOW)
    return " ".join(part for part in (line.name, line.sign.word, line.took, line.notes, line.error) if part)


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({}, "fit not started"),
        (
            {"state": "running", "startTime": "2026-03-02T08:59:00Z", "progress": 45, "metrics": {"loss": 0.5}},
            "fit running 1m 45%  loss 0.5",
        ),
        ({"state": "running", "metrics": {"huge": 10**400, "loss": 0.5}}, "fit running loss 0.5"),
        (
            {
                "state": "success",
                "startTime": "2026-03-02T08:00:00Z",
                "endTime": "2026-03-02T08:00:05Z",
                "progress": 100,
            },
            "fit success 5s",
        ),
        (
            {"state": "up_for_retry", "tryNumber": 2, "error": {"type": "OSError", "message": "away"}},
            "fit up for retry try 2 OSError: away",
        ),
        ({"state": "failed", "error": {"message": "away"}}, "fit failed away"),
        ({"state": "awaiting_input", "input": {"subject": "Deploy?"}}, "fit awaiting input asks: Deploy?"),
        (
            {
                "state": "running",
                "mapped": {
                    "total": 40,
                    "states": {"success": 11, "skipped": 1, "failed": 3},
                    "failedIndexes": [4, 7, 9],
                },
            },
            "fit 12/40 running 3 failed (4, 7, 9)",
        ),
        (
            {"state": "failed", "mapped": {"total": 99, "states": {"failed": 99}, "failedIndexes": list(range(20))}},
            "fit 0/99 failed 99 failed (0, 1, 2, 3, 4, 5, 6, 7, ...)",
        ),
        ({"state": "newer_state"}, "fit newer_state"),
    ],
)
def test_task_has_a_line(fields: dict[str, Any], shown: str) -> None:
    assert task(**fields) == shown


@pytest.mark.parametrize(("age", "message"), [(FRESH_SECONDS - 1, ""), (FRESH_SECONDS + 1, NEW)])
def test_new_mljob_needs_a_word_only_if_no_operator_reads_it(age: int, message: str) -> None:
    created = (NOW - timedelta(seconds=age)).isoformat()
    job = MLJob({"metadata": {"name": "digits", "creationTimestamp": created}, "status": {"observedGeneration": -1}})
    assert row_of(job, NOW).message == message


def test_command_that_retries_by_kubectl_is_left_out() -> None:
    failure = "Task fit failed at try 2: NameError: name 'accurcy' is not defined."
    metadata = {"name": "wine", "namespace": "team-a", "uid": "1", "resourceVersion": "1"}
    stored = {"metadata": metadata, "spec": {"dagId": "train_wine"}}
    job = MLJob({**stored, "status": failed(message=failure + how_to_retry(Job.from_object(stored)))})

    assert job.message.endswith("mljob.dev/retry-requested-at=$(date +%s)")
    assert job.sentence == failure
    assert row_of(job, NOW).message == failure
    assert explain(job, NOW).sentence == failure
    assert str(failure_of(job, Verdict.FAILED)).splitlines()[0] == f"MLJob team-a/wine failed: {failure}"
    assert summary_of(job.raw).message == failure


@pytest.mark.parametrize(
    ("phase", "handled", "word"),
    [
        ("Failed", None, "Retry waits"),
        ("Succeeded", "1", "Retry waits"),
        ("Failed", "2", "Failed"),
        ("Succeeded", "2", "Succeeded"),
        ("Running", "1", "Running"),
        ("Cancelled", "1", "Cancelled"),
    ],
)
def test_retry_that_waits_is_shown_as_such_by_commands_and_view(phase: str, handled: str | None, word: str) -> None:
    metadata = {"name": "wine", "namespace": "team-a", "annotations": {RETRY_REQUESTED_AT: "2"}}
    status = failed(phase=phase, lastHandledRetry=handled)
    job = MLJob({"metadata": metadata, "spec": {"dagId": "train_wine"}, "status": status})
    summary, page = summary_of(job.raw), job_page(JobInput(job, NOW))
    html = JobRows(Renderer()).html(summary, NOW)
    notice = "The requested retry waits for the operator. The attempt before:"
    waits = word == "Retry waits"

    assert row_of(job, NOW).sign.word == word
    assert explain(job, NOW).sign.word == word
    assert page.mark.word == word
    assert word in html
    assert row_of(job, NOW).message.startswith(notice) is waits
    assert page.sentence.startswith(notice) is waits
    assert summary.message.startswith(notice) is waits
    assert (notice in html) is waits
    assert summary.error == ("" if phase != "Failed" or waits else "ValueError: no data")


def test_text_of_a_task_that_looks_like_the_command_stays() -> None:
    said = "Task fit failed: To retry: kubectl annotate it yourself."
    job = MLJob({"metadata": {"name": "wine", "namespace": "team-a"}, "status": failed(message=said)})

    assert job.sentence == said


@pytest.mark.parametrize(
    ("status", "since"),
    [
        ({}, "08:00"),
        ({"phase": "Pending", "activeSince": "2026-03-02T08:30:00Z"}, "08:00"),
        (
            {"phase": "Pending", "history": [{"completionTime": "2026-03-02T08:10:00Z"}, {"completionTime": "x"}]},
            "08:00",
        ),
        ({"phase": "Running", "startTime": "2026-03-02T08:56:53Z"}, None),
        ({"phase": "Succeeded", "startTime": "2026-03-02T08:56:53Z"}, None),
        *(
            ({"phase": phase, "startTime": "2026-03-02T08:56:53Z", "history": ENDED, "activeSince": active}, since)
            for phase in ("Pending", "Queued", "Suspended")
            for active, since in (
                (None, "08:59"),
                ("2026-03-02T08:00:00Z", "08:59"),
                ("2026-03-02T08:59:30Z", "08:59:30"),
            )
        ),
    ],
)
def test_wait_begins_with_the_end_of_the_last_attempt(status: dict[str, Any], since: str | None) -> None:
    found = waits_since(MLJob({"metadata": {"creationTimestamp": "2026-03-02T08:00:00Z"}, "status": status}))
    assert found == (None if since is None else datetime.fromisoformat(f"2026-03-02T{since}Z"))


@pytest.mark.parametrize("phase", ["Pending", "Queued", "Suspended"])
def test_run_of_the_last_attempt_does_not_go_on_while_the_mljob_waits_for_the_next(phase: str) -> None:
    status = {"phase": phase, "attempts": 1, "startTime": "2026-03-02T08:56:53Z", "history": ENDED}
    metadata = {"name": "digits", "creationTimestamp": "2026-03-02T08:56:52Z"}
    job = MLJob({"metadata": metadata, "spec": {"dagId": "train"}, "status": status})
    assert dict(explain(job, NOW).facts) == {"DAG": "train", "Attempt": "1", "Waiting": "1m"}
    assert row_of(job, NOW).took == ""
    assert job_page(JobInput(job, NOW)).started_at is None
    assert [column.started_at for column in compare_page([job], {}).columns] == [None]
    summary = summary_of(job.raw)
    assert (summary.started_at, summary.waits_since) == (None, datetime(2026, 3, 2, 8, 59, tzinfo=UTC))


PAUSED_BACKFILL = {
    "phase": "Suspended",
    "attempts": 1,
    "submitTime": "2026-03-02T08:56:52.412305Z",
    "startTime": "2026-03-02T08:56:53Z",
    "backfill": {"id": 7},
}


@pytest.mark.parametrize("status", [PAUSED_BACKFILL, PAUSED_BACKFILL | {"attempts": 2, "history": ENDED}])
def test_paused_backfill_shows_the_time_since_its_start(status: dict[str, Any]) -> None:
    metadata = {"name": "week", "creationTimestamp": "2026-03-02T08:56:52Z"}
    job = MLJob({"metadata": metadata, "spec": {"dagId": "train"}, "status": status})
    started = datetime(2026, 3, 2, 8, 56, 53, tzinfo=UTC)
    facts = {"DAG": "train", "Attempt": str(status["attempts"]), "Running": "3m7s"}
    assert dict(explain(job, NOW).facts) == facts
    assert row_of(job, NOW).took == "3m7s"
    assert job_page(JobInput(job, NOW)).started_at == started
    assert [column.started_at for column in compare_page([job], {}).columns] == [started]
    summary = summary_of(job.raw)
    assert (summary.started_at, summary.waits_since) == (started, None)


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"history": ENDED}, id="the attempt has ended"),
        pytest.param({"attempts": 2, "history": ENDED, "submitTime": None}, id="the retry is not submitted"),
        pytest.param({"startTime": None}, id="no run has started"),
    ],
)
def test_suspended_backfill_without_a_started_run_in_progress_waits(changed: dict[str, Any]) -> None:
    job = MLJob({"metadata": {"creationTimestamp": "2026-03-02T08:56:52Z"}, "status": PAUSED_BACKFILL | changed})
    assert row_of(job, NOW).took == ""
    assert waits_since(job) is not None
