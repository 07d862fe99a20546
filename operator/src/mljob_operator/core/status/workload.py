"""The parts of a status that differ between an MLJob with a single run and an MLJob with a
backfill.
"""

from __future__ import annotations

from typing import Any, Protocol

from ..mljob.classification.state import State
from ..run.observed_run import ObservedRun
from ..run.run_key import RunKey
from ..text.urls import path_segment
from .context import Context
from .summary import StatusSummary


class Workload(Protocol):
    """The interface of :class:`.single_run.SingleRun` and :class:`.backfill.BackfillOfRuns`.

    Attributes:
        noun: The word for the workload in messages: "run" or "backfill".
    """

    noun: str

    def url(self, ui_url: str, run: RunKey) -> str:
        """Return the URL of the workload's page in Airflow's UI."""
        ...

    def fields(self, observed_run: ObservedRun, url: str | None) -> dict[str, Any]:
        """Return the status fields that only this kind of workload has."""
        ...

    def in_progress(self, context: Context) -> StatusSummary:
        """Return the phase, reason and message of a run or backfill that has not ended."""
        ...

    def cancelling(self, state: State) -> str:
        """Return a sentence that says how the workload is being cancelled."""
        ...

    def collecting(self, context: Context) -> StatusSummary:
        """Return the phase, reason and message of a run or backfill that has ended, while the
        operator reads the results.
        """
        ...

    def succeeded(self, context: Context) -> StatusSummary:
        """Return the phase, reason and message of a workload that succeeded."""
        ...

    def failed(self, observed_run: ObservedRun) -> StatusSummary:
        """Return the phase, reason and message of a workload that failed and was not cancelled."""
        ...


def dag_url(ui_url: str, dag_id: str) -> str:
    """Return the URL of the DAG's page in Airflow's UI."""
    return f"{ui_url.rstrip('/')}/dags/{path_segment(dag_id)}"
