"""Reports where the platform loses time: the slowest tasks, full pools, too few workers, and the
tasks with the most retries. By default the DAG runs once a day.

Configure this DAG like ``mljob_monitor``, but set the schedule in the option ``[mljob]
bottlenecks_schedule``, and thresholds in the Variable ``mljob_monitor_bottlenecks``.

To use this DAG, put a file with this line into a DAG folder, and unpause the DAG::

    from mljob_airflow.dags.mljob_monitor_bottlenecks import mljob_monitor_bottlenecks
"""

from __future__ import annotations

from mljob_airflow import settings
from mljob_airflow.monitoring.dag import monitor_dag

mljob_monitor_bottlenecks = monitor_dag(
    "mljob_monitor_bottlenecks",
    description="Reports the slowest tasks, saturated pools and workers, and the most retried tasks",
    doc_md=__doc__,
    schedule=settings.bottlenecks_schedule(),
    collect="collect_bottlenecks",
    thresholds=("bottleneck_hours", "saturated_share", "saturated_wait_seconds", "retry_share", "retry_times"),
    # A bottleneck stays for days, so owners are notified of it once a week.
    quiet_hours=168,
)
