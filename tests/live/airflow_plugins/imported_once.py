"""The modules that tasks import.

Airflow's scheduler imports its plugins before it forks the processes that run tasks. So the
scheduler imports these modules once, instead of each task. They took more than half of the
processor time of a task.
"""

from contextlib import suppress
from importlib import import_module

for name in (
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
    "mljob_airflow.monitoring.tasks",
):
    import_module(name)

# Each task imports the classes of all DAG bundles. The oldest Airflow has no DAGs in git.
with suppress(ModuleNotFoundError):
    import_module("airflow.providers.git.bundles.git")
