"""Makes the Airflow clients and the Kafka client properties of the operator and of mljob-api."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from . import logs
from .adapters import msk
from .adapters.airflow.client import Airflow
from .adapters.consumer_properties import refusal
from .controllers.airflow_instance.registry import OwnAirflow
from .core.airflow_instance.credentials import Login
from .core.airflow_instance.instance import Instance
from .core.run.run_key import SETTINGS_AIRFLOW
from .errors import CannotStart
from .ports import Gate, RequestMeter
from .settings import Settings, kafka_properties, variable


class AirflowConnections:
    """Makes the adapters for Airflows. An adapter is a client of Airflow's REST API.

    Args:
        settings: The settings of the process.
        meter: Records each operation of the adapters.
        gate: Checks before each write to Airflow whether this process may write. If None, all
            writes are refused.
    """

    def __init__(self, settings: Settings, meter: RequestMeter, gate: Gate | None = None) -> None:
        self._settings = settings
        self._meter = meter
        self._gate = gate

    def own(self) -> OwnAirflow | None:
        """Return the Airflow of the settings as an :class:`OwnAirflow`. Return None if the settings
        name no Airflow.
        """
        settings = self._settings
        if settings.airflow_url is None:
            return None
        return OwnAirflow(
            self._connect_own(settings.airflow_login()),
            settings.airflow_ui_url or settings.airflow_url,
            settings.airflow_access,
            self._connect_own,
        )

    def connect(self, instance: Instance, login: Login) -> Airflow:
        """Make the client for the REST API of an AirflowInstance's Airflow."""
        ca_bundle = instance.spec.tls.ca_bundle if instance.spec.tls else None
        return self._airflow(instance.name, instance.spec.url, login, ca_bundle=ca_bundle)

    def _connect_own(self, login: Login) -> Airflow:
        settings = self._settings
        assert settings.airflow_url is not None
        return self._airflow(SETTINGS_AIRFLOW, settings.airflow_url, login, ca_file=settings.airflow_ca_file)

    def _airflow(
        self, name: str, url: str, login: Login, *, ca_file: str | None = None, ca_bundle: str | None = None
    ) -> Airflow:
        logs.hide(f"{name} {login.source}", *login.secrets())
        return Airflow(
            name,
            url,
            self._meter,
            login,
            ca_file=ca_file,
            ca_bundle=ca_bundle,
            prefix=self._settings.run_id_prefix,
            cancel_dag_id=self._settings.cancel_dag_id,
            gate=self._gate,
        )


def kafka(settings: Settings) -> dict[str, Any]:
    """Return librdkafka's properties for the brokers in the settings. Empty if the settings name no
    brokers.

    Raises:
        CannotStart: The settings choose the authentication method MSK_IAM, and a Python package for
            this method is not installed.
    """
    if settings.kafka_bootstrap_servers is None:
        return {}
    properties = settings.kafka()
    if settings.kafka_oauth_method == "MSK_IAM":
        assert settings.kafka_aws_region is not None, "validated"
        properties["oauth_cb"] = msk.tokens(settings.kafka_aws_region)
    return properties


def refused_by_kafka(settings: Settings) -> list[str]:
    """Check the settings for Kafka without asking a broker. Return a list with one message if
    librdkafka (the client library) refuses the settings, or if a Python package is missing.
    Otherwise, return an empty list.
    """
    if settings.kafka_bootstrap_servers is None:
        return []
    try:
        why = refusal(kafka(settings))
    except CannotStart as error:
        return [str(error)]
    if why is None:
        return []
    variables = [variable(name) for key, name in kafka_properties.SETTINGS.items() if key in why]
    extra = [variable(name) for name in ("kafka_extra_config", "kafka_extra_config_file") if getattr(settings, name)]
    return [f"{', '.join(variables or extra) or variable('kafka_*')}: librdkafka refuses the settings for Kafka: {why}"]


def print_problems(problems: Sequence[str], process: str = "The operator") -> int:
    """Print the problems with the settings to standard error. Return the exit code 2."""
    print(f"{process}'s settings are wrong:", *(f"  {problem}" for problem in problems), sep="\n", file=sys.stderr)  # noqa: T201
    return 2
