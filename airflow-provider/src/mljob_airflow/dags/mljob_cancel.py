"""The cancellation DAG: fails every unfinished task instance of a dag run, then the run.

The operator triggers it when an MLJob is deleted in mid-run; anyone else may as well, from the UI. It goes through Airflow's
REST API, since no task can reach another run otherwise, with the credentials of the Airflow Connection that
``[mljob] airflow_conn_id`` names (``mljob_airflow`` by default).

To use it, put a file with this line into a DAG folder::

    from mljob_airflow.dags.mljob_cancel import mljob_cancel  # an Airflow DAG
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Param, get_current_context, task

with DAG(
    dag_id="mljob_cancel",
    description="Cancels a dag run: fails its unfinished task instances, then the run",
    doc_md=__doc__,
    schedule=None,
    is_paused_upon_creation=False,
    # As many cancellations at once as anybody asks for: they must not wait for each other.
    max_active_runs=1000,
    max_active_tasks=1000,
    tags=["mljob"],
    default_args={
        "retries": 2,
        "retry_delay": timedelta(seconds=2),
        # Ahead of whatever else waits for a slot, perhaps the very run that is to be cancelled.
        "priority_weight": 1000,
    },
    params={
        "dag_id": Param(type="string", minLength=1, title="DAG", description="The DAG of the run to cancel."),
        "dag_run_id": Param(type="string", minLength=1, title="Run", description="The id of the run to cancel."),
        "reason": Param(
            "cancelled by hand", type="string", title="Reason", description="Why; becomes the note of the run."
        ),
        "teardown_seconds": Param(
            30,
            type="number",
            minimum=0,
            title="Time for teardown",
            description="Seconds that teardown tasks may take to release what the run holds; then they are failed too.",
        ),
    },
) as mljob_cancel:

    @task(execution_timeout=timedelta(minutes=10))  # type: ignore[untyped-decorator]
    def cancel() -> dict[str, Any]:
        """Cancel the run; what was done is the return value."""
        from airflow.sdk import Connection

        from mljob_airflow import settings
        from mljob_airflow.cancellation import Timing, cancel_run
        from mljob_airflow.rest import AirflowRuns, Endpoint

        params = get_current_context()["params"]
        endpoint = Endpoint.from_connection(Connection.get(settings.airflow_conn_id()))
        summary = cancel_run(
            AirflowRuns(endpoint),
            params["dag_id"],
            params["dag_run_id"],
            reason=params["reason"],
            timing=Timing(teardown=params["teardown_seconds"]),
        )
        return summary.as_dict()

    cancel()
