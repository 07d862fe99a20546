"""Cancels the dag runs that the params name: sets the unfinished task instances of each of these
runs to failed, and then the run itself. In the mode ``graceful``, teardown tasks may first run for
a limited time.

The operator triggers this DAG when a run has to be cancelled, for example because its MLJob is
deleted. You can also trigger this DAG in the UI. The task uses Airflow's REST API. The option
``[mljob] airflow_conn_id`` names the Airflow Connection for the API (``mljob_airflow`` by default).

If all these runs have ended, the return value of the task has the result of each run. Otherwise the
task fails. The task also sends an event about each run to the Kafka topic of ``[mljob] topic``.

To use this DAG, put a file with this line into a DAG folder::

    from mljob_airflow.dags.mljob_cancel import mljob_cancel
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
    # Cancellations must not wait for each other.
    max_active_runs=1000,
    max_active_tasks=1000,
    tags=["mljob"],
    default_args={
        "retries": 2,
        "retry_delay": timedelta(seconds=2),
        # The task starts before all other tasks that wait for a slot. The other tasks may belong to
        # the run that is to be cancelled.
        "priority_weight": 1000,
    },
    params={
        "dag_id": Param(None, type=["null", "string"], title="DAG", description="The DAG of the run to cancel."),
        "dag_run_id": Param(None, type=["null", "string"], title="Run", description="The id of the run to cancel."),
        "targets": Param(
            [],
            type="array",
            items=TARGET,
            # Eight runs are cancelled in parallel, so even the slowest 100 cancellations with the
            # default teardown_seconds end before the task's execution_timeout.
            maxItems=100,
            title="More runs",
            description="More runs to cancel, also without the two params above: a list of {dag_id, dag_run_id}.",
        ),
        "reason": Param(
            "cancelled by hand",
            type="string",
            title="Reason",
            description="The reason, for the notes of the runs and tasks.",
        ),
        "mode": Param(
            "graceful",
            enum=["graceful", "immediate"],
            title="Teardown tasks",
            description="graceful: teardown tasks run, and release the run's resources. immediate: they are failed like all other tasks.",
        ),
        "teardown_seconds": Param(
            30,
            type="number",
            minimum=0,
            # Eight cancellations with this value end before the task's execution_timeout.
            maximum=600,
            title="Time for teardown",
            description="Seconds that teardown tasks may take in mode graceful, at most 600; then they are failed too.",
        ),
    },
) as mljob_cancel:
    # Without multiple_outputs=False, Airflow also stores each key of the dict as an XCom.
    @task(multiple_outputs=False, execution_timeout=timedelta(minutes=20))  # type: ignore[untyped-decorator]
    def cancel() -> dict[str, Any]:
        """Cancel the runs, and return the result of each run."""
        # Imported here, because the DAG processor parses this file again and again and doesn't need
        # the task's code.
        from mljob_airflow.cancellation import task as cancellation_task

        return cancellation_task.cancel(get_current_context())

    cancel()
