"""The address of a task's page in Airflow's UI. The page shows the task's log."""

from __future__ import annotations

from urllib.parse import quote


def task_page(dag_run_url: str, task_id: str) -> str:
    """Return the URL of a task's page.

    Args:
        dag_run_url: The URL of the run's page, as in ``status.dagRunUrl`` of an MLJob.
        task_id: The id of the task. The id is percent-encoded (RFC 3986, section 3.3).
    """
    return f"{dag_run_url}/tasks/{quote(task_id, safe='')}"
