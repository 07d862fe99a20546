from __future__ import annotations

import os
from contextlib import suppress
from importlib import import_module

from airflow.executors.local_executor import LocalExecutor

MODULES = (
    "airflow.providers.apache.kafka.hooks.produce",
    "airflow.providers.standard.decorators.branch_python",
    "airflow.providers.standard.decorators.python",
    "airflow.providers.standard.decorators.sensor",
    "airflow.providers.standard.decorators.short_circuit",
    "airflow.providers.standard.operators.bash",
    "airflow.providers.standard.operators.empty",
    "airflow.providers.standard.operators.trigger_dagrun",
    "airflow.providers.standard.sensors.time_delta",
    "airflow.providers.standard.triggers.file",
    "airflow.providers.standard.triggers.temporal",
    "airflow.sdk.definitions.asset.metadata",
    "airflow.sdk.definitions.decorators",
    "airflow.sdk.execution_time.task_runner",
    "airflow.version",
    "airflow_client.client",
    "confluent_kafka.serialization",
    "jinja2.ext",
    "joblib",
    "mljob_airflow.events.callbacks",
    "mljob_airflow.events.instrumentation",
    "mljob_airflow.events.producer",
    "mljob_airflow.events.throttle",
    "mljob_airflow.jobs.declaration",
    "mljob_airflow.monitoring.dag",
    "mljob_airflow.monitoring.notifications.notifier",
    "mljob_airflow.monitoring.tasks",
    "mljob_airflow.tasks.failing",
    "mljob_airflow.tasks.outputs",
    "mljob_airflow.tasks.progress",
    "mljob_airflow.tasks.waiting",
    "pandas",
    "scipy.ndimage",
    "sklearn.cluster",
    "sklearn.datasets",
    "sklearn.decomposition",
    "sklearn.ensemble",
    "sklearn.linear_model",
    "sklearn.metrics",
    "sklearn.model_selection",
    "sklearn.neighbors",
    "sklearn.neural_network",
    "sklearn.pipeline",
    "sklearn.preprocessing",
)
"""The modules that tasks import. Their imports take more than half of the processor time of a task.
The imports of sklearn and pandas take more than a second.
"""
OF_NEWER_AIRFLOWS = ("airflow.providers.git.bundles.git", "airflow.providers.standard.operators.hitl")
"""Modules that tasks import, and that the oldest Airflow does not have. Each task imports the
classes of all DAG bundles, so also the module for git.
"""


class PreloadingExecutor(LocalExecutor):
    """A LocalExecutor that imports the modules that tasks use (``MODULES`` and
    ``OF_NEWER_AIRFLOWS``), and then forks the workers. A task runs in a fork of a worker, so the
    task doesn't load these modules again.
    """

    def start(self) -> None:
        # Otherwise numpy would start threads, which forked processes don't have.
        os.environ["OPENBLAS_NUM_THREADS"] = "1"
        for name in MODULES:
            import_module(name)
        for name in OF_NEWER_AIRFLOWS:
            with suppress(ModuleNotFoundError):
                import_module(name)
        super().start()
