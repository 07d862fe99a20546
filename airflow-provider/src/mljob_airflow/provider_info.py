"""What Airflow shows about this package: ``airflow providers list`` and ``airflow config list``.

The shape is Airflow's ``provider_info.schema.json`` (Airflow docs: "How to create your own provider").
"""

from __future__ import annotations

from typing import Any

from mljob_airflow import __version__, settings


def get_provider_info() -> dict[str, Any]:
    """Describe the provider, and the ``[mljob]`` section of Airflow's configuration with its defaults."""
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
                        "Kafka topic that task events and progress reports go to. It has to exist.",
                        default=settings.TOPIC,
                    ),
                    "source": _option(
                        "Which Airflow an event comes from; tells Airflows apart that share a topic.\n"
                        "CloudEvents ``source``.",
                        default=settings.SOURCE,
                    ),
                    "kafka_config_id": _option(
                        "Airflow Connection of type ``kafka``; its extra is the librdkafka configuration\n"
                        "(``bootstrap.servers``, SASL, TLS).",
                        default=settings.KAFKA_CONFIG_ID,
                    ),
                    "airflow_conn_id": _option(
                        "Airflow Connection with which this package's DAGs log in to Airflow's REST API:\n"
                        "the host is the API server's URL; login and password are exchanged for a token, or, without\n"
                        "a login, the password is the token.",
                        default=settings.AIRFLOW_CONN_ID,
                    ),
                    "instrument_all_dags": _option(
                        "Add the callbacks of ``mljob_callbacks()`` to every task of every DAG, with no DAG changed.\n"
                        "Needs this package in the DAG processor's and the workers' environments.",
                        default="False",
                        kind="boolean",
                    ),
                    "run_id_prefix": _option(
                        "What the ids of MLJobs' runs begin with: the operator's ``MLJOB_RUN_ID_PREFIX``.",
                        default=settings.RUN_ID_PREFIX,
                    ),
                    "slack_conn_id": _option(
                        "Airflow Connection of type ``slack`` (a bot) or ``slackwebhook`` with which the monitoring DAGs write\n"
                        "to the owners of DAGs. Empty: they write to nobody.",
                        default="",
                    ),
                    "slack_channel": _option(
                        "Slack channel (``#name`` or its id) for owners without an address of their own, and for what has no\n"
                        "owner.",
                        default="",
                    ),
                    "report_dir": _option(
                        "Folder for the pages of the monitoring DAGs, on the workers. Empty: none are written.",
                        default="",
                    ),
                    "report_url": _option(
                        "Where people find that folder; messages then have a link to the page.", default=""
                    ),
                    "report_topic": _option(
                        "Kafka topic for the reports of the monitoring DAGs; another than ``topic``, and it has to exist.\n"
                        "Empty: none are sent.",
                        default="",
                    ),
                    "monitor_schedule": _option(
                        "When ``mljob_monitor`` looks: a cron expression. ``none``: only when it is triggered.",
                        default=settings.MONITOR_SCHEDULE,
                    ),
                    "bottlenecks_schedule": _option(
                        "When ``mljob_monitor_bottlenecks`` looks: a cron expression. ``none``: only when it is triggered.",
                        default=settings.BOTTLENECKS_SCHEDULE,
                    ),
                },
            }
        },
    }


def _option(description: str, *, default: str, kind: str = "string") -> dict[str, Any]:
    return {"description": description, "version_added": "0.1.0", "type": kind, "example": None, "default": default}
