"""Where the platform loses time, once a day: the slowest tasks, full pools, missing workers, what is retried most.

Configured as ``mljob_monitor`` is; its schedule is ``[mljob] bottlenecks_schedule``, and its thresholds are fields of the Variable
``mljob_monitor_bottlenecks``.

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
    look="survey",
    thresholds=("bottleneck_hours", "saturated_share", "saturated_wait_seconds", "retry_share", "retry_times"),
    # The same bottleneck every day is no news.
    quiet_hours=168,
)
