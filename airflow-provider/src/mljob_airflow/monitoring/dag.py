"""Makes a monitoring DAG. The first task makes a report about Airflow. Then three tasks use the
report: one sends Slack messages to the owners of DAGs, one writes an HTML page, and one sends the
report to Kafka.

The DAG processor parses DAG files again and again. So each task imports its code only when the task
runs.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Param, get_current_context, task

from mljob_airflow.monitoring.thresholds import NOTIFY, params_schema


def monitor_dag(
    dag_id: str,
    *,
    description: str,
    doc_md: str,
    schedule: str | None,
    collect: str,
    thresholds: tuple[str, ...],
    quiet_hours: int,
) -> DAG:
    """Make a monitoring DAG.

    Args:
        dag_id: The DAG's id, and the name of the Variable with the DAG's thresholds.
        description: One line for the list of DAGs.
        doc_md: The DAG's documentation.
        schedule: A cron expression, or ``None`` if the DAG runs only when it is triggered.
        collect: The name of the function in :mod:`.collector` that makes the report.
        thresholds: The names of the thresholds that ``collect`` uses. These thresholds become
            params of the DAG. So do the thresholds of notifications: ``quiet_hours``,
            ``settle_minutes`` and ``min_severity``.
        quiet_hours: The default number of hours after which an owner is notified again of the same
            finding.
    """
    notifying = ("quiet_hours", "settle_minutes", "min_severity")
    schemas = params_schema(*thresholds, *notifying, quiet_hours=quiet_hours)
    with DAG(
        dag_id=dag_id,
        description=description,
        doc_md=doc_md,
        schedule=schedule,
        catchup=False,
        # Installing a package must not start its DAGs.
        is_paused_upon_creation=True,
        # Two runs at the same time would both notify owners of the same findings.
        max_active_runs=1,
        dagrun_timeout=timedelta(hours=1),
        tags=["mljob", "monitoring"],
        default_args={"retries": 2, "retry_delay": timedelta(seconds=30), "execution_timeout": timedelta(minutes=20)},
        params={
            **{name: Param(None, **schema) for name, schema in schemas.items()},
            NOTIFY: Param(
                False,
                type="boolean",
                title="Notify",
                description="Whether a run with thresholds in its params notifies owners. Then later runs compare "
                "their findings with the findings of this run. Runs without such params always notify owners.",
            ),
        },
    ) as dag:
        # Without multiple_outputs=False, Airflow also stores each key of the dict as an XCom.
        @task(multiple_outputs=False)  # type: ignore[untyped-decorator]
        def observe() -> dict[str, Any]:
            """Make the report, and return it as a JSON object."""
            from mljob_airflow.monitoring import tasks

            return tasks.observe(get_current_context(), collect, quiet_hours)

        @task(multiple_outputs=False)  # type: ignore[untyped-decorator]
        def tell_owners(report: dict[str, Any]) -> dict[str, Any]:
            """Notify the owners in Slack. Return the reason of each notification, by owner."""
            from mljob_airflow.monitoring import tasks

            return tasks.tell_owners(get_current_context(), report, quiet_hours)

        @task  # type: ignore[untyped-decorator]
        def write_page(report: dict[str, Any]) -> str:
            """Write the report as an HTML page, and return the path of the page."""
            from mljob_airflow.monitoring import tasks

            return tasks.write_page(report)

        @task  # type: ignore[untyped-decorator]
        def send_event(report: dict[str, Any]) -> None:
            """Send the report to Kafka."""
            from mljob_airflow.monitoring import tasks

            tasks.send_event(report)

        report = observe()
        write_page(report)
        send_event(report)
        tell_owners(report)
    return dag
