"""Describes this package for ``airflow providers list`` and ``airflow config list``.

The format is Airflow's ``provider_info.schema.json`` (Airflow's documentation, "How to create your
own provider").
"""

from __future__ import annotations

from typing import Any

from mljob_airflow import __version__, settings


def get_provider_info() -> dict[str, Any]:
    """Return the description of the provider, with the options of the section ``[mljob]``. Airflow
    calls this function through an entry point.
    """
    return {
        "package-name": "airflow-provider-mljob",
        "name": "MLJob",
        "description": "Task events and progress on Kafka for the MLJob operator, its cancellation DAG, and monitoring DAGs.",
        "versions": [__version__],
        "config": {
            settings.SECTION: {
                "description": "The Airflow side of the MLJob operator.",
                "options": {
                    "topic": _option(
                        "Kafka topic of task events and progress reports. The topic must exist.",
                        default=settings.TOPIC,
                    ),
                    "source": _option(
                        "Name of this Airflow, the CloudEvents ``source`` of its events. Airflows that share a topic\n"
                        "need different names.",
                        default=settings.SOURCE,
                    ),
                    "kafka_config_id": _option(
                        "Airflow Connection of type ``kafka``. Its extra is librdkafka's configuration\n"
                        "(``bootstrap.servers``, SASL, TLS).",
                        default=settings.KAFKA_CONFIG_ID,
                    ),
                    "airflow_conn_id": _option(
                        "Airflow Connection with which this package's DAGs log in to Airflow's REST API. Its host\n"
                        "is the API server's URL. Login and password are exchanged for a token; without a login, the\n"
                        "password is the token.",
                        default=settings.AIRFLOW_CONN_ID,
                    ),
                    "instrument_all_dags": _option(
                        "Add the callbacks of ``mljob_callbacks()`` to every task of every DAG, without a change to\n"
                        "any DAG. The DAG processor and the workers must have this package.",
                        default="False",
                        kind="boolean",
                    ),
                    "run_id_prefix": _option(
                        "First part of the ids of MLJobs' runs: the operator's ``MLJOB_RUN_ID_PREFIX``.",
                        default=settings.RUN_ID_PREFIX,
                    ),
                    "slack_conn_id": _option(
                        "Airflow Connection of type ``slack`` (a bot) or ``slackwebhook`` with which the monitoring DAGs\n"
                        "notify the owners of DAGs. Empty: they notify nobody.",
                        default="",
                    ),
                    "slack_channel": _option(
                        "Slack channel (``#name`` or its id) for owners without an address, and for findings without an\n"
                        "owner.",
                        default="",
                    ),
                    "report_dir": _option(
                        "Folder on the workers for the pages of the monitoring DAGs. Empty: they write no pages.",
                        default="",
                    ),
                    "report_url": _option(
                        "URL of that folder, for a link to the page in messages. Empty: messages have no link.",
                        default="",
                    ),
                    "report_topic": _option(
                        "Kafka topic of the reports of the monitoring DAGs. The topic must exist, and differ from\n"
                        "``topic``. Empty: they send no reports.",
                        default="",
                    ),
                    "monitor_schedule": _option(
                        "Schedule of ``mljob_monitor``, a cron expression. ``none``: it runs only when it is triggered.",
                        default=settings.MONITOR_SCHEDULE,
                    ),
                    "bottlenecks_schedule": _option(
                        "Schedule of ``mljob_monitor_bottlenecks``, a cron expression. ``none``: it runs only when it is\n"
                        "triggered.",
                        default=settings.BOTTLENECKS_SCHEDULE,
                    ),
                },
            }
        },
    }


def _option(description: str, *, default: str, kind: str = "string") -> dict[str, Any]:
    return {"description": description, "version_added": "0.1.0", "type": kind, "example": None, "default": default}
