"""The ``[mljob]`` section of Airflow's configuration.

Options come from ``airflow.cfg`` or from environment variables ``AIRFLOW__MLJOB__<OPTION>``.
:mod:`mljob_airflow.provider_info` describes each option with its default. Airflow shows these
descriptions with ``airflow config list --include-descriptions``.
"""

from __future__ import annotations

from typing import Any

SECTION = "mljob"

TOPIC = "airflow.events"
SOURCE = "airflow"
KAFKA_CONFIG_ID = "kafka_default"
AIRFLOW_CONN_ID = "mljob_airflow"
RUN_ID_PREFIX = "mljob"
MONITOR_SCHEDULE = "*/15 * * * *"
BOTTLENECKS_SCHEDULE = "30 5 * * *"


def topic() -> str:
    """Return the Kafka topic of task events and progress reports."""
    return _get("topic", TOPIC)


def source() -> str:
    """Return the name of this Airflow. Each event of this Airflow has this name in the field
    ``source``, so that readers can tell the events of several Airflows apart.
    """
    return _get("source", SOURCE)


def kafka_config_id() -> str:
    """Return the id of the Airflow Connection to Kafka. The field ``extra`` of this Connection is
    the configuration of librdkafka.
    """
    return _get("kafka_config_id", KAFKA_CONFIG_ID)


def airflow_conn_id() -> str:
    """Return the id of the Airflow Connection with which this package's DAGs log in to the REST
    API.
    """
    return _get("airflow_conn_id", AIRFLOW_CONN_ID)


def run_id_prefix() -> str:
    """Return the first part of the run ids of MLJobs. The operator has the same setting,
    ``MLJOB_RUN_ID_PREFIX``, and both must have the same value.
    """
    return _get("run_id_prefix", RUN_ID_PREFIX)


def slack_conn_id() -> str:
    """Return the id of the Airflow Connection with which the monitoring DAGs post to Slack, or an
    empty string if they post no messages.
    """
    return _get("slack_conn_id", "")


def slack_channel() -> str:
    """Return the Slack channel for messages to owners whose Slack address is not known, and for
    messages about problems that belong to no owner. Return an empty string if the option is not
    set.
    """
    return _get("slack_channel", "")


def report_dir() -> str:
    """Return the folder in which the monitoring DAGs write their reports as HTML pages, or an empty
    string if the DAGs write no pages.
    """
    return _get("report_dir", "")


def report_url() -> str:
    """Return the URL under which a browser finds the files of the folder :func:`report_dir`, or an
    empty string. Without a URL, Slack messages have no link to a page.
    """
    return _get("report_url", "")


def report_topic() -> str:
    """Return the Kafka topic for the reports of the monitoring DAGs, or an empty string if they
    send no reports to Kafka.
    """
    return _get("report_topic", "")


def monitor_schedule() -> str | None:
    """Return the schedule of ``mljob_monitor``, a cron expression.

    Return ``None`` if the option is the text ``none``. The DAG then runs only when it is triggered.
    """
    return _schedule("monitor_schedule", MONITOR_SCHEDULE)


def bottlenecks_schedule() -> str | None:
    """Return the schedule of ``mljob_monitor_bottlenecks``, a cron expression.

    Return ``None`` if the option is the text ``none``. The DAG then runs only when it is triggered.
    """
    return _schedule("bottlenecks_schedule", BOTTLENECKS_SCHEDULE)


def ui_url() -> str:
    """Return the URL of Airflow's UI, from ``[api] base_url``, or an empty string if the option is
    not set.
    """
    return str(_conf().get("api", "base_url", fallback="") or "").strip()


def instrument_all_dags() -> bool:
    """Return whether the cluster policy adds this package's callbacks to every task of every DAG.
    The callbacks send task events to Kafka.
    """
    return bool(_conf().getboolean(SECTION, "instrument_all_dags", fallback=False))


def _schedule(option: str, default: str) -> str | None:
    given = _get(option, default)
    return None if given.lower() == "none" else given


def _get(option: str, default: str) -> str:
    return str(_conf().get(SECTION, option, fallback=default) or default).strip()


def _conf() -> Any:
    # Imported here for two reasons: some modules that import the settings work without Airflow, and
    # Airflow imports the cluster policy, which imports the settings, while Airflow itself is still
    # starting.
    from airflow.configuration import conf

    return conf
