"""What needs somebody's hands in Airflow, looked for every quarter of an hour and told to the owners.

- DAGs that are paused, stale or can't be imported while a schedule, MLJobs or other DAGs need them;
- tasks that fail again and again with the same error; runs and tasks that do not begin;
- tasks that take longer, or wait longer, than they used to.

Slack, a page and a Kafka event are each off until they are configured: ``slack_conn_id``, ``report_dir`` and ``report_topic`` in the section
``[mljob]``. Thresholds are fields of the Variable ``mljob_monitor`` (JSON), or params of a run. Findings are muted by
entries of the Variable ``mljob_mutes`` and by the tag ``mljob-mute`` of a DAG. ``[mljob] monitor_schedule`` is another schedule, or ``none``.

To use it, put a file with this line into a DAG folder, and unpause the DAG::

    from mljob_airflow.dags.mljob_monitor import mljob_monitor  # an Airflow DAG
"""

from __future__ import annotations

from mljob_airflow import settings
from mljob_airflow.monitoring.dag import monitor_dag

mljob_monitor = monitor_dag(
    "mljob_monitor",  # an Airflow DAG
    description="Tells owners of paused, stale and broken DAGs, recurring failures, stuck runs and slow tasks",
    doc_md=__doc__,
    schedule=settings.monitor_schedule(),
    look="watch",
    thresholds=(
        "in_use_days",
        "stuck_minutes",
        "failure_hours",
        "failure_times",
        "failure_runs",
        "log_reads",
        "outlier_hours",
        "outlier_history",
        "slow_seconds",
        "wait_seconds",
    ),
    quiet_hours=24,
)
