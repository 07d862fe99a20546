"""The demo's lines about an MLJob."""

from __future__ import annotations

from typing import Any

import pytest

from devstack import live_view
from devstack.live_view import Moment, line, moment


def job(**status: Any) -> dict[str, Any]:
    return {"metadata": {"name": "digits-train"}, "status": status}


FITTING = job(
    phase="Running",
    reason="TaskRunning",
    progress="2/5",
    percent=52,
    currentTask="fit",
    message="The run is in progress.",
    tasks=[
        {"taskId": "load", "state": "success", "startTime": "2026-01-01T00:00:00Z", "metrics": {"rows": 1797}},
        {"taskId": "fit", "state": "running", "startTime": "2026-01-01T00:00:09Z", "metrics": {"epoch": 12, "loss": 0.21345}},
    ],
)  # fmt: skip


def test_a_job_without_a_status_is_pending() -> None:
    assert moment({"metadata": {}}) == Moment(phase="Pending")


def test_a_running_task_is_shown_with_its_progress_and_its_metrics() -> None:
    assert line(12.34, moment(FITTING)) == (
        "  12.3s  Running      2/5  [######......]  52%  fit          epoch 12  loss 0.2135"
    )


def test_metrics_stay_visible_until_the_next_task_reports_metrics() -> None:
    status = FITTING["status"] | {"currentTask": "evaluate"}
    assert dict(moment(job(**status)).metrics) == {"epoch": 12, "loss": 0.21345}


def test_a_waiting_job_says_what_it_waits_for() -> None:
    waiting = moment(job(phase="Pending", reason="DagNotFound", message="Airflow has no DAG train_model."))
    assert line(1, waiting).endswith("Airflow has no DAG train_model.")


def test_the_retry_of_a_failed_task_is_shown() -> None:
    retrying = moment(
        job(phase="Running", reason="TaskRetrying", message="Task fit failed at try 1 and will be retried.")
    )
    assert line(1, retrying).endswith("Task fit failed at try 1 and will be retried.")


def test_a_job_that_makes_progress_shows_no_message() -> None:
    assert moment(FITTING).trouble == ""


def test_a_status_that_differs_only_in_a_timestamp_is_no_change() -> None:
    again = job(**FITTING["status"], lastEventTime="2026-01-01T00:01:00Z")
    assert moment(again) == moment(FITTING)


@pytest.mark.parametrize("phase", ["Succeeded", "Failed", "Cancelled"])
def test_a_terminal_phase_ends_the_view(phase: str) -> None:
    assert moment(job(phase=phase)).is_over


@pytest.mark.parametrize("phase", ["Pending", "Suspended", "Queued", "Running", "Cancelling"])
def test_any_other_phase_does_not_end_the_view(phase: str) -> None:
    assert not moment(job(phase=phase)).is_over


def test_a_line_replaces_only_a_line_of_the_same_phase_and_task() -> None:
    earlier = moment(FITTING)
    assert moment(job(**FITTING["status"] | {"percent": 60})).supersedes(earlier)
    assert not moment(job(**FITTING["status"] | {"currentTask": "evaluate"})).supersedes(earlier)
    assert not moment(job(**FITTING["status"] | {"phase": "Succeeded"})).supersedes(earlier)


@pytest.mark.parametrize(
    ("value", "shown"),
    [(12.0, "epoch 12"), (12000, "epoch 12000"), (0.98333333, "epoch 0.9833"), (1e-7, "epoch 1e-07")],
)
def test_numbers_are_short(value: float, shown: str) -> None:
    fitting = job(phase="Running", currentTask="fit", tasks=[{"taskId": "fit", "metrics": {"epoch": value}}])
    assert line(0, moment(fitting)).endswith(shown)


def test_columns_are_under_their_headings() -> None:
    assert live_view.heading().index("TASK ") == line(0, moment(FITTING)).index("fit")
    assert live_view.heading().index("PHASE") == line(0, moment(FITTING)).index("Running")


def test_the_last_events_of_a_description_are_shown() -> None:
    description = "\n".join(
        [
            "Name:  digits-train",
            "Events:",
            "  Type    Reason",
            "  ----    ------",
            *(f"  Normal  E{n}" for n in range(20)),
        ]
    )
    assert live_view.events(description, most=2) == [
        "  Type    Reason",
        "  ----    ------",
        "  Normal  E18",
        "  Normal  E19",
    ]


@pytest.mark.parametrize("description", ["", "Name: x\n", "Events:  <none>\n"], ids=["nothing", "no-heading", "none"])
def test_a_description_without_events_shows_nothing(description: str) -> None:
    assert live_view.events(description) == []


def test_each_output_has_a_line() -> None:
    assert live_view.outputs(job(outputs={"accuracy": 0.98, "model_id": "digits"})) == [
        "accuracy  0.98",
        "model_id  digits",
    ]
    assert live_view.outputs(job()) == []
