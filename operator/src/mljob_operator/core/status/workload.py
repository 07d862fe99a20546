"""Makes the parts of a status that differ between the two kinds of workload. An MLJob's workload in
Airflow is a run, or a backfill with many runs. ``Workload`` is the typing protocol of the two
implementations, :mod:`.single_run` and :mod:`.backfill`.
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
    """Makes the parts of a status that differ between a run and a backfill.

    Attributes:
        noun: The noun for the workload in messages: "run" or "backfill".
    """

    noun: str

    def url(self, ui_url: str, run: RunKey) -> str:
        """Return the URL of the page in Airflow's UI that shows the workload."""
        ...

    def fields(self, observed_run: ObservedRun, url: str | None) -> dict[str, Any]:
        """Return the status fields that only this kind of workload has."""
        ...

    def in_progress(self, context: Context) -> StatusSummary:
        """Return the phase, reason and message of a workload that is in progress according to
        Airflow.
        """
        ...

    def cancelling(self, state: State) -> str:
        """Return a sentence that says how the workload is being cancelled."""
        ...

    def collecting(self, context: Context) -> StatusSummary:
        """Return the phase, reason and message of a workload that has ended and whose results are
        being read.
        """
        ...

    def succeeded(self, context: Context) -> StatusSummary:
        """Return the phase, reason and message of a workload that succeeded."""
        ...

    def failed(self, observed_run: ObservedRun) -> StatusSummary:
        """Return the phase, reason and message of a workload that failed and was not cancelled."""
        ...


def dag_url(ui_url: str, dag_id: str) -> str:
    """Return the URL of the DAG's page in Airflow's UI. Airflow's REST API does not return such
    URLs.
    """
    return f"{ui_url.rstrip('/')}/dags/{path_segment(dag_id)}"
