"""The properties for librdkafka, the Kafka client library.

Some properties have a setting of the operator. Users can set the other properties as extra
properties: as JSON in ``MLJOB_KAFKA_EXTRA_CONFIG``, and secret properties in the file that
``MLJOB_KAFKA_EXTRA_CONFIG_FILE`` names. The operator refuses the properties in ``RESERVED``. For
example, users can't change when offsets are committed, because the operator commits the offset of
an event only after the MLJob's status with this event is stored.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

if TYPE_CHECKING:
    from .kafka import KafkaSettings

MAX_BYTES = 64 * 1024
"""The maximum number of bytes of all extra properties from one source. An ``ssl.ca.pem`` with a
few certificates fits.
"""
MAX_PROPERTIES = 100
"""The maximum number of extra properties from one source. librdkafka has about 200 properties."""
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
"""For each property of librdkafka that has a setting of the operator, the name of the setting."""

_ALIASES = {
    "metadata.broker.list": "kafka_bootstrap_servers",
    "sasl.mechanisms": "kafka_sasl_mechanism",
    "sasl.oauthbearer.method": "kafka_oauth_method",
    "sasl.oauthbearer.client.credentials.client.id": "kafka_oidc_client_id",
    "sasl.oauthbearer.client.credentials.client.secret": "kafka_oidc_client_secret",
    "group.id": "kafka_group_id",
}
"""Other properties that users must set through a setting of the operator, each with the name of
the setting. Most of them are other names of properties in ``SETTINGS``.
"""

_OFFSETS = "the operator commits an offset when the status that holds the event is stored"
_ASSIGNMENT = "the operator tracks the assignment of partitions itself"
_SET_BY_OPERATOR = "the operator sets this property itself"
RESERVED = {
    "enable.auto.commit": _OFFSETS,
    "auto.commit.enable": _OFFSETS,
    "auto.commit.interval.ms": _OFFSETS,
    "enable.auto.offset.store": _OFFSETS,
    "offset.store.method": _OFFSETS,
    "offset.store.path": _OFFSETS,
    "offset.store.sync.interval.ms": _OFFSETS,
    "auto.offset.reset": "the operator reads earlier states from Airflow's REST API",
    "isolation.level": "events are not written in transactions",
    "partition.assignment.strategy": _ASSIGNMENT,
    "group.protocol": _ASSIGNMENT,
    "group.protocol.type": _ASSIGNMENT,
    "group.remote.assignor": _ASSIGNMENT,
    "group.instance.id": _ASSIGNMENT,
    "allow.auto.create.topics": "the operator creates no topics",
    "enable.partition.eof": "the operator expects events only",
    "transactional.id": "dead letters are not sent in transactions",
    "queue.buffering.max.kbytes": "the operator limits the memory for dead letters",
    "acks": "a dead letter counts as sent when all replicas have stored it",
    "request.required.acks": "a dead letter counts as sent when all replicas have stored it",
    "statistics.interval.ms": "the statistics tell the operator whether the brokers are connected",
    "plugin.library.paths": "a plugin would load code into the operator",
    "enabled_events": _SET_BY_OPERATOR,
    "log_level": _SET_BY_OPERATOR,
    "log.queue": _SET_BY_OPERATOR,
    "opaque": _SET_BY_OPERATOR,
    "logger": _SET_BY_OPERATOR,
    "default.topic.config": "set the topic's properties directly",
}
"""The properties that users can't set as extra properties, each with the reason. Users also can't
set properties whose names end in ``_cb``, and the properties in ``SETTINGS`` and ``_ALIASES``.
"""


class Unusable(ValueError):
    """Extra properties can't be used. The message has the reason, but no property's value."""


def properties(settings: KafkaSettings) -> dict[str, Any]:
    """Return the properties for librdkafka that come from ``settings``, including the extra
    properties. ``group.id`` is not in the result.

    Raises:
        Unusable: The file with extra properties can't be read, is too large, has lines of another
            form than ``name=value``, or has a property that the operator refuses.
    """
    given = {key: _plain(value) for key, name in SETTINGS.items() if (value := getattr(settings, name)) is not None}
    if settings.kafka_oauth_method == "OIDC":
        given["sasl.oauthbearer.method"] = "oidc"
    return {**settings.kafka_extra_config, **_from_file(settings.kafka_extra_config_file), **given}


def secrets(given: Mapping[str, Any]) -> list[str]:
    """Return the secret values of librdkafka's properties, for redaction in the log."""
    return [value for name, value in given.items() if isinstance(value, str) and _SECRET.search(name)]


def from_json(text: str) -> dict[str, str]:
    """Return the extra properties in a JSON object. Numbers and booleans become text.

    Raises:
        Unusable: The text is not a JSON object, is too large, or has a property that the operator
            refuses.
    """
    _bound(len(text.encode(errors="replace")))
    try:
        pairs = json.loads(text, object_pairs_hook=list)
    except (ValueError, RecursionError):
        pairs = None
    if not isinstance(pairs, list) or not all(isinstance(pair, tuple) for pair in pairs):
        raise Unusable('is not a JSON object of librdkafka\'s properties, such as {"socket.timeout.ms": 30000}')
    return _checked((name, _text(name, value)) for name, value in pairs)


def from_lines(text: str) -> dict[str, str]:
    """Return the extra properties in lines of the form ``name=value``. Empty lines, and lines that
    start with ``#``, are skipped. In a property whose name ends in ``.pem``, a backslash followed
    by an n stands for a line break.

    Raises:
        Unusable: The text is too large, has a line of another form, or has a property that the
            operator refuses.
    """
    _bound(len(text.encode(errors="replace")))
    pairs = []
    for number, line in enumerate(map(str.strip, text.splitlines()), 1):
        if not line or line.startswith("#"):
            continue
        name, equals, value = line.partition("=")
        if not equals:
            raise Unusable(f"line {number} is not name=value")
        # In the file, a line break of PEM is written as \n, because a value is one line.
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
        raise Unusable(f"{path} is not UTF-8 text") from error
    except Unusable as error:
        raise Unusable(f"{path}: {error}") from error


def _checked(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in pairs:
        if not _NAME.fullmatch(name):
            raise Unusable(f"{name[:60]!r} is not a valid name of a librdkafka property")
        if name in found:
            raise Unusable(f"{name} is set twice")
        if (setting := SETTINGS.get(name) or _ALIASES.get(name)) is not None:
            raise Unusable(f"{name} has a setting of its own: use MLJOB_{setting.upper()}")
        if name in RESERVED or name.endswith("_cb"):
            raise Unusable(f"{name} can't be set: {RESERVED.get(name, _SET_BY_OPERATOR)}. Leave it out")
        if "\0" in value:
            raise Unusable(f"the value of {name} holds a NUL character")
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
    raise Unusable(f"the value of {name[:60]} is neither a string, a number nor a boolean")


def _plain(value: Any) -> Any:
    return value.get_secret_value() if isinstance(value, SecretStr) else value
