"""What the monitors' DAGs have in common: look, then say it three ways, each independent of the others.

Parsed again and again by the DAG processor: what a task needs is imported when it runs.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Param, get_current_context, task

from mljob_airflow.monitoring.thresholds import params_schema


def monitor_dag(
    dag_id: str,
    *,
    description: str,
    doc_md: str,
    schedule: str | None,
    look: str,
    thresholds: tuple[str, ...],
    quiet_hours: int,
) -> DAG:
    """A monitor.

    Args:
        dag_id: The DAG's id; its Variable has the same name.
        description: One line for the list of DAGs.
        doc_md: The DAG's documentation.
        schedule: Cron; ``None``: it looks only when it is asked to.
        look: The function of :mod:`.look` that makes the report.
        thresholds: Those that it uses; they become the DAG's params.
        quiet_hours: The monitor's own default of that threshold.
    """
    sending = ("quiet_hours", "settle_minutes", "min_severity")
    with DAG(
        dag_id=dag_id,
        description=description,
        doc_md=doc_md,
        schedule=schedule,
        catchup=False,
        # Who installs a package has not agreed to its DAGs running.
        is_paused_upon_creation=True,
        # Two looks at once would both tell what is new.
        max_active_runs=1,
        dagrun_timeout=timedelta(hours=1),
        tags=["mljob", "monitoring"],
        default_args={"retries": 2, "retry_delay": timedelta(seconds=30), "execution_timeout": timedelta(minutes=20)},
        params={name: Param(None, **schema) for name, schema in params_schema(*thresholds, *sending).items()},
    ) as dag:
        # Whole: by their annotation Airflow would store each key of a dictionary as an XCom of its own as well.
        @task(multiple_outputs=False)  # type: ignore[untyped-decorator]
        def observe() -> dict[str, Any]:
            """Look at Airflow; the report is the return value."""
            from mljob_airflow.monitoring import tasks

            return tasks.observe(get_current_context(), look, quiet_hours)

        @task(multiple_outputs=False)  # type: ignore[untyped-decorator]
        def tell_owners(report: dict[str, Any]) -> dict[str, Any]:
            """Write to the owners in Slack; whom, and why, is the return value."""
            from mljob_airflow.monitoring import tasks

            return tasks.tell_owners(get_current_context(), report, quiet_hours)

        @task  # type: ignore[untyped-decorator]
        def write_page(report: dict[str, Any]) -> str:
            """Write the report as a page; its file is the return value."""
            from mljob_airflow.monitoring import tasks

            return tasks.write_page(report)

        @task  # type: ignore[untyped-decorator]
        def send_event(report: dict[str, Any]) -> None:
            """Put the report on Kafka."""
            from mljob_airflow.monitoring import tasks

            tasks.send_event(report)

        report = observe()
        write_page(report)
        send_event(report)
        tell_owners(report)
    return dag
