from __future__ import annotations

from typing import Any

import pytest

from .situations import (
    Given,
    ListTasks,
    LookUpRun,
    MLJob,
    Pause,
    Release,
    Store,
    TriggerCancellation,
    Wait,
    ago,
    backfill,
    backfill_job,
    decided,
    error,
    given,
    job,
    later,
    not_found,
    running,
    under_way,
    unread,
)

RUNS = {"2025-12-01": "success", "2025-12-02": "running", "2025-12-03": "queued"}
SUSPENDED = backfill_job(suspend=True)


def told(reason: str) -> dict[str, Any]:
    holds = "True" if reason == "Suspended" else "False"
    condition = {"type": "Suspended", "status": holds, "reason": reason, "lastTransitionTime": "2026-01-01T11:55:00Z"}
    return {"status": under_way(phase="Suspended" if holds == "True" else "Running", conditions=[condition])}


@pytest.mark.parametrize(
    ("situation", "expected"),
    [
        pytest.param(given(SUSPENDED, run=backfill(RUNS)), Store(), id="the status tells of the wish first"),
        pytest.param(given(SUSPENDED, run=backfill(RUNS), **told("Suspending")), Pause(True), id="pauses"),
        pytest.param(
            given(SUSPENDED, run=backfill(RUNS), **told("Suspended")), Pause(True), id="pauses what somebody unpaused"
        ),
        pytest.param(
            given(backfill_job(), run=backfill(RUNS, paused=True), **told("Suspended")), Pause(False), id="goes on"
        ),
        pytest.param(
            given(backfill_job(), run=backfill(RUNS), **told("Suspended")),
            Pause(False),
            id="asks for that even where Airflow says that it is not paused",
        ),
        pytest.param(
            given(backfill_job(generation=2), run=backfill(RUNS), resumed=1, **told("Resuming")),
            Pause(False),
            id="asks for that once for each change of the spec",
        ),
        pytest.param(
            given(SUSPENDED, run=unread(), **told("Suspending")), LookUpRun(), id="reads the backfill after a restart"
        ),
        pytest.param(
            given(SUSPENDED, run=backfill(RUNS), error=error(again=later(5)), **told("Suspending")),
            Wait(later(5)),
            id="waits until what failed is tried again",
        ),
        pytest.param(
            given(SUSPENDED, run=backfill(RUNS), error=error(again=later(5))),
            Store(),
            id="tells of the wish without waiting",
        ),
        pytest.param(
            given(SUSPENDED, run=backfill(RUNS, paused=True), **told("Suspended")), Wait(), id="passes: it is paused"
        ),
        pytest.param(
            given(SUSPENDED, run=backfill(RUNS, paused=True)), Wait(), id="passes: somebody paused it already"
        ),
        pytest.param(
            given(backfill_job(), run=backfill(RUNS), resumed=1, **told("Resuming")), Wait(), id="passes: it goes on"
        ),
        pytest.param(
            given(backfill_job(), run=backfill(RUNS, paused=True)), Wait(), id="passes: a person paused it in Airflow"
        ),
        pytest.param(
            given(SUSPENDED, run=backfill({"2025-12-01": "success"}), **told("Suspending")),
            ListTasks(),
            id="passes: it has ended",
        ),
        pytest.param(
            given(
                SUSPENDED,
                run=not_found(since=ago(90), again=True, after=backfill(RUNS)),
                vanished=True,
                looked_up=ago(10),
                **told("Suspending"),
            ),
            Wait(later(50)),
            id="passes: many runs are missing",
        ),
        pytest.param(
            given(backfill_job(suspend=True, cancel=True), run=backfill(RUNS)), Store(), id="passes: it is cancelled"
        ),
        pytest.param(given(job(suspend=True), run=running()), Store(), id="passes: a run is cancelled instead"),
    ],
)
def test_pause_or_resume(situation: Given, expected: object) -> None:
    assert decided(situation) == expected


@pytest.mark.parametrize(
    ("of", "known", "expected"),
    [
        pytest.param(backfill_job(suspend=True), {}, Release(), id="a backfill that has not begun"),
        pytest.param(job(suspend=True), {}, Release(), id="an MLJob that has not begun"),
        pytest.param(job(suspend=True, held=False), {}, Wait(), id="without the finalizer"),
        pytest.param(
            job(suspend=True), {"run": running(), "announced": "Suspending"}, TriggerCancellation(), id="a run"
        ),
    ],
)
def test_suspension_without_a_backfill_in_progress(of: MLJob, known: dict[str, Any], expected: object) -> None:
    assert decided(of, **known) == expected
