"""What librdkafka is told: the settings of its own that the operator has, and any further property of librdkafka's.

Further properties are in ``MLJOB_KAFKA_EXTRA_CONFIG``, as JSON, and in a file, for those that are secret. None of them may be one that the operator
itself depends on: that offsets are committed when a status is stored, above all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

if TYPE_CHECKING:
    from .settings import Settings

MAX_BYTES = 64 * 1024
"""Of all further properties from one place: an ``ssl.ca.pem`` with a few certificates fits."""
MAX_PROPERTIES = 100
"""Further properties from one place; librdkafka knows some 200 in all."""
_NAME = re.compile(r"[a-z][a-z0-9._]{0,127}")
_SECRET = re.compile(r"password|secret|passphrase|key\.pem$|sasl\.oauthbearer\.config$")

SETTINGS = {
    "bootstrap.servers": "kafka_bootstrap_servers",
    "security.protocol": "kafka_security_protocol",
    "sasl.mechanism": "kafka_sasl_mechanism",
    "sasl.username": "kafka_sasl_username",
    "sasl.password": "kafka_sasl_password",
    "ssl.ca.location": "kafka_ssl_ca_file",
    "ssl.certificate.location": "kafka_ssl_certificate_file",
    "ssl.key.location": "kafka_ssl_key_file",
    "ssl.key.password": "kafka_ssl_key_password",
    "sasl.oauthbearer.token.endpoint.url": "kafka_oidc_token_endpoint",
    "sasl.oauthbearer.client.id": "kafka_oidc_client_id",
    "sasl.oauthbearer.client.secret": "kafka_oidc_client_secret",
    "sasl.oauthbearer.scope": "kafka_oidc_scope",
    "sasl.oauthbearer.extensions": "kafka_oidc_extensions",
    "https.ca.location": "kafka_oidc_ca_file",
}
"""librdkafka's properties, and the settings that they come from."""

_ALIASES = {
    "metadata.broker.list": "kafka_bootstrap_servers",
    "sasl.mechanisms": "kafka_sasl_mechanism",
    "sasl.oauthbearer.method": "kafka_oauth_method",
    "sasl.oauthbearer.client.credentials.client.id": "kafka_oidc_client_id",
    "sasl.oauthbearer.client.credentials.client.secret": "kafka_oidc_client_secret",
    "group.id": "kafka_group_id",
}
"""Further properties that a setting decides about."""

_OFFSETS = "the operator commits an offset when the status that holds the event is stored"
_ASSIGNMENT = "the operator follows how partitions come and go"
_ITS_OWN = "the operator needs it for itself"
HELD = {
    "enable.auto.commit": _OFFSETS,
    "auto.commit.enable": _OFFSETS,
    "auto.commit.interval.ms": _OFFSETS,
    "enable.auto.offset.store": _OFFSETS,
    "offset.store.method": _OFFSETS,
    "offset.store.path": _OFFSETS,
    "offset.store.sync.interval.ms": _OFFSETS,
    "auto.offset.reset": "what there was before is read from Airflow's REST API",
    "isolation.level": "events are not written in transactions",
    "partition.assignment.strategy": _ASSIGNMENT,
    "group.protocol": _ASSIGNMENT,
    "group.protocol.type": _ASSIGNMENT,
    "group.remote.assignor": _ASSIGNMENT,
    "group.instance.id": _ASSIGNMENT,
    "allow.auto.create.topics": "the operator makes no topic",
    "enable.partition.eof": "its messages are not events",
    "transactional.id": "dead letters are not sent in transactions",
    "queue.buffering.max.kbytes": "it bounds the memory that dead letters may take",
    "acks": "a dead letter counts when all replicas have it",
    "request.required.acks": "a dead letter counts when all replicas have it",
    "statistics.interval.ms": "it says whether the brokers are connected",
    "plugin.library.paths": "it would load code into the operator",
    "enabled_events": _ITS_OWN,
    "log_level": _ITS_OWN,
    "log.queue": _ITS_OWN,
    "opaque": _ITS_OWN,
    "logger": _ITS_OWN,
    "default.topic.config": "give the properties themselves",
}
"""Properties that nobody may set, and why."""


class Unusable(ValueError):
    """Further properties can't be used; the message says why, and holds no value."""


def properties(settings: Settings) -> dict[str, Any]:
    """Librdkafka's properties for the brokers; only those that are set.

    Raises:
        Unusable: The file with further ones can't be read, or holds what must not be there.
    """
    given = {key: _plain(value) for key, name in SETTINGS.items() if (value := getattr(settings, name)) is not None}
    if settings.kafka_oauth_method == "OIDC":
        given["sasl.oauthbearer.method"] = "oidc"
    return {**settings.kafka_extra_config, **_from_file(settings.kafka_extra_config_file), **given}


def secrets(given: Mapping[str, Any]) -> list[str]:
    """The values among librdkafka's properties that no line may tell."""
    return [value for name, value in given.items() if isinstance(value, str) and _SECRET.search(name)]


def from_json(text: str) -> dict[str, str]:
    """Further properties from a JSON object.

    Raises:
        Unusable: It is none, is too large, or holds what must not be there.
    """
    _bound(len(text.encode(errors="replace")))
    try:
        told = json.loads(text, object_pairs_hook=list)
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, list) or not all(isinstance(pair, tuple) for pair in told):
        raise Unusable('is not a JSON object of librdkafka\'s properties, such as {"socket.timeout.ms": 30000}')
    return _checked((name, _text(name, value)) for name, value in told)


def from_lines(text: str) -> dict[str, str]:
    """Further properties from lines ``name=value``; empty ones and those that begin with # say nothing.

    Raises:
        Unusable: It is too large, or holds what must not be there.
    """
    _bound(len(text.encode(errors="replace")))
    pairs = []
    for number, line in enumerate(map(str.strip, text.splitlines()), 1):
        if not line or line.startswith("#"):
            continue
        name, equals, value = line.partition("=")
        if not equals:
            raise Unusable(f"line {number} is not name=value")
        # A line has no room for the line breaks of PEM.
        pairs.append(
            (name.strip(), value.strip().replace("\\n", "\n") if name.strip().endswith(".pem") else value.strip())
        )
    return _checked(pairs)


def _from_file(path: str | None) -> dict[str, str]:
    if path is None:
        return {}
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_BYTES + 1)
        return from_lines(content.decode())
    except OSError as error:
        raise Unusable(f"{path} can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise Unusable(f"{path} is not a text in UTF-8") from error
    except Unusable as error:
        raise Unusable(f"{path}: {error}") from error


def _checked(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in pairs:
        if not _NAME.fullmatch(name):
            raise Unusable(f"{name[:60]!r} is not the name of a property of librdkafka's")
        if name in found:
            raise Unusable(f"{name} is there twice")
        if (setting := SETTINGS.get(name) or _ALIASES.get(name)) is not None:
            raise Unusable(f"{name} has a setting of its own, MLJOB_{setting.upper()}: use that one")
        if name in HELD or name.endswith("_cb"):
            raise Unusable(f"{name} can't be set: {HELD.get(name, _ITS_OWN)}. Leave it out")
        if "\0" in value:
            raise Unusable(f"the value of {name} has a character that can't be in one")
        found[name] = value
    if len(found) > MAX_PROPERTIES:
        raise Unusable(f"holds {len(found)} properties; at most {MAX_PROPERTIES} are allowed")
    return found


def _bound(size: int) -> None:
    if size > MAX_BYTES:
        raise Unusable(f"is larger than {MAX_BYTES} bytes")


def _text(name: str, value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        return str(value)
    raise Unusable(f"the value of {name[:60]} is neither a text, a number nor a boolean")


def _plain(value: Any) -> Any:
    return value.get_secret_value() if isinstance(value, SecretStr) else value
