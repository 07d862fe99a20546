"""The properties of librdkafka for the consumer of events, and a check of the properties in the
operator's settings.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaException, Producer

from .dead_letters import PROPERTIES as DEAD_LETTER_PROPERTIES

SESSION_TIMEOUT_MS = 10_000
"""Milliseconds without a heartbeat after which another member of the group gets the partitions.
librdkafka sends a heartbeat every 3 s."""
STATISTICS_MS = 1_000
"""Milliseconds between two reports of librdkafka's statistics. The operator notices a lost
connection within this time.
"""
FILES = (
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.key.location",
    "ssl.keystore.location",
    "https.ca.location",
)
"""Properties of librdkafka that name files. A consumer reads each file once, when it is created."""

FIXED = {
    "enable.auto.commit": False,
    # A consumer group without a committed offset starts at the end of the topic. The operator reads
    # earlier states from Airflow's REST API.
    "auto.offset.reset": "latest",
    "allow.auto.create.topics": False,
    "statistics.interval.ms": STATISTICS_MS,
}
"""Properties that users can't set."""
DEFAULTS = {
    "fetch.wait.max.ms": 100,
    # After a crash of the operator, the partitions stay assigned to the dead process for this time.
    # The new process then gets no events, and reads only Airflow's REST API. librdkafka's default
    # is 45 s.
    "session.timeout.ms": SESSION_TIMEOUT_MS,
    "topic.metadata.refresh.interval.ms": 10_000,
    "reconnect.backoff.max.ms": 2_000,
}
"""Defaults of properties that users can set."""


def refusal(config: Mapping[str, Any]) -> str | None:
    """Return the reason why librdkafka refuses the properties ``config``, or None if librdkafka
    accepts them. The check also reads the files that the properties name. The check does not wait
    for an answer of a broker or of a token endpoint.
    """
    asked = {name: value for name, value in config.items() if name != "oauth_cb"}
    if "sasl.oauthbearer.token.endpoint.url" in asked:
        # With the configured URL, librdkafka would request a token at once, and closing the
        # consumer would wait for the answer. No server listens at the URL below, so closing does
        # not wait.
        asked["sasl.oauthbearer.token.endpoint.url"] = "http://127.0.0.1:9/"
    silenced = {"log_level": 0, "logger": logging.getLogger("librdkafka"), "error_cb": lambda _: None}
    try:
        Consumer({**asked, **FIXED, "group.id": "none", **silenced}).close()
        Producer({**asked, **DEAD_LETTER_PROPERTIES, **silenced})
    except KafkaException as error:
        return re.sub(r"^Failed to create (consumer|producer): ", "", str(error.args[0].str()))
    except (TypeError, ValueError) as error:
        return str(error)
    return None
