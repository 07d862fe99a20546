"""The metrics from the successive statuses of an MLJob, collected while a page shows the MLJob. The
page draws curves from these metrics if the run's history can't be read.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime

from pydantic import ValidationError

from mljob_contract.history import MetricsReport
from mljob_contract.mljob import StatusSource

from ...resource import MLJob


class StatusReports:
    """Collects the metrics in an MLJob's status as a list of reports, the oldest report first. An
    open page calls :meth:`add` for each new status of the MLJob.
    """

    def __init__(self) -> None:
        self._last: dict[str, dict[str, float]] = {}
        self._reports: list[MetricsReport] = []

    def add(self, job: MLJob, now: datetime) -> list[MetricsReport]:
        """Compare the metrics of each task in the MLJob's status with the metrics at the last call.
        If the metrics of a task have changed, add a report for the task. Return the last 1,000
        reports. Add no report if the task's metrics are invalid, for example if a metric has an
        invalid name.

        Args:
            job: The MLJob, with its newest status.
            now: The time of the reports if the status has no ``last_event_time``.

        Raises:
            InvalidResource: The stored status does not fit this version's model.
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
