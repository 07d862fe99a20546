"""The ``[mljob]`` section of Airflow's configuration.

Options come from ``airflow.cfg`` or from ``AIRFLOW__MLJOB__<OPTION>``; each is described, with its default, in
:mod:`mljob_airflow.provider_info`, which is also what ``airflow config list`` shows.
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
    """The Kafka topic that events go to."""
    return _get("topic", TOPIC)


def source() -> str:
    """Which Airflow an event comes from."""
    return _get("source", SOURCE)


def kafka_config_id() -> str:
    """The Airflow Connection whose extra is the librdkafka configuration."""
    return _get("kafka_config_id", KAFKA_CONFIG_ID)


def airflow_conn_id() -> str:
    """The Airflow Connection with which this package's DAGs log in to Airflow's REST API."""
    return _get("airflow_conn_id", AIRFLOW_CONN_ID)


def run_id_prefix() -> str:
    """What the ids of MLJobs' runs begin with."""
    return _get("run_id_prefix", RUN_ID_PREFIX)


def slack_conn_id() -> str:
    """The Airflow Connection with which the monitors write to Slack; empty: they don't."""
    return _get("slack_conn_id", "")


def slack_channel() -> str:
    """The channel for owners without an address in Slack, and for what has no owner."""
    return _get("slack_channel", "")


def report_dir() -> str:
    """The folder for the monitors' pages; empty: none are written."""
    return _get("report_dir", "")


def report_url() -> str:
    """Where people find that folder; empty: messages have no link to the page."""
    return _get("report_url", "")


def report_topic() -> str:
    """The Kafka topic for the monitors' reports; empty: none are sent."""
    return _get("report_topic", "")


def monitor_schedule() -> str | None:
    """When ``mljob_monitor`` looks: a cron expression, or ``None`` for never by itself (``none`` in the configuration)."""
    return _schedule("monitor_schedule", MONITOR_SCHEDULE)


def bottlenecks_schedule() -> str | None:
    """When ``mljob_monitor_bottlenecks`` looks, in the same words."""
    return _schedule("bottlenecks_schedule", BOTTLENECKS_SCHEDULE)


def ui_url() -> str:
    """Where people reach Airflow's UI: Airflow's own setting."""
    return str(_conf().get("api", "base_url", fallback="") or "").strip()


def instrument_all_dags() -> bool:
    """Whether the task policy adds the callbacks to every task of every DAG."""
    return bool(_conf().getboolean(SECTION, "instrument_all_dags", fallback=False))


def _schedule(option: str, default: str) -> str | None:
    given = _get(option, default)
    return None if given.lower() == "none" else given


def _get(option: str, default: str) -> str:
    return str(_conf().get(SECTION, option, fallback=default) or default).strip()


def _conf() -> Any:
    # Late: the pure parts of this package work without Airflow, and Airflow's own start imports the task policy.
    from airflow.configuration import conf

    return conf
