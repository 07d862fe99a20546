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
        url: The URL of the run's page in Airflow's UI or, for a backfill, of the page with the
            DAG's backfills. None if nothing was submitted or the URL is not known.
    """

    state: State
    tasks: TaskSummary | None
    url: str | None

    @property
    def of_tasks(self) -> str:
        """How many tasks succeeded, as the end of a sentence: " (3/5 tasks succeeded)", with the
        leading space. Empty if the number is not known.
        """
        return f" ({self.tasks.progress} tasks succeeded)" if self.tasks and self.tasks.progress else ""

    @property
    def ended_at(self) -> datetime:
        """The time at which the run ended. If this time is not known, the time of the event or of
        the REST request that reported the end. If the run has not ended or is not known, the
        current time.
        """
        run = self.state.observed_run.run
        return (run.end or run.occurred_at) if run is not None and run.ended else self.state.now

    @property
    def last_error(self) -> str:
        """A space and the message of ``state.transient.last_error``, to append to a sentence. Empty
        if ``last_error`` is None.
        """
        last_error = self.state.transient.last_error
        return f" {last_error.message}" if last_error is not None else ""
