"""Collects metrics from the successive statuses of an MLJob. The web view draws curves from these
metrics if mljob-api can't send the history of the MLJob's run.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime

from pydantic import ValidationError

from mljob_contract.history import MetricsReport
from mljob_contract.mljob import StatusSource

from ...resource import MLJob


class StatusReports:
    """Collects the metrics in the successive statuses of an MLJob as a list of reports."""

    def __init__(self) -> None:
        self._last: dict[str, dict[str, float]] = {}
        self._reports: list[MetricsReport] = []

    def add(self, job: MLJob, now: datetime) -> list[MetricsReport]:
        """Add a report for each task whose metrics have changed since the last call. Return the
        reports of all calls, the oldest first, but at most the last 1,000. A task with invalid
        metrics gets no report.

        Args:
            job: The MLJob, with its newest status.
            now: The time of the reports if the status has no ``last_event_time``.

        Raises:
            InvalidResource: The MLJob's status does not fit the class MLJobStatus.
        """
        status = job.status
        for task in status.tasks or ():
            if task.metrics and self._last.get(task.task_id) != task.metrics:
                self._last[task.task_id] = task.metrics
                # Whoever may write a status may write names there that no task can report.
                with suppress(ValidationError):
                    self._reports.append(
                        MetricsReport(
                            time=status.last_event_time or now,
                            source=StatusSource.REST,
                            task_id=task.task_id,
                            try_number=task.try_number,
                            metrics=task.metrics,
                        )
                    )
        del self._reports[:-1_000]
        return self._reports
