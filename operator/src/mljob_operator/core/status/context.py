"""The inputs of the functions that build the parts of a status."""

from __future__ import annotations

from datetime import datetime

from ..frozen import frozen
from ..mljob.classification.state import State
from .tasks import TaskSummary


@frozen
class Context:
    """The input of each function that builds a part of a status.

    Attributes:
        state: The state of the MLJob.
        tasks: The run's tasks as the status shows them, or None to keep the stored tasks.
        url: The URL of a page in Airflow's UI: the page of the run or, for a backfill, the page
            with the DAG's backfills. None if nothing was submitted or the URL is not known.
    """

    state: State
    tasks: TaskSummary | None
    url: str | None

    @property
    def of_tasks(self) -> str:
        """A text to append to a sentence: a space, and how many tasks have succeeded, such as "(3/5
        tasks succeeded)". Empty if the number is not known.
        """
        return f" ({self.tasks.progress} tasks succeeded)" if self.tasks and self.tasks.progress else ""

    @property
    def ended_at(self) -> datetime:
        """The run's end date. If the run has ended but the end date is not known, the time of the
        event or response that reported the end. If the run has not ended, or the operator does not
        know the run, the current time.
        """
        run = self.state.observed_run.run
        return (run.end or run.occurred_at) if run is not None and run.ended else self.state.now

    @property
    def last_error(self) -> str:
        """A text to append to a sentence: a space, and the message of the MLJob's last error, for
        example of a failed request. Empty if the operator remembers no error of the MLJob.
        """
        last_error = self.state.transient.last_error
        return f" {last_error.message}" if last_error is not None else ""
