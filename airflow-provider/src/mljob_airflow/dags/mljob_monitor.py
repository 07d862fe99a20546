"""Finds problems in Airflow that a person has to solve, and notifies the owners of the DAGs. By
default the DAG runs every 15 minutes. The DAG finds:

- DAG files that can't be imported;
- paused DAGs that are in use, for example by MLJobs;
- DAGs that are in use, but are no longer in their file;
- tasks that fail again and again with the same error;
- runs and tasks that don't start;
- tasks that run longer, or wait longer for slots and a worker, than in earlier runs.

Each output is off until you set its option in the section ``[mljob]`` of Airflow's configuration:

- ``slack_conn_id`` for Slack messages to the owners;
- ``report_dir`` for HTML pages;
- ``report_topic`` for Kafka events.

Set thresholds in the Variable ``mljob_monitor`` (a JSON object), or in the params of a run. A run
with thresholds in its params notifies nobody, unless its param ``notify`` is true. Mute
findings in the Variable ``mljob_mutes``, or by the tag ``mljob-mute`` of a DAG. The option
``[mljob] monitor_schedule`` changes the schedule; with ``none`` the DAG runs only when it is
triggered.

To use this DAG, put a file with this line into a DAG folder, and unpause the DAG::

    from mljob_airflow.dags.mljob_monitor import mljob_monitor
"""

from __future__ import annotations

from mljob_airflow import settings
from mljob_airflow.monitoring.dag import monitor_dag

mljob_monitor = monitor_dag(
    "mljob_monitor",
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
