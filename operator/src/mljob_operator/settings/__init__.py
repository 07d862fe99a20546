"""The operator's settings, from environment variables with the prefix ``MLJOB_``. The operator
reads the settings once, when it starts.
"""

from __future__ import annotations

from mljob_contract.airflow_instance import LabelSelector

from ..core.leadership.claims import Claims
from .airflow import AirflowSettings
from .environment import variable
from .kafka import KafkaSettings
from .problems import explained, unusable_files
from .runs import RunSettings
from .scope import ScopeSettings
from .telemetry import TelemetrySettings

__all__ = ["Settings", "explained", "unusable_files", "variable"]


class Settings(TelemetrySettings, ScopeSettings, RunSettings, KafkaSettings, AirflowSettings):
    """All settings of the operator.

    Raises:
        ValidationError: A variable has an invalid value, or settings contradict each other.
            :func:`explained` returns the problems as sentences.
    """

    def claims(self) -> Claims:
        """Return the Claims of this operator: the MLJobs that it manages, the prefix of its dag run
        ids, and its Kafka consumer group. :meth:`.Claims.conflict` compares the Claims of two
        operators.
        """
        return Claims(
            selector=self.selector or LabelSelector(),
            namespaces=self.namespaces,
            run_id_prefix=self.run_id_prefix,
            brokers=self.kafka_bootstrap_servers,
            group_id=self.kafka_group_id,
        )
