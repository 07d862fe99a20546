"""Finds problems in Airflow that need a person, every quarter of an hour, and notifies the owners
of the DAGs:

- DAGs that are paused, stale or can't be imported although a schedule, MLJobs or other DAGs need
  them;
- tasks that fail again and again with the same error;
- runs and tasks that don't start;
- tasks that take or wait longer than before.

Messages in Slack, HTML pages and Kafka events are off until you set ``slack_conn_id``,
``report_dir`` and ``report_topic`` in the section ``[mljob]`` of Airflow's configuration.
Thresholds are fields of the Variable ``mljob_monitor`` (a JSON object), or params of a run. Entries
of the Variable ``mljob_mutes`` and the tag ``mljob-mute`` of a DAG mute findings. ``[mljob]
monitor_schedule`` changes the schedule; ``none`` switches it off.

To use it, put a file with this line into a DAG folder, and unpause the DAG::

    from mljob_airflow.dags.mljob_monitor import mljob_monitor  # an Airflow DAG
"""

from __future__ import annotations

from mljob_airflow import settings
from mljob_airflow.monitoring.dag import monitor_dag

mljob_monitor = monitor_dag(
    "mljob_monitor",  # an Airflow DAG
    description="Notifies owners of paused, stale and broken DAGs, recurring failures, stuck runs and slow tasks",
    doc_md=__doc__,
    schedule=settings.monitor_schedule(),
    collect="collect_problems",
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
