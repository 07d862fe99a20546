"""Metrics that the web view collects from the successive statuses of an MLJob. The view draws
curves from these metrics if mljob-api can't send the history of the MLJob's run.
"""

from __future__ import annotations

from datetime import UTC, datetime

from mljob.resource import MLJob
from mljob.view.live_pages.status_reports import StatusReports

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def state(metrics: dict[str, float], task: str = "fit") -> MLJob:
    tasks = [{"taskId": task, "state": "running", "tryNumber": 1, "metrics": metrics}]
    return MLJob(
        {"metadata": {"name": "train", "namespace": "team-a"}, "spec": {"dagId": "train"}, "status": {"tasks": tasks}}
    )


def test_each_change_of_the_metrics_is_a_point() -> None:
    reports = StatusReports()
    for loss in (0.5, 0.5, 0.25):
        found = reports.add(state({"loss": loss}), NOW)
    assert [report.metrics for report in found] == [{"loss": 0.5}, {"loss": 0.25}]


def test_metrics_that_no_task_can_report_are_left_out() -> None:
    reports = StatusReports()
    assert reports.add(state({"loss": 1.0}, task="<img src=x>"), NOW) == []
    assert reports.add(state({"x" * 10_000: 1.0}), NOW) == []
    assert [report.metrics for report in reports.add(state({"loss": 0.5}), NOW)] == [{"loss": 0.5}]
