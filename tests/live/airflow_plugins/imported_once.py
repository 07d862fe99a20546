"""What every task imports. Airflow's scheduler imports its plugins before it forks the processes that run tasks: not each of a thousand tasks has to."""

from importlib import import_module

for name in (
    "airflow.providers.standard.decorators.python",
    "airflow.providers.standard.operators.trigger_dagrun",
    "airflow.sdk.definitions.decorators",
    "airflow.sdk.execution_time.task_runner",
    "confluent_kafka.serialization",
    "jinja2.ext",
    "mljob_airflow.events.callbacks",
):
    import_module(name)
