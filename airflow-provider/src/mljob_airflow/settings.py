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
    """The Airflow Connection with which the cancellation DAG logs in to Airflow's REST API."""
    return _get("airflow_conn_id", AIRFLOW_CONN_ID)


def instrument_all_dags() -> bool:
    """Whether the task policy adds the callbacks to every task of every DAG."""
    return bool(_conf().getboolean(SECTION, "instrument_all_dags", fallback=False))


def _get(option: str, default: str) -> str:
    return str(_conf().get(SECTION, option, fallback=default) or default).strip()


def _conf() -> Any:
    # Late: the pure parts of this package work without Airflow, and Airflow's own start imports the task policy.
    from airflow.configuration import conf

    return conf
