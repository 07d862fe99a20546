"""The Airflow side of the MLJob operator: what tasks do, told on a Kafka topic as it happens.

- :func:`mljob_dag`: a job as an on-demand DAG, with typed params and outputs, an owner, and all of the below.
- :func:`mljob_callbacks`: one line in a DAG's ``default_args`` that reports every state its tasks enter.
- :func:`report`: progress and metrics from inside a running task.
- :func:`publish_outputs`: the small results of a run, shown in the MLJob's status.
- :func:`fail_for_good`: the exception of a task that another try would not help.
- :func:`is_there`: for a sensor that waits for what another job makes.

Whatever observes a task must never break it. Importing this package imports nothing else, neither Airflow nor Kafka; a
DAG file that uses it parses as fast as one that doesn't, and training code that reports its progress also runs on a
laptop without Airflow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mljob_airflow.events.callbacks import mljob_callbacks, mljob_of
    from mljob_airflow.jobs.declaration import mljob_dag
    from mljob_airflow.tasks.failing import fail_for_good
    from mljob_airflow.tasks.outputs import publish_outputs
    from mljob_airflow.tasks.progress import report
    from mljob_airflow.tasks.waiting import is_there
    from mljob_contract.job_type import JobType

__all__ = [
    "JobType",
    "fail_for_good",
    "is_there",
    "mljob_callbacks",
    "mljob_dag",
    "mljob_of",
    "publish_outputs",
    "report",
]
__version__ = "0.1.0"

_HOMES = {
    "JobType": "mljob_contract.job_type",
    "fail_for_good": "mljob_airflow.tasks.failing",
    "is_there": "mljob_airflow.tasks.waiting",
    "mljob_callbacks": "mljob_airflow.events.callbacks",
    "mljob_dag": "mljob_airflow.jobs.declaration",
    "mljob_of": "mljob_airflow.events.callbacks",
    "publish_outputs": "mljob_airflow.tasks.outputs",
    "report": "mljob_airflow.tasks.progress",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
