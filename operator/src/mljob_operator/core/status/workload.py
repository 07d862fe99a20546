"""What an MLJob has in Airflow: a run, or a backfill with many runs. The status tells of both by one protocol."""

from __future__ import annotations

from typing import Any, Protocol
from urllib.parse import quote

from ..run.observed_run import ObservedRun
from ..run.run_key import RunKey
from .context import Context
from .summary import StatusSummary


class Workload(Protocol):
    """What differs between a run and a backfill in a status.

    Attributes:
        noun: What to call it in a sentence.
    """

    noun: str

    def url(self, ui_url: str, run: RunKey) -> str:
        """The page in Airflow's UI."""
        ...

    def fields(self, observed_run: ObservedRun, url: str | None) -> dict[str, Any]:
        """Fields of the status that a single run's tasks do not give."""
        ...

    def in_progress(self, context: Context) -> StatusSummary:
        """While Airflow says that it goes on."""
        ...

    def collecting(self, context: Context) -> StatusSummary:
        """While its results are read, after its end."""
        ...

    def succeeded(self, context: Context) -> StatusSummary:
        """After it succeeded."""
        ...

    def failed(self, observed_run: ObservedRun) -> StatusSummary:
        """After it failed by itself."""
        ...


def dag_url(ui_url: str, dag_id: str) -> str:
    """The DAG's page in Airflow's UI. Airflow's REST API gives no such URLs."""
    return f"{ui_url.rstrip('/')}/dags/{quote(dag_id, safe='')}"
