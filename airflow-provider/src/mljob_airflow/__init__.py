"""The Airflow side of the MLJob operator.

DAG files and tasks import these names:

- :func:`mljob_dag`: declares a job: a DAG with an owner, typed params and outputs, and callbacks
  that send events.
- :func:`mljob_callbacks`: makes these callbacks for the ``default_args`` of any other DAG.
- :func:`report`: reports progress and metrics of the running task.
- :func:`publish_outputs`: publishes small results of the run, which the MLJob's status shows.
- :func:`fail_for_good`: makes the exception that fails a task without a retry.
- :func:`is_there`: checks whether a file exists, for a sensor that waits for the file.
- :func:`mljob_of`: returns the namespace and the name of the MLJob that a run belongs to.
- :class:`JobType`: the types of a job, for :func:`mljob_dag`.

The subpackages:

- :mod:`.events` sends task events to Kafka.
- :mod:`.tasks` has the functions that the code of a running task calls.
- :mod:`.jobs` declares jobs, and describes DAGs for the command ``mljob-airflow`` (:mod:`.cli`).
- :mod:`.cancellation` and :mod:`.monitoring` are the code of the DAGs in :mod:`.dags`.
- :mod:`.rest` sends requests to Airflow's REST API.

Importing this package imports neither Airflow nor a Kafka client. So training code that reports
progress also runs without Airflow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mljob_airflow import supervisor as _supervisor  # noqa: F401 - it must be loaded before a task forks

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

_MODULES = {
    "JobType": "mljob_contract.job_type",
    "fail_for_good": "mljob_airflow.tasks.failing",
    "is_there": "mljob_airflow.tasks.waiting",
    "mljob_callbacks": "mljob_airflow.events.callbacks",
    "mljob_dag": "mljob_airflow.jobs.declaration",
    "mljob_of": "mljob_airflow.events.callbacks",
    "publish_outputs": "mljob_airflow.tasks.outputs",
    "report": "mljob_airflow.tasks.progress",
}
"""The module of each public name. ``__getattr__`` imports the module when the name is first used.
"""


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_MODULES[name]), name)
