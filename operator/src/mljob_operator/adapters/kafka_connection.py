"""Tracks whether the brokers are connected, and logs each loss and each return of the connection.
While the connection is missing, new causes are logged, at most one a minute. If the brokers refuse
the topic, because the topic does not exist or may not be read, the connection counts as missing.

librdkafka's own log has a line for each failed attempt to connect, many times a second. But this
log has no line if the login can't begin, for example without a token. So this module reads from
librdkafka's statistics whether the coordinator of the consumer group is connected. The probable
cause of a missing connection is the last error that librdkafka, the token callback or the consumer
has reported.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import KafkaError

from ..ports import Link

log = logging.getLogger(__name__)

GRACE = 30.0
"""Seconds without a connection after which the problem is reported. Restarts of brokers and of the
operator take less time."""
CONNECTS_WITHIN = 10.0
"""Seconds that a new consumer has to connect. If the previous consumer was connected, the
connection counts as lost only after this time.
"""
REPORT_INTERVAL = 60.0
"""The minimum number of seconds between two reports of a missing connection. A second report is
made only if the cause has changed.
"""
MAX_CAUSE = 500
_WHERE = re.compile(r"^\[thrd:[^\]]*\]: ")
_WHEN = re.compile(r" \(after \d+ms in state .*\)$")
_NO_TOKEN = "OAuth callback raised exception"  # noqa: S105  # what confluent-kafka says
_NO_ERROR = "librdkafka reports no error, it is still trying"
_REFUSALS = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.TOPIC_AUTHORIZATION_FAILED})
_PASSED_TO_ERROR_CB = frozenset({"FAIL", "ERROR"})


class Connection:
    """The connection between the brokers and the consumers of one topic. When a consumer replaces
    another, both use the same object of this class.

    Args:
        brokers: The configured brokers, for log lines and statuses.
        topic: The topic of the consumers.
        changed: Called in the consumer's thread with a :class:`.Link`: the state of the connection.
            The calls happen when the state changes, when a consumer is created, and when
            :meth:`check` reports the cause of a missing connection.
        clock: A monotonic clock, in seconds.
    """

    def __init__(
        self, brokers: str, topic: str, changed: Callable[[Link], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._brokers = brokers
        self._topic = topic
        self._changed = changed
        self._clock = clock
        self._connected = False
        self._was_connected = False
        self._since = self._opened = clock()
        self._code = ""
        self._cause = _NO_ERROR
        self._coordinator_is_up = False
        self._refusal: tuple[str, str] | None = None
        self._topic_refused = False
        self._problem: str | None = None
        self._problem_code = ""
        self._logged_code: str | None = None
        self._problem_at = 0.0

    def opened(self) -> None:
        """Record that a consumer is being created. To give the consumer time to connect,
        :meth:`statistics` records no loss of the connection in the next ``CONNECTS_WITHIN`` (10
        seconds). The new consumer reports by itself if the brokers refuse the topic.
        """
        self._opened = self._clock()
        self._refusal = None
        self._report_change()

    def lost(self) -> None:
        """If the brokers were connected until now, record and log the loss of the connection, and
        call ``changed``. Otherwise do nothing.
        """
        if self._connected:
            self._set_lost()

    def statistics(self, statistics: Mapping[str, Any]) -> None:
        """Read from librdkafka's statistics whether the brokers are connected. If the connection
        was made or lost, log the change and call ``changed``. While the brokers refuse the topic,
        no connection is recorded.
        """
        group = statistics.get("cgrp") or {}
        self._coordinator_is_up = group.get("state") == "up"
        if self._coordinator_is_up:
            if self._refusal is None:
                self._set_connected()
        elif self._clock() - self._opened >= CONNECTS_WITHIN:
            self.lost()

    def error(self, error: KafkaError) -> None:
        """Remember an error of librdkafka as the probable cause of a missing connection (callback
        ``error_cb``).

        Two errors are not remembered, because they name no cause: all brokers are down, and the
        token callback has failed.
        """
        log.debug("Kafka: %s", error)
        if error.code() != KafkaError._ALL_BROKERS_DOWN and _NO_TOKEN not in error.str():
            self.failed(error.name(), error.str())

    def consumer_error(self, error: KafkaError) -> None:
        """If an error of the consumer says that the brokers refuse the topic, count the connection
        as missing until :meth:`topic_readable` is called. The caller logs the error.
        """
        if error.code() not in _REFUSALS:
            return
        self._refusal = error.name(), _plain(error.str())
        if self._connected:
            self._connected, self._since = False, self._clock()
            self._report_change()

    def topic_readable(self) -> None:
        """Record that the consumer has got partitions of the topic, or has read a message. A
        consumer without partitions is no problem by itself, because the group may have more members
        than the topic has partitions.
        """
        self._refusal = None

    def no_token(self, error: Exception) -> None:
        """Remember why the operator has no OAuth token for its login. librdkafka itself reports
        only that the token callback raised an exception.
        """
        self.failed("NoToken", f"there is no token to log in with: {error or type(error).__name__}")

    def failed(self, code: str, why: str) -> None:
        """Remember an error as the probable cause of a missing connection. Errors with the same
        ``code`` count as the same cause, whatever their texts are.
        """
        self._code, self._cause = code, _plain(why)

    def check(self) -> None:
        """Report the cause if the connection has been missing for ``GRACE`` (30 seconds). Later
        calls report only a new cause, at most once in ``REPORT_INTERVAL`` (60 seconds).

        Each report calls ``changed``. A report also logs the cause, unless the last log line about
        the missing connection has the same cause, or the brokers refuse the topic.

        The consumer's thread calls this method at short intervals.
        """
        now = self._clock()
        if self._connected or now - self._since < GRACE:
            return
        refusal = self._refusal if self._coordinator_is_up else None
        code, cause = refusal or (self._code, self._cause)
        other = code != self._problem_code and now - self._problem_at >= REPORT_INTERVAL
        if self._problem is not None and not other:
            return
        self._problem, self._problem_code, self._problem_at = cause, code, now
        self._topic_refused = refusal is not None
        if not self._topic_refused and code != self._logged_code:
            self._logged_code = code
            log.warning(
                "Kafka: the brokers %s have not been connected for %d s (topic %s): %s; statuses come from Airflow's REST API until they are",
                self._brokers,
                now - self._since,
                self._topic,
                cause,
            )
        self._report_change()

    def log(self, level: int, text: str, facility: str, name: str, line: str, *_: object) -> None:
        """Write a message of librdkafka to the operator's log (callback ``logger``). The level is
        DEBUG for messages below ERROR and for errors that librdkafka also passes to :meth:`error`,
        otherwise WARNING.
        """
        is_minor = facility in _PASSED_TO_ERROR_CB or level < logging.ERROR
        log.log(logging.DEBUG if is_minor else logging.WARNING, text, facility, name, line)

    def _set_connected(self) -> None:
        self._code, self._cause = "", _NO_ERROR
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
        self._topic_refused = False
        self._report_change()

    def _set_lost(self) -> None:
        log.warning(
            "Kafka: the connection to the brokers %s is lost (topic %s): %s; statuses come from Airflow's REST API until it is back",
            self._brokers,
            self._topic,
            self._cause,
        )
        self._connected, self._since, self._logged_code = False, self._clock(), self._code
        self._report_change()

    def _report_change(self) -> None:
        self._changed(Link(self._connected, self._brokers, self._problem, self._topic_refused))


def _plain(why: str) -> str:
    """Return an error's text on one line, without librdkafka's additions, and at most ``MAX_CAUSE``
    (500) characters long. The text may quote a token endpoint's answer, which may hold control
    characters.
    """
    plain = "".join(character if character.isprintable() else "?" for character in " ".join(why.split()))
    return _WHEN.sub("", _WHERE.sub("", plain))[:MAX_CAUSE]


def with_callbacks(config: Mapping[str, Any], connection: Connection) -> dict[str, Any]:
    """Return ``config`` with callbacks that pass librdkafka's errors and log messages to
    ``connection``. librdkafka's log level becomes 3 (errors), or 7 if ``config`` has the property
    ``debug``.
    """
    return {**config, "log_level": 7 if "debug" in config else 3, "error_cb": connection.error, "logger": connection}
