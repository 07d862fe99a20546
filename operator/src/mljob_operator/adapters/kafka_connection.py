"""Whether the brokers are connected, out of what librdkafka says: one line when the connection is lost, one when it is back.

librdkafka says of each try of each broker that it failed, many times a second, and of a login that is never made nothing at all. Its statistics tell
whether the group's coordinator is connected, without which no event is read; its errors tell why not.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import KafkaError

from ..ports import Link

log = logging.getLogger(__name__)

GRACE = 30.0
"""Seconds without a connection, after which people are told: brokers restart, and so do operators."""
SETTLES = 10.0
"""Seconds that a new consumer has to connect where one was connected before."""
REPEAT = 60.0
"""Seconds after which another cause is told."""
MAX_CAUSE = 500
_WHERE = re.compile(r"^\[thrd:[^\]]*\]: ")
_WHEN = re.compile(r" \(after \d+ms in state .*\)$")
_NO_TOKEN = "OAuth callback raised exception"  # noqa: S105  # what confluent-kafka says
_SILENCE = "librdkafka reports no error, it is still trying"
_TOLD_BY_ERRORS = frozenset({"FAIL", "ERROR"})


class Connection:
    """The connection of one consumer.

    Args:
        brokers: As they are configured, for people.
        topic: What is read there.
        told: Is told each change, and why there is no connection once that has lasted for ``GRACE``. Called in the consumer's thread.
        clock: Seconds that only grow.
    """

    def __init__(
        self, brokers: str, topic: str, told: Callable[[Link], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._brokers = brokers
        self._topic = topic
        self._told = told
        self._clock = clock
        self._connected = False
        self._was_connected = False
        self._since = self._opened = clock()
        self._code = ""
        self._cause = _SILENCE
        self._problem: str | None = None
        self._problem_code = ""
        self._logged_code: str | None = None
        self._problem_at = 0.0

    def opened(self) -> None:
        """A consumer was made; where there was one before, that alone is no loss of the connection."""
        self._opened = self._clock()
        self._tell()

    def lost(self) -> None:
        """There is no connection any more, if there was one."""
        if self._connected:
            self._down()

    def statistics(self, text: str) -> None:
        """``stats_cb``."""
        group = json.loads(text).get("cgrp") or {}
        if group.get("state") == "up":
            self._up()
        elif self._clock() - self._opened >= SETTLES:
            self.lost()

    def error(self, error: KafkaError) -> None:
        """``error_cb``: librdkafka goes on trying by itself, whatever it is."""
        log.debug("Kafka: %s", error)
        if error.code() != KafkaError._ALL_BROKERS_DOWN and _NO_TOKEN not in error.str():
            self.failed(error.name(), error.str())

    def no_token(self, error: Exception) -> None:
        """The source of tokens has failed; of that, librdkafka would say that there was an exception."""
        self.failed("NoToken", f"there is no token to log in with: {error or type(error).__name__}")

    def failed(self, code: str, why: str) -> None:
        """Something went wrong that may be why there is no connection."""
        self._code = code
        # A token endpoint may answer whatever it likes.
        plain = "".join(letter if letter.isprintable() else "?" for letter in " ".join(why.split()))
        self._cause = _WHEN.sub("", _WHERE.sub("", plain))[:MAX_CAUSE]

    def look(self) -> None:
        """Say what has lasted for too long; to be called often."""
        now = self._clock()
        if self._connected or now - self._since < GRACE:
            return
        other = self._code != self._problem_code and now - self._problem_at >= REPEAT
        if self._problem is not None and not other:
            return
        self._problem, self._problem_code, self._problem_at = self._cause, self._code, now
        if self._code != self._logged_code:
            self._logged_code = self._code
            log.warning(
                "Kafka: the brokers %s have not been connected for %d s (topic %s): %s; statuses come from Airflow's REST API until they are",
                self._brokers,
                now - self._since,
                self._topic,
                self._cause,
            )
        self._tell()

    def log(self, level: int, text: str, facility: str, name: str, line: str, *_: object) -> None:
        """Librdkafka's ``logger``: what :meth:`error` gets as well, many times over, is for those who debug."""
        quiet = facility in _TOLD_BY_ERRORS or level < logging.ERROR
        log.log(logging.DEBUG if quiet else logging.WARNING, text, facility, name, line)

    def _up(self) -> None:
        self._code, self._cause = "", _SILENCE
        if self._connected:
            return
        log.info(
            "Kafka: the brokers %s are connected%s (topic %s)",
            self._brokers,
            " again" if self._was_connected else "",
            self._topic,
        )
        self._connected = self._was_connected = True
        self._problem = self._logged_code = None
        self._tell()

    def _down(self) -> None:
        log.warning(
            "Kafka: the connection to the brokers %s is lost (topic %s): %s; statuses come from Airflow's REST API until it is back",
            self._brokers,
            self._topic,
            self._cause,
        )
        self._connected, self._since, self._logged_code = False, self._clock(), self._code
        self._tell()

    def _tell(self) -> None:
        self._told(Link(self._connected, self._brokers, self._problem))


def quietly(config: Mapping[str, Any], connection: Connection) -> dict[str, Any]:
    """These properties, and what makes librdkafka tell the connection instead of the log. Its own level is the lowest but where somebody debugs it."""
    return {**config, "log_level": 7 if "debug" in config else 3, "error_cb": connection.error, "logger": connection}
