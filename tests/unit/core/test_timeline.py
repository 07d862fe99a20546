"""How long an attempt waited and ran, and the labels of an MLJob in metrics."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mljob_operator.core.mljob.resource.job import Job
from mljob_operator.core.mljob.resource.job_labels import JobLabels
from mljob_operator.core.mljob.timeline import Interval, Timeline

CREATED = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: float) -> str:
    return (CREATED + timedelta(seconds=seconds)).isoformat()


QUEUED: dict[str, Any] = {"attempts": 1, "phase": "Queued", "submitTime": at(3.5), "dagRunState": "queued"}
RUNNING = QUEUED | {"phase": "Running", "startTime": at(10), "dagRunState": "running"}
ENDED = RUNNING | {"phase": "Failed", "reason": "TaskFailed", "dagRunState": "failed", "completionTime": at(70)}
FIRST = {
    "attempt": 1,
    "dagRunId": "run-1",
    "phase": "Failed",
    "reason": "TaskFailed",
    "startTime": at(10),
    "completionTime": at(70),
}
AGAIN = ENDED | {"phase": "Pending", "reason": "RetryBackoff", "dagRunId": "run-1", "history": [FIRST]}
CLEARED = {"attempts": 2, "phase": "Queued", "dagRunId": "run-1", "startTime": at(10), "history": [FIRST]}
SUSPENDED = {
    "type": "Suspended",
    "status": "False",
    "reason": "Resumed",
    "lastTransitionTime": at(500),
}


def job(spec: dict[str, Any] | None = None, **status: Any) -> Job:
    meta = {"namespace": "team-a", "name": "churn", "uid": "u", "creationTimestamp": CREATED.isoformat()}
    return Job.from_object({"metadata": meta, "spec": {"dagId": "train", **(spec or {})}, "status": status})


def timeline(**status: Any) -> Timeline | None:
    found = job(**status)
    assert not found.stored.is_invalid
    return Timeline.of(found, found.status)


def seconds(found: Timeline | None) -> tuple[float | None, ...]:
    assert found is not None
    stages = (found.submission, found.queue, found.run, found.whole)
    return tuple(stage.seconds if stage is not None else None for stage in stages)


@pytest.mark.parametrize(
    ("status", "lengths"),
    [
        pytest.param({"attempts": 1, "phase": "Pending"}, (None, None, None, None), id="not submitted"),
        pytest.param(QUEUED, (3.5, None, None, None), id="queued"),
        pytest.param(RUNNING, (3.5, 6.5, None, None), id="running"),
        pytest.param(ENDED, (3.5, 6.5, 60, 70), id="ended"),
        pytest.param(AGAIN, (3.5, 6.5, 60, 70), id="ended, and retried later"),
        pytest.param(
            {"attempts": 1, "phase": "Cancelled", "completionTime": at(5)}, (None, None, None, 5), id="never submitted"
        ),
        pytest.param(CLEARED, (None, None, None, None), id="the start of the cleared run is no start"),
        pytest.param(
            CLEARED | {"submitTime": at(80.5), "startTime": at(80), "dagRunState": "queued"},
            (10.5, None, None, None),
            id="Airflow gives a cleared run the time of the clearing as its start",
        ),
        pytest.param(
            CLEARED | {"submitTime": at(80.5), "dagRunState": "running"},
            (10.5, None, None, None),
            id="the start of the attempt before",
        ),
        pytest.param(
            CLEARED | {"submitTime": at(80.5), "startTime": at(90), "dagRunState": "running"},
            (10.5, 9.5, None, None),
            id="cleared and started",
        ),
        pytest.param(
            CLEARED | {"submitTime": at(3600), "activeSince": at(3590)}, (10, None, None, None), id="a requested retry"
        ),
        pytest.param(
            QUEUED | {"submitTime": at(501), "activeSince": at(500), "conditions": [SUSPENDED]},
            (1, None, None, None),
            id="resumed",
        ),
        pytest.param(RUNNING | {"startTime": at(3)}, (3.5, 0, None, None), id="clocks that disagree"),
    ],
)
def test_lengths_of_the_stages(status: dict[str, Any], lengths: tuple[float | None, ...]) -> None:
    assert seconds(timeline(**status)) == lengths


def test_there_is_no_timeline_before_the_first_attempt() -> None:
    assert timeline(phase="Pending") is None


def test_a_stage_ends_once() -> None:
    queued, running, ended = timeline(**QUEUED), timeline(**RUNNING), timeline(**ENDED)
    assert queued is not None
    assert running is not None
    assert ended is not None
    assert seconds(queued.news(None)) == (3.5, None, None, None)
    assert seconds(running.news(queued)) == (None, 6.5, None, None)
    assert seconds(ended.news(queued)) == (None, 6.5, 60, 70)
    assert seconds(ended.news(ended)) == (None, None, None, None)
    assert (ended.news(running).end, ended.news(ended).end) == (("Failed", "TaskFailed"), None)
    again = timeline(**CLEARED | {"submitTime": at(80.5)})
    assert again is not None
    assert seconds(again.news(ended)) == (10.5, None, None, None), "another attempt"


def test_an_interval_is_never_negative() -> None:
    assert Interval(CREATED, CREATED - timedelta(seconds=1)).seconds == 0


@pytest.mark.parametrize(
    ("spec", "status", "expected"),
    [
        ({}, {}, JobLabels("team-a", "Custom", "Pending", "", "")),
        (
            {"type": "Training", "airflowRef": {"name": "prod"}},
            {},
            JobLabels("team-a", "Training", "Pending", "", "prod"),
        ),
        (
            {"airflowRef": {"name": "other"}},
            {"attempts": 1, "phase": "Running", "reason": "TaskRunning", "airflowInstance": "prod"},
            JobLabels("team-a", "Custom", "Running", "TaskRunning", "prod"),
        ),
        (
            {"airflowRef": {"name": "other"}},
            {"attempts": 1, "phase": "Running", "reason": "TaskRunning"},
            JobLabels("team-a", "Custom", "Running", "TaskRunning", ""),
        ),
    ],
)
def test_labels_of_an_mljob(spec: dict[str, Any], status: dict[str, Any], expected: JobLabels) -> None:
    assert JobLabels.of(job(spec, **status)) == expected
