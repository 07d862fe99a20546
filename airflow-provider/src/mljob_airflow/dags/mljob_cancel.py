"""The cancellation DAG: fails every unfinished task instance of dag runs, then the runs, and sees that they are over.

The operator triggers it when an MLJob is deleted in mid-run; anyone else may as well, from the UI. It goes through Airflow's
REST API, since no task can reach another run otherwise, with the credentials of the Airflow Connection that
``[mljob] airflow_conn_id`` names (``mljob_airflow`` by default). What was done to each run is the task's return value, and an event
on the Kafka topic of ``[mljob] topic``.

To use it, put a file with this line into a DAG folder::

    from mljob_airflow.dags.mljob_cancel import mljob_cancel  # an Airflow DAG
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Param, get_current_context, task

TARGET = {
    "type": "object",
    "properties": {"dag_id": {"type": "string", "minLength": 1}, "dag_run_id": {"type": "string", "minLength": 1}},
    "required": ["dag_id", "dag_run_id"],
    "additionalProperties": False,
}

with DAG(
    dag_id="mljob_cancel",
    description="Cancels dag runs: fails their unfinished task instances, then the runs",
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
        "dag_id": Param(None, type=["null", "string"], title="DAG", description="The DAG of the run to cancel."),
        "dag_run_id": Param(None, type=["null", "string"], title="Run", description="The id of the run to cancel."),
        "targets": Param(
            [],
            type="array",
            items=TARGET,
            # At eight at once, what they may take at worst fits in the task's time.
            maxItems=100,
            title="Several runs",
            description="Runs to cancel, beside that one or instead of it: a list of {dag_id, dag_run_id}.",
        ),
        "reason": Param(
            "cancelled by hand", type="string", title="Reason", description="Why; becomes the note of the runs."
        ),
        "mode": Param(
            "graceful",
            enum=["graceful", "immediate"],
            title="Teardown tasks",
            description="graceful: they get their chance to release what the run holds. immediate: they are failed like all others.",
        ),
        "teardown_seconds": Param(
            30,
            type="number",
            minimum=0,
            title="Time for teardown",
            description="Seconds that teardown tasks may take where the mode is graceful; then they are failed too.",
        ),
    },
) as mljob_cancel:
    # Whole: by its annotation Airflow would store each key of the dictionary as an XCom of its own as well.
    @task(multiple_outputs=False, execution_timeout=timedelta(minutes=20))  # type: ignore[untyped-decorator]
    def cancel() -> dict[str, Any]:
        """Cancel the runs; what was done to each is the return value."""
        # Late: parsed again and again by the DAG processor, which needs none of it.
        from mljob_airflow.cancellation import task as cancellation_task

        return cancellation_task.cancel(get_current_context())

    cancel()
