"""The ``[mljob]`` section of Airflow's configuration.

Options come from ``airflow.cfg`` or from environment variables ``AIRFLOW__MLJOB__<OPTION>``.
:mod:`mljob_airflow.provider_info` describes each option with its default.
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
    """Return the name of this Airflow, for the field ``source`` of events."""
    return _get("source", SOURCE)


def kafka_config_id() -> str:
    """Return the id of the Airflow Connection to Kafka."""
    return _get("kafka_config_id", KAFKA_CONFIG_ID)


def airflow_conn_id() -> str:
    """Return the id of the Airflow Connection to Airflow's own REST API."""
    return _get("airflow_conn_id", AIRFLOW_CONN_ID)


def run_id_prefix() -> str:
    """Return the first part of the run ids of MLJobs. The operator's setting
    ``MLJOB_RUN_ID_PREFIX`` must have the same value.
    """
    return _get("run_id_prefix", RUN_ID_PREFIX)


def slack_conn_id() -> str:
    """Return the id of the Airflow Connection to Slack. An empty string means that the monitoring
    DAGs post no messages.
    """
    return _get("slack_conn_id", "")


def slack_channel() -> str:
    """Return the Slack channel for messages about findings without an owner, and for messages to
    owners whose Slack address is not known or does not work. An empty string means that the option
    is not set.
    """
    return _get("slack_channel", "")


def report_dir() -> str:
    """Return the folder for the HTML pages of reports. An empty string means that the monitoring
    DAGs write no pages.
    """
    return _get("report_dir", "")


def report_url() -> str:
    """Return the URL of the folder :func:`report_dir`. An empty string means that Slack messages
    have no link to a page.
    """
    return _get("report_url", "")


def report_topic() -> str:
    """Return the Kafka topic for reports. An empty string means that the monitoring DAGs send no
    reports to Kafka.
    """
    return _get("report_topic", "")


def monitor_schedule() -> str | None:
    """Return the cron expression that schedules the DAG ``mljob_monitor``. If the option is the
    text ``none``, return ``None``: the DAG has no schedule.
    """
    return _schedule("monitor_schedule", MONITOR_SCHEDULE)


def bottlenecks_schedule() -> str | None:
    """Return the cron expression that schedules the DAG ``mljob_monitor_bottlenecks``. If the
    option is the text ``none``, return ``None``: the DAG has no schedule.
    """
    return _schedule("bottlenecks_schedule", BOTTLENECKS_SCHEDULE)


def ui_url() -> str:
    """Return the URL of Airflow's UI (``[api] base_url``), or an empty string if the option is not
    set.
    """
    return str(_conf().get("api", "base_url", fallback="") or "").strip()


def instrument_all_dags() -> bool:
    """Return the option ``instrument_all_dags``: whether this package makes every task of every DAG
    send task events to Kafka.
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
