"""The operator logs the state of its connection to Kafka."""

from __future__ import annotations

import logging

import pytest
from confluent_kafka import KafkaError

from mljob_operator.adapters.kafka_connection import CONNECTS_WITHIN, GRACE, MAX_CAUSE, REPORT_INTERVAL, Connection
from mljob_operator.ports import Link

REFUSED = "[thrd:kafka:9092/1]: kafka:9092/1: Connect failed: Connection refused (after 0ms in state CONNECT, 9 identical error(s) suppressed)"
UNTRUSTED = "ssl://kafka:9092/1: SSL handshake failed: certificate verify failed (after 3ms in state SSL_HANDSHAKE)"


class Heard:
    """Records each state that a :class:`Connection` reports (``links``). :meth:`after` moves the
    Connection's clock forward.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.links: list[Link] = []
        self.connection = Connection("kafka:9092", "events", self.links.append, clock=lambda: self.now)
        self.connection.opened()

    def state(self, state: str) -> None:
        self.connection.statistics({"brokers": {}, "cgrp": {"state": state}})

    def fails(self, code: int, why: str) -> None:
        self.connection.error(KafkaError(code, why))

    def after(self, seconds: float) -> None:
        self.now += seconds
        self.connection.check()


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture(autouse=True)
def lines(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "mljob_operator")
    return caplog


def told(lines: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    return [(record.levelno, record.getMessage()) for record in lines.records]


def test_lost_and_restored_connections_are_logged_once_each(heard: Heard, lines: pytest.LogCaptureFixture) -> None:
    heard.state("up")
    heard.after(60)
    for _ in range(50):
        heard.fails(KafkaError._TRANSPORT, REFUSED)
        heard.fails(KafkaError._ALL_BROKERS_DOWN, "1/1 brokers are down")
        heard.connection.log(logging.ERROR, "%s [%s] %s", "FAIL", "rdkafka#1", REFUSED)
    heard.state("query-coord")
    heard.state("query-coord")
    heard.after(2)
    heard.state("up")
    assert told(lines) == [
        (logging.INFO, "Kafka: the brokers kafka:9092 are connected (topic events)"),
        (
            logging.WARNING,
            "Kafka: the connection to the brokers kafka:9092 is lost (topic events): kafka:9092/1: Connect failed: Connection refused; "
            "statuses come from Airflow's REST API until it is back",
        ),
        (logging.INFO, "Kafka: the brokers kafka:9092 are connected again (topic events)"),
    ]
    assert [(link.connected, link.problem) for link in heard.links] == [
        (False, None),
        (True, None),
        (False, None),
        (True, None),
    ]


def test_failing_first_connection_is_logged_with_its_cause_after_a_grace_period(
    heard: Heard, lines: pytest.LogCaptureFixture
) -> None:
    heard.fails(KafkaError._SSL, UNTRUSTED)
    heard.after(GRACE - 1)
    assert told(lines) == []
    heard.after(1)
    heard.after(GRACE)
    assert told(lines) == [
        (
            logging.WARNING,
            "Kafka: the brokers kafka:9092 have not been connected for 30 s (topic events): "
            "ssl://kafka:9092/1: SSL handshake failed: certificate verify failed; "
            "statuses come from Airflow's REST API until they are",
        )
    ]
    assert heard.links[-1] == Link(
        False, "kafka:9092", "ssl://kafka:9092/1: SSL handshake failed: certificate verify failed"
    )
    heard.state("up")
    assert heard.links[-1] == Link(True, "kafka:9092")


def test_new_cause_is_logged_at_most_once_per_interval(heard: Heard, lines: pytest.LogCaptureFixture) -> None:
    heard.after(GRACE)
    assert "librdkafka reports no error" in (heard.links[-1].problem or "")
    for _ in range(int(REPORT_INTERVAL) - 1):
        heard.fails(KafkaError._TRANSPORT, REFUSED)
        heard.fails(KafkaError._SSL, UNTRUSTED)
        heard.after(1)
    assert len(told(lines)) == 1
    heard.after(1)
    assert len(told(lines)) == 2
    assert "certificate verify failed" in (heard.links[-1].problem or "")


def test_cause_of_a_lasting_loss_is_reported_without_another_log_line(
    heard: Heard, lines: pytest.LogCaptureFixture
) -> None:
    heard.state("up")
    heard.after(CONNECTS_WITHIN)
    heard.fails(KafkaError._TRANSPORT, REFUSED)
    heard.state("query-coord")
    heard.after(GRACE)
    assert len(told(lines)) == 2
    assert heard.links[-1].problem == "kafka:9092/1: Connect failed: Connection refused"


def test_new_consumer_does_not_count_as_a_lost_connection(heard: Heard, lines: pytest.LogCaptureFixture) -> None:
    heard.state("up")
    heard.after(60)
    heard.connection.opened()
    heard.state("init")
    heard.after(2)
    heard.state("up")
    assert len(told(lines)) == 1
    assert all(link.connected for link in heard.links[1:])
    heard.connection.opened()
    heard.after(CONNECTS_WITHIN)
    heard.state("init")
    assert not heard.links[-1].connected


def test_cause_of_a_missing_token_is_kept_when_librdkafka_reports_a_general_error(heard: Heard) -> None:
    heard.connection.no_token(LookupError("AWS gives the operator no credentials"))
    heard.fails(KafkaError._AUTHENTICATION, "Failed to acquire SASL OAUTHBEARER token: OAuth callback raised exception")
    heard.after(GRACE)
    assert heard.links[-1].problem == "there is no token to log in with: AWS gives the operator no credentials"


def test_cause_is_one_line_of_bounded_length(heard: Heard) -> None:
    heard.fails(KafkaError._AUTHENTICATION, "no\n\x1b[31mentry: " + "x" * 10_000)
    heard.after(GRACE)
    problem = heard.links[-1].problem or ""
    assert problem.startswith("no ?[31mentry: x")
    assert len(problem) == MAX_CAUSE


REFUSALS = [
    (KafkaError.UNKNOWN_TOPIC_OR_PART, "Subscribed topic not available: events: Broker: Unknown topic or partition"),
    (KafkaError.TOPIC_AUTHORIZATION_FAILED, "Fetch from broker 1 failed: Broker: Topic authorization failed"),
]


@pytest.mark.parametrize(("code", "why"), REFUSALS)
def test_topic_that_is_refused_from_the_start_is_a_problem_after_a_grace_period(
    heard: Heard, lines: pytest.LogCaptureFixture, code: int, why: str
) -> None:
    heard.connection.consumer_error(KafkaError(code, why))
    heard.state("up")
    heard.after(GRACE - 1)
    assert {(link.connected, link.problem) for link in heard.links} == {(False, None)}
    heard.after(1)
    assert heard.links[-1] == Link(False, "kafka:9092", why, topic_refused=True)
    assert told(lines) == [], "the consumer logs the error"
    heard.connection.topic_readable()
    heard.state("up")
    assert heard.links[-1] == Link(True, "kafka:9092")


@pytest.mark.parametrize(("code", "why"), REFUSALS)
def test_topic_that_is_refused_later_counts_as_not_connected_at_once(heard: Heard, code: int, why: str) -> None:
    heard.state("up")
    heard.after(60)
    heard.connection.consumer_error(KafkaError(code, why))
    heard.state("up")
    assert heard.links[-1] == Link(False, "kafka:9092")
    heard.after(GRACE)
    assert heard.links[-1] == Link(False, "kafka:9092", why, topic_refused=True)


def test_brokers_that_are_lost_are_the_cause_even_if_they_had_refused_the_topic(heard: Heard) -> None:
    heard.connection.consumer_error(KafkaError(*REFUSALS[0]))
    heard.state("up")
    heard.after(GRACE)
    heard.fails(KafkaError._TRANSPORT, REFUSED)
    heard.state("query-coord")
    heard.after(REPORT_INTERVAL)
    assert heard.links[-1] == Link(False, "kafka:9092", "kafka:9092/1: Connect failed: Connection refused")


def test_other_errors_of_a_consumer_are_no_problem_of_the_connection(heard: Heard) -> None:
    heard.connection.consumer_error(KafkaError(KafkaError.NOT_LEADER_FOR_PARTITION, "not the leader"))
    heard.state("up")
    assert heard.links[-1] == Link(True, "kafka:9092")


def test_critical_messages_of_librdkafka_are_logged(heard: Heard, lines: pytest.LogCaptureFixture) -> None:
    heard.connection.log(logging.CRITICAL, "%s [%s] %s", "MAXPOLL", "rdkafka#1", "left the group")
    heard.connection.log(logging.WARNING, "%s [%s] %s", "CONFWARN", "rdkafka#1", "of no use")
    assert told(lines) == [(logging.WARNING, "MAXPOLL [rdkafka#1] left the group")]
