"""Makes URLs of pages in Airflow's UI. Airflow's REST API does not return such URLs."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote


@dataclass(frozen=True, slots=True)
class Links:
    """Makes URLs of pages in Airflow's UI.

    ``base_url`` is the UI's address, for example ``https://airflow.example``.
    """

    base_url: str

    def dag(self, dag_id: str) -> str:
        """Return the URL of a DAG's page."""
        return f"{self.base_url.rstrip('/')}/dags/{quote(dag_id, safe='')}"

    def task(self, dag_id: str, task_id: str) -> str:
        """Return the URL of a task's page. The page lists the task's instances in all runs."""
        return f"{self.dag(dag_id)}/tasks/{quote(task_id, safe='')}"

    def run(self, dag_id: str, run_id: str) -> str:
        """Return the URL of a run's page."""
        return f"{self.dag(dag_id)}/runs/{quote(run_id, safe='')}"

    def task_instance(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> str:
        """Return the URL of a task instance's log.

        ``map_index`` is -1 for a task that is not mapped.
        """
        mapped = f"/mapped/{map_index}" if map_index >= 0 else ""
        return f"{self.run(dag_id, run_id)}/tasks/{quote(task_id, safe='')}{mapped}"

    def variables(self) -> str:
        """Return the URL of the list of Variables."""
        return f"{self.base_url.rstrip('/')}/variables"

    def pools(self) -> str:
        """Return the URL of the list of pools."""
        return f"{self.base_url.rstrip('/')}/pools"
