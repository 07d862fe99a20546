"""An executor for the tests' Airflow."""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module

from airflow.executors.local_executor import LocalExecutor

MODULES = (
    "airflow.providers.apache.kafka.hooks.produce",
    "airflow.providers.standard.decorators.python",
    "airflow.providers.standard.operators.trigger_dagrun",
    "airflow.sdk.definitions.asset.metadata",
    "airflow.sdk.definitions.decorators",
    "airflow.sdk.execution_time.task_runner",
    "airflow_client.client",
    "confluent_kafka.serialization",
    "jinja2.ext",
    "mljob_airflow.events.callbacks",
    "mljob_airflow.events.producer",
    "mljob_airflow.events.throttle",
    "mljob_airflow.monitoring.dag",
    "mljob_airflow.monitoring.notifications.notifier",
    "mljob_airflow.monitoring.tasks",
)
"""The modules that tasks import. Their imports take more than half of the processor time of a
task.
"""
GIT_BUNDLE = "airflow.providers.git.bundles.git"
"""The module of a DAG bundle class. Each task imports the classes of all DAG bundles. The oldest
Airflow has no DAGs in git.
"""


class PreloadingExecutor(LocalExecutor):
    """A LocalExecutor that imports what tasks import, before it forks the processes of tasks."""

    def start(self) -> None:
        """Import the modules and fork the processes."""
        for name in MODULES:
            import_module(name)
        with suppress(ModuleNotFoundError):
            import_module(GIT_BUNDLE)
        super().start()
