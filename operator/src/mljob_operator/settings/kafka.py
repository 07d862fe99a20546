"""The settings for Kafka."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode

from .environment import EnvironmentSettings, variable
from .kafka_properties import from_json, properties
from .values import Brokers, Url


class KafkaSettings(EnvironmentSettings):
    """The settings for the Kafka brokers, the security of the connection, the topics, and
    librdkafka, the Kafka client library.
    """

    kafka_bootstrap_servers: Brokers | None = None
    """The brokers, each as ``host:port``, comma-separated. Absent: the operator reads no events,
    and statuses come from Airflow's REST API alone."""
    events_topic: str = "airflow.events"
    """The topic of Airflow's events."""
    kafka_group_id: str = "mljob-operator"
    """The consumer group. Operators in different clusters need different groups."""
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """The property ``security.protocol`` of librdkafka."""
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] | None = None
    """The property ``sasl.mechanism`` of librdkafka. Required with SASL_PLAINTEXT and SASL_SSL."""
    kafka_sasl_username: str | None = None
    """The SASL user, for all mechanisms except OAUTHBEARER."""
    kafka_sasl_password: SecretStr | None = None
    """The SASL password, for all mechanisms except OAUTHBEARER."""
    kafka_oauth_method: Literal["OIDC", "MSK_IAM"] | None = None
    """Where the tokens for OAUTHBEARER come from. ``OIDC``: an OpenID Connect provider.
    ``MSK_IAM``: the operator's AWS identity, for Amazon MSK. Required with OAUTHBEARER."""
    kafka_oidc_token_endpoint: Url | None = None
    """The token endpoint of the OpenID Connect provider. Required with OIDC."""
    kafka_oidc_client_id: str | None = None
    """The id of the operator's client at the provider. Required with OIDC."""
    kafka_oidc_client_secret: SecretStr | None = None
    """The secret of the client (grant ``client_credentials``). Required with OIDC."""
    kafka_oidc_scope: str | None = None
    """The scope to request. Required if the provider has no default scope."""
    kafka_oidc_extensions: str | None = None
    """SASL extensions for the brokers, each as ``name=value``, comma-separated."""
    kafka_oidc_ca_file: str | None = None
    """The CA bundle (PEM) for an https token endpoint. Default: the CAs of the system."""
    kafka_aws_region: Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z]+)+-\d{1,2}$", max_length=63)] | None = None
    """The AWS region of the brokers. Required with MSK_IAM."""
    kafka_ssl_ca_file: str | None = None
    """The CA bundle (PEM) for the brokers."""
    kafka_ssl_certificate_file: str | None = None
    """The client certificate (PEM), for mutual TLS."""
    kafka_ssl_key_file: str | None = None
    """The private key (PEM) of the client certificate."""
    kafka_ssl_key_password: SecretStr | None = None
    """The password of the private key, if the key is encrypted."""
    kafka_extra_config: Annotated[dict[str, str], NoDecode] = Field(default={})
    """Additional properties of librdkafka, as a JSON object. The operator refuses properties that
    have their own setting, and the properties in :data:`.kafka_properties.RESERVED`.
    """
    kafka_extra_config_file: str | None = None
    """A file with additional properties of librdkafka whose values are secret. Each line has the
    form ``name=value``. The file takes precedence over ``kafka_extra_config``.
    """
    dead_letter_topic: str | None = None
    """The topic for unreadable messages. Absent: unreadable messages are only counted and
    logged."""

    @field_validator("kafka_extra_config", mode="before")
    @classmethod
    def _properties(cls, value: Any) -> Any:
        return from_json(value) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _dead_letters(self) -> Self:
        if self.dead_letter_topic == self.events_topic:
            raise ValueError(
                f"MLJOB_DEAD_LETTER_TOPIC is the topic of the events, {self.events_topic!r}: "
                "the operator would read unreadable messages again and again. Set another topic, or none"
            )
        return self

    @model_validator(mode="after")
    def _kafka_login(self) -> Self:
        if self.kafka_bootstrap_servers is None or not self.kafka_security_protocol.startswith("SASL_"):
            return self
        if missing := [variable(name) for name in self._needed_to_log_in() if getattr(self, name) is None]:
            asking = [f"{variable('kafka_security_protocol')}={self.kafka_security_protocol}"]
            if self.kafka_sasl_mechanism == "OAUTHBEARER":
                asking.append(f"{variable('kafka_sasl_mechanism')}=OAUTHBEARER")
            raise ValueError(f"{' with '.join(asking)} needs {', '.join(missing)}")
        return self

    def kafka(self) -> dict[str, Any]:
        """Return the properties for librdkafka that come from these settings.

        Raises:
            Unusable: The file ``kafka_extra_config_file`` can't be read, is too large, has lines of
                another form than ``name=value``, or has a property that the operator refuses.
        """
        return properties(self)

    def _needed_to_log_in(self) -> tuple[str, ...]:
        if self.kafka_sasl_mechanism != "OAUTHBEARER":
            return ("kafka_sasl_mechanism", "kafka_sasl_username", "kafka_sasl_password")
        if self.kafka_oauth_method == "OIDC":
            return ("kafka_oidc_token_endpoint", "kafka_oidc_client_id", "kafka_oidc_client_secret")
        return ("kafka_oauth_method", "kafka_aws_region") if self.kafka_oauth_method else ("kafka_oauth_method",)
