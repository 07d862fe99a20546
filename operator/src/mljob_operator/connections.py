"""Makes the adapters with which a process connects to Airflows, and the properties with which
librdkafka connects to Kafka. The operator and mljob-api use this module, and have the same settings
for connections.
"""

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
    """Makes the adapters with which this process connects to Airflows.

    Args:
        settings: The settings of the process.
        meter: Records each operation of the adapters.
        gate: Checks each request that changes something, and lets the request pass only while the
            process is the leader. If None, no request that changes something is sent.
    """

    def __init__(self, settings: Settings, meter: RequestMeter, gate: Gate | None = None) -> None:
        self._settings = settings
        self._meter = meter
        self._gate = gate

    def own(self) -> OwnAirflow | None:
        """Return the Airflow that the settings name, with its adapter and access rules. Return None
        if the settings name no Airflow.
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
        """Make an adapter for the Airflow of an AirflowInstance. The adapter logs in with
        ``login``.
        """
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
    """Return the properties with which librdkafka connects to the brokers of the settings. Return
    an empty dict if the settings name no brokers.

    librdkafka does not support the authentication MSK_IAM itself. If the settings choose MSK_IAM,
    the properties include a callback that creates tokens.

    Raises:
        CannotStart: A Python package that MSK_IAM needs is not installed.
    """
    if settings.kafka_bootstrap_servers is None:
        return {}
    properties = settings.kafka()
    if settings.kafka_oauth_method == "MSK_IAM":
        assert settings.kafka_aws_region is not None, "validated"
        properties["oauth_cb"] = msk.tokens(settings.kafka_aws_region)
    return properties


def refused_by_kafka(settings: Settings) -> list[str]:
    """Return a list with one message, which says why the settings for Kafka can't be used. The
    message names environment variables that may be the cause, or the package that is not installed.

    Return an empty list if librdkafka accepts the settings, or if the settings name no brokers.
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
    """Print the problems of the settings of ``process`` to standard error. Return 2, the exit code
    of the process.
    """
    print(f"{process}'s settings are wrong:", *(f"  {problem}" for problem in problems), sep="\n", file=sys.stderr)  # noqa: T201
    return 2
