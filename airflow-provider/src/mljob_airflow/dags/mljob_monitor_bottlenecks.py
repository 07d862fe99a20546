"""Reports once a day where the platform loses time: the slowest tasks, full pools, missing workers,
and the tasks with most retries.

It is configured like ``mljob_monitor``. ``[mljob] bottlenecks_schedule`` is its schedule, and its
thresholds are fields of the Variable ``mljob_monitor_bottlenecks``.

To use it, put a file with this line into a DAG folder, and unpause the DAG::

    from mljob_airflow.dags.mljob_monitor_bottlenecks import mljob_monitor_bottlenecks  # an Airflow DAG
"""

from __future__ import annotations

from mljob_airflow import settings
from mljob_airflow.monitoring.dag import monitor_dag

mljob_monitor_bottlenecks = monitor_dag(
    "mljob_monitor_bottlenecks",  # an Airflow DAG
    description="Reports the slowest tasks, saturated pools and workers, and the most retried tasks",
    doc_md=__doc__,
    schedule=settings.bottlenecks_schedule(),
    collect="collect_bottlenecks",
    thresholds=("bottleneck_hours", "saturated_share", "saturated_wait_seconds", "retry_share", "retry_times"),
    # A bottleneck stays for days: notify of it once a week.
    quiet_hours=168,
)
