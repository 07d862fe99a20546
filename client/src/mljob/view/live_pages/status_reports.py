"""Metrics of an MLJob's status, collected while a page is open. The page draws curves from these
metrics if the run's history can't be read.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime

from pydantic import ValidationError

from mljob_contract.history import MetricsReport
from mljob_contract.mljob import StatusSource

from ...resource import MLJob


class StatusReports:
    """The reports of metrics of one MLJob, oldest first. They are collected from each status of the
    MLJob that an open page gets.
    """

    def __init__(self) -> None:
        self._last: dict[str, dict[str, float]] = {}
        self._reports: list[MetricsReport] = []

    def add(self, job: MLJob, now: datetime) -> list[MetricsReport]:
        """Add the metrics in a state of the MLJob, and return the last 1,000 reports that were
        added. A task whose metrics have not changed gets no new report. Metrics with names that no
        task can report are left out.
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
