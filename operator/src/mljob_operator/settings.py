"""The operator's settings: environment variables with the prefix ``MLJOB_``, read once into one frozen object."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AwareDatetime, Field, SecretStr, TypeAdapter, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from mljob_contract.airflow_instance import AccessRule, DagGlob
from mljob_contract.run_id import MAX_PREFIX_LENGTH

from .core.instance import OWN

_ACCESS = TypeAdapter(tuple[AccessRule, ...])


class Settings(BaseSettings):
    """Everything that can be set. An empty variable counts as absent."""

    model_config = SettingsConfigDict(
        env_prefix="MLJOB_", env_ignore_empty=True, frozen=True, extra="ignore", use_attribute_docstrings=True
    )

    airflow_url: str | None = None
    """Base URL of the api-server of the operator's own Airflow, without ``/api/v2``: the one for MLJobs that name no AirflowInstance where none is
    the default. Absent: there is none."""
    airflow_ui_url: str | None = None
    """Base URL of Airflow for people, in links; by default ``airflow_url``."""
    airflow_user: str | None = None
    """User for ``POST /auth/token``, with ``airflow_password``."""
    airflow_password: SecretStr | None = None
    """Its password."""
    airflow_token: SecretStr | None = None
    """A bearer token, instead of user and password."""
    airflow_ca_file: str | None = None
    """CA bundle (PEM) for an https ``airflow_url``; by default the system's."""
    airflow_access: Annotated[tuple[AccessRule, ...] | None, NoDecode, Field(min_length=1, max_length=64)] = None
    """Who may run what in that Airflow: a list of access rules in JSON, as in ``spec.access`` of an AirflowInstance. Absent: everybody may run
    everything as long as there is no AirflowInstance, and nobody otherwise."""
    airflow_accept_vanished_runs_before: AwareDatetime | None = None
    """Where many runs have vanished from that Airflow at once: those that were submitted before this time (RFC 3339) are lost and count as deleted."""
    airflow_instances: bool = True
    """Whether to look after AirflowInstances; it takes rights that are not bound to namespaces."""
    credentials_namespace: str = "mljob-system"
    """Where the Secrets are that AirflowInstances name: the operator's own namespace."""
    cancel_dag_id: str = "mljob_cancel"
    """The cancellation DAG. No MLJob may run it."""
    reserved_dags: Annotated[tuple[DagGlob, ...], NoDecode] = ()
    """DAGs that no MLJob may run, beside the cancellation DAG and the monitoring DAGs: globs of their ids, comma-separated."""
    cancel_fallback_seconds: Annotated[float, Field(gt=0)] = 20.0
    """How long the cancellation DAG's run may wait for a slot before the operator cancels through REST itself. One that has begun has
    60 seconds."""

    kafka_bootstrap_servers: str | None = None
    """Brokers, comma-separated; absent: no events, statuses come from REST alone."""
    events_topic: str = "airflow.events"
    """The topic that Airflow's events are on."""
    kafka_group_id: str = "mljob-operator"
    """The consumer group; operators of different clusters need different ones."""
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """As librdkafka's ``security.protocol``."""
    kafka_sasl_mechanism: str | None = None
    """PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, ..."""
    kafka_sasl_username: str | None = None
    """SASL user."""
    kafka_sasl_password: SecretStr | None = None
    """SASL password."""
    kafka_ssl_ca_file: str | None = None
    """CA bundle (PEM) for the brokers."""
    kafka_ssl_certificate_file: str | None = None
    """Client certificate (PEM), for mutual TLS."""
    kafka_ssl_key_file: str | None = None
    """Its key (PEM)."""
    dead_letter_topic: str | None = None
    """Where messages go that can't be read; absent: they are counted and logged only."""

    run_id_prefix: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", max_length=MAX_PREFIX_LENGTH)] = (
        "mljob"
    )
    """First part of dag run ids; clusters that share one Airflow need different ones."""
    resync_interval_seconds: Annotated[float, Field(gt=0)] = 5.0
    """Seconds between two looks at Airflow's change feed. A transition that gives no event is in the status within twice that."""
    status_interval_seconds: Annotated[float, Field(ge=0)] = 0.1
    """Seconds between two patches of one MLJob's status: a burst of events is one patch. The first is never delayed."""
    namespaces: Annotated[tuple[str, ...], NoDecode] = ()
    """Namespaces to watch, comma-separated; absent: all."""

    http_host: str = "0.0.0.0"  # noqa: S104  # the kubelet and Prometheus come from outside the pod
    """Where ``/livez``, ``/readyz`` and ``/metrics`` listen."""
    http_port: Annotated[int, Field(ge=1, le=65535)] = 8080
    """Their port."""
    log_format: Literal["json", "text"] = "json"
    """One JSON object a line, or lines for people."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Of the operator's own loggers; libraries log warnings."""

    @field_validator("airflow_access", mode="before")
    @classmethod
    def _rules(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            # Strict: a selector whose name is misspelt would be no selector, and let everybody in.
            return _ACCESS.validate_json(value, extra="forbid", by_alias=True, by_name=False)
        except ValidationError as error:
            found = ((".".join(map(str, problem["loc"])), problem["msg"]) for problem in error.errors())
            raise ValueError("; ".join(f"{where}: {what}" if where else what for where, what in found)) from error

    @field_validator("namespaces", "reserved_dags", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("log_level", mode="before")
    @classmethod
    def _lower(cls, value: Any) -> Any:
        return value.lower() if isinstance(value, str) else value

    @model_validator(mode="after")
    def _credentials(self) -> Self:
        if self.airflow_url is None:
            if not self.airflow_instances:
                raise ValueError("set MLJOB_AIRFLOW_URL, or MLJOB_AIRFLOW_INSTANCES to true")
            return self
        if self.airflow_token is None and (self.airflow_user is None or self.airflow_password is None):
            raise ValueError("set MLJOB_AIRFLOW_TOKEN, or both MLJOB_AIRFLOW_USER and MLJOB_AIRFLOW_PASSWORD")
        return self

    def lost_before(self) -> dict[str, datetime]:
        """Before when runs were submitted that count as lost where they are missing, by Airflow."""
        before = self.airflow_accept_vanished_runs_before
        return {OWN: before} if before is not None else {}

    def kafka(self) -> dict[str, Any]:
        """Librdkafka's settings for the brokers; only those that are set."""
        options = {
            "bootstrap.servers": self.kafka_bootstrap_servers,
            "security.protocol": self.kafka_security_protocol,
            "sasl.mechanism": self.kafka_sasl_mechanism,
            "sasl.username": self.kafka_sasl_username,
            "sasl.password": self.kafka_sasl_password.get_secret_value() if self.kafka_sasl_password else None,
            "ssl.ca.location": self.kafka_ssl_ca_file,
            "ssl.certificate.location": self.kafka_ssl_certificate_file,
            "ssl.key.location": self.kafka_ssl_key_file,
        }
        return {key: value for key, value in options.items() if value is not None}
