"""What an MLJob has in Airflow: a run, or a backfill with many runs. The status uses one protocol
for both.
"""

from __future__ import annotations

from typing import Any, Protocol
from urllib.parse import quote

from ..run.observed_run import ObservedRun
from ..run.run_key import RunKey
from .context import Context
from .summary import StatusSummary


class Workload(Protocol):
    """The parts of a status that differ between a run and a backfill.

    Attributes:
        noun: Its name in messages: "run" or "backfill".
    """

    noun: str

    def url(self, ui_url: str, run: RunKey) -> str:
        """The URL of its page in Airflow's UI."""
        ...

    def fields(self, observed_run: ObservedRun, url: str | None) -> dict[str, Any]:
        """Additional fields of the status, beside those of a single run's tasks."""
        ...

    def in_progress(self, context: Context) -> StatusSummary:
        """The summary while it is in progress, as Airflow says."""
        ...

    def collecting(self, context: Context) -> StatusSummary:
        """The summary after its end, while its results are read."""
        ...

    def succeeded(self, context: Context) -> StatusSummary:
        """The summary after it succeeded."""
        ...

    def failed(self, observed_run: ObservedRun) -> StatusSummary:
        """The summary after it failed by itself."""
        ...


def dag_url(ui_url: str, dag_id: str) -> str:
    """The URL of the DAG's page in Airflow's UI. Airflow's REST API does not return such URLs."""
    return f"{ui_url.rstrip('/')}/dags/{quote(dag_id, safe='')}"
