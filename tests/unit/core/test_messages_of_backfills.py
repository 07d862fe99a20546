"""The messages of backfills."""

from __future__ import annotations

import pytest

from .situations import Given, ago, backfill, backfill_job, error, given, not_found, under_way
from .test_messages import RUNS, says


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
