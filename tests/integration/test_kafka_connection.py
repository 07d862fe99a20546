"""The operator's Kafka consumer logs in to a real broker, and connects again after a failure."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, Producer
from confluent_kafka.admin import AdminClient, ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion
from confluent_kafka.cimpl import NewTopic

from mljob_operator.adapters import kafka, kafka_connection
from mljob_operator.adapters.kafka import KafkaEvents
from mljob_operator.ports import Link, Message
from tests.live.authority import Authority
from tests.live.broker import Broker
from tests.live.eventually import eventually
from tests.live.token_endpoint import TokenEndpoint, token

WITHIN = 180
SECRET = "geheim-und-lang"

pytestmark = [pytest.mark.live, pytest.mark.timeout(900)]

UNSECURED = (
    "org.apache.kafka.common.security.oauthbearer.internals.unsecured.OAuthBearerUnsecuredValidatorCallbackHandler"
)
LOGIN = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule"


class Certificates:
    """Writes the certificate files of a broker and of the operator. There are two CAs for the
    operator's certificate: ``first`` and ``second``.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.brokers = Authority()
        self.first, self.second = Authority(), Authority()
        (directory / "broker.pem").write_bytes(self.brokers.broker())
        (directory / "ca.crt").write_bytes(self.brokers.certificate)
        self.trust(self.first)

    def trust(self, authority: Authority) -> None:
        """Let the broker admit only clients with a certificate from this CA. This takes effect when
        the broker starts the next time.
        """
        (self.directory / "clients.pem").write_bytes(authority.certificate)

    def issue(self, authority: Authority) -> None:
        """Write a new key and a new certificate of the operator, as cert-manager does."""
        certificate, key = authority.client("mljob-operator")
        (self.directory / "tls.key").write_bytes(key)
        (self.directory / "tls.crt").write_bytes(certificate)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[Broker]:
    oauth, tls, scram = "listener.name.oauth", "listener.name.tls", "listener.name.scram"
    properties = {
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,OAUTH:SASL_PLAINTEXT,TLS:SSL,SCRAM:SASL_SSL",
        f"{oauth}.sasl.enabled.mechanisms": "OAUTHBEARER",
        f"{oauth}.oauthbearer.sasl.jaas.config": f'{LOGIN} required unsecuredLoginStringClaim_sub="broker";',
        f"{oauth}.oauthbearer.sasl.server.callback.handler.class": UNSECURED,
        f"{scram}.sasl.enabled.mechanisms": "SCRAM-SHA-512",
        f"{scram}.scram-sha-512.sasl.jaas.config": "org.apache.kafka.common.security.scram.ScramLoginModule required;",
        f"{scram}.ssl.keystore.type": "PEM",
        f"{scram}.ssl.keystore.location": certificates.directory / "broker.pem",
        f"{tls}.ssl.client.auth": "required",
        f"{tls}.ssl.keystore.type": "PEM",
        f"{tls}.ssl.keystore.location": certificates.directory / "broker.pem",
        f"{tls}.ssl.truststore.type": "PEM",
        f"{tls}.ssl.truststore.location": certificates.directory / "clients.pem",
    }
    with Broker(tmp_path_factory.mktemp("kafka"), "airflow.events", ("OAUTH", "TLS", "SCRAM"), properties) as broker:
        yield broker


class Reader:
    """A new topic, and the operator's consumer of this topic."""

    def __init__(self, broker: Broker, config: dict[str, Any]) -> None:
        self._broker = broker
        self.topic = f"events-{secrets.token_hex(4)}"
        self._admin = AdminClient({"bootstrap.servers": broker.plain})
        self._admin.create_topics([NewTopic(self.topic, num_partitions=1, replication_factor=1)])[self.topic].result(
            WITHIN
        )
        self.links: list[Link] = []
        self.values: list[bytes | None] = []
        self.events = KafkaEvents(
            config, topic=self.topic, group_id=self.topic, link_changed=self._linked, file_check_interval=0.2
        )
        self.events.start(self._take, lambda _: None)

    async def close(self) -> None:
        await self.events.close()
        # The admin client has no method ``close``, and logs a line each second without a broker.
        del self._admin

    def _linked(self, link: Link | None) -> None:
        if link is not None:
            self.links.append(link)

    def _take(self, messages: Sequence[Message]) -> None:
        self.values += [message.value for message in messages]
        self.events.commit({messages[-1].partition: messages[-1].offset + 1})

    def send(self, value: bytes) -> None:
        producer = Producer({"bootstrap.servers": self._broker.plain})
        producer.produce(self.topic, value)
        assert producer.flush(WITHIN) == 0
        producer.close()

    async def reads(self) -> None:
        number = len(self.values)

        def arrives() -> bool:
            # The consumer misses messages that are sent before it has a partition.
            self.send(b"?")
            return len(self.values) > number

        await until(arrives, "messages arrive", lambda: self.links)

    async def commits(self) -> None:
        """Wait until the consumer has committed an offset. The next consumer of the group then
        begins at this offset, and not at the end of the topic.
        """
        asked = ConsumerGroupTopicPartitions(self.topic)

        def committed() -> bool:
            (answer,) = self._admin.list_consumer_group_offsets([asked]).values()
            return any(partition.offset >= 0 for partition in answer.result(WITHIN).topic_partitions or ())

        await until(committed, "an offset is committed")

    @property
    def problem(self) -> str:
        """Why the consumer is not connected, or an empty string."""
        return (self.links[-1].problem or "") if self.links else ""

    async def connected(self) -> None:
        await until(lambda: bool(self.links) and self.links[-1].connected, "it is connected", lambda: self.links)


async def until(question: Callable[[], object], what: str, evidence: Callable[[], object] | None = None) -> None:
    # The question may block until the broker answers.
    await asyncio.to_thread(eventually, question, what, within=WITHIN, evidence=evidence)


@pytest.fixture
async def read(broker: Broker) -> AsyncIterator[Callable[[dict[str, Any]], Reader]]:
    readers: list[Reader] = []

    def read(config: dict[str, Any]) -> Reader:
        readers.append(Reader(broker, config))
        return readers[-1]

    yield read
    for reader in readers:
        await reader.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_connection, "GRACE", 0.5)
    monkeypatch.setattr(kafka_connection, "REPORT_INTERVAL", 0.5)
    monkeypatch.setattr(kafka, "RETRY_SECONDS", 0.5)


def oauth(broker: Broker) -> dict[str, Any]:
    return {
        "bootstrap.servers": broker.address("OAUTH"),
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "OAUTHBEARER",
    }


def oidc(broker: Broker, endpoint: str, secret: str) -> dict[str, Any]:
    return {
        **oauth(broker),
        "sasl.oauthbearer.method": "oidc",
        "sasl.oauthbearer.token.endpoint.url": endpoint,
        "sasl.oauthbearer.client.id": "mljob",
        "sasl.oauthbearer.client.secret": secret,
        "sasl.oauthbearer.scope": "kafka",
    }


Read = Callable[[dict[str, Any]], Reader]


async def test_tokens_of_an_openid_provider_are_used_and_renewed(broker: Broker, read: Read) -> None:
    with TokenEndpoint(("mljob", SECRET), lifetime=10) as endpoint:
        reader = read(oidc(broker, endpoint.url, SECRET))
        await reader.reads()
        await until(lambda: len(endpoint.asked) >= 3, "tokens are renewed")
        await reader.reads()
        assert set(endpoint.asked) == {"kafka"}


@pytest.mark.usefixtures("impatient")
async def test_provider_that_refuses_the_client_is_named_as_the_cause(
    broker: Broker, read: Read, caplog: pytest.LogCaptureFixture
) -> None:
    with TokenEndpoint(("mljob", "another"), lifetime=10) as endpoint:
        reader = read(oidc(broker, endpoint.url, SECRET))
        await until(lambda: "the client is unknown here" in reader.problem, "it says why")
    told = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert any(broker.address("OAUTH") in record.getMessage() for record in told)
    assert SECRET not in caplog.text


@pytest.mark.usefixtures("impatient")
async def test_token_source_is_asked_again_and_its_failure_is_reported(broker: Broker, read: Read) -> None:
    calls: list[str | None] = []

    def tokens(config: str | None) -> tuple[str, float]:
        calls.append(config)
        if len(calls) == 1:
            raise LookupError("AWS gives no credentials")
        made = token("mljob", 10)
        return made, 10 + time.time()

    reader = read({**oauth(broker), "oauth_cb": tokens})
    await until(lambda: any("AWS gives no credentials" in (link.problem or "") for link in reader.links), "it says why")
    await reader.reads()
    await until(lambda: reader.links[-1].problem is None, "it says that it is mended", lambda: reader.links)
    known = len(calls)
    await until(lambda: len(calls) > known, "the token is renewed")
    await reader.reads()


@pytest.mark.usefixtures("impatient")
async def test_login_with_a_password_over_tls_with_a_private_ca(
    broker: Broker, read: Read, certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    user = UserScramCredentialUpsertion(
        "mljob", ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096), SECRET.encode(), b"salt-and-more-of-it"
    )
    admin = AdminClient({"bootstrap.servers": broker.plain})
    admin.alter_user_scram_credentials([user])["mljob"].result(WITHIN)
    config = {
        "bootstrap.servers": broker.address("SCRAM"),
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "mljob",
        "ssl.ca.location": str(certificates.directory / "ca.crt"),
    }
    await read({**config, "sasl.password": SECRET}).reads()
    refused = read({**config, "sasl.password": f"not-{SECRET}"})
    await until(lambda: "Authentication failed" in refused.problem, "it says why", lambda: refused.links)
    assert SECRET not in caplog.text


async def test_lost_and_restored_connection_is_logged_in_two_lines(
    broker: Broker, read: Read, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "mljob_operator")
    reader = read({"bootstrap.servers": broker.plain})
    await reader.reads()
    await reader.connected()
    broker.end()
    await until(lambda: not reader.links[-1].connected, "it knows that it is gone")
    await asyncio.to_thread(broker.start)
    await reader.connected()
    await reader.reads()
    lines = [
        record.getMessage().partition(":")[2].partition("(")[0].strip()
        for record in caplog.records
        if record.getMessage().startswith("Kafka:") or "rdkafka" in record.getMessage()
    ]
    assert lines == [
        f"the brokers {broker.plain} are connected",
        f"the connection to the brokers {broker.plain} is lost",
        f"the brokers {broker.plain} are connected again",
    ]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("config", "cause"),
    [
        pytest.param({"bootstrap.servers": "127.0.0.1:9"}, "Connection refused", id="nobody there"),
        pytest.param({"bootstrap.servers": "nowhere.invalid:9"}, "Failed to resolve 'nowhere.invalid:9'", id="no name"),
        pytest.param({"security.protocol": "SSL"}, "certificate verify failed", id="another CA"),
        pytest.param(
            {
                "security.protocol": "SASL_PLAINTEXT",
                "sasl.mechanism": "PLAIN",
                "sasl.username": "mljob",
                "sasl.password": SECRET,
            },
            "Unsupported SASL mechanism",
            id="another mechanism",
        ),
        pytest.param(
            {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "OAUTHBEARER"},
            "librdkafka reports no error",
            id="silence",
        ),
    ],
)
async def test_cause_of_a_failed_connection_is_logged_once(
    broker: Broker, read: Read, caplog: pytest.LogCaptureFixture, config: dict[str, Any], cause: str
) -> None:
    listener = "TLS" if config.get("security.protocol") == "SSL" else "OAUTH"
    reader = read({"bootstrap.servers": broker.address(listener), **config})
    await until(lambda: cause in reader.problem, "it says why", lambda: reader.links)
    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert any(reader.links[-1].brokers in line and cause in line for line in told)
    assert len(told) <= 2, told
    assert SECRET not in caplog.text


def mutual_tls(broker: Broker, folder: Path) -> dict[str, Any]:
    return {
        "bootstrap.servers": broker.address("TLS"),
        "security.protocol": "SSL",
        "ssl.ca.location": str(folder / "ca.crt"),
        "ssl.certificate.location": str(folder / "tls.crt"),
        "ssl.key.location": str(folder / "tls.key"),
    }


async def test_renewed_client_certificate_is_used_without_a_restart(
    broker: Broker, read: Read, certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    certificates.issue(certificates.first)
    folder = certificates.directory
    reader = read(mutual_tls(broker, folder))
    await reader.reads()
    await reader.commits()
    certificates.issue(certificates.second)
    certificates.trust(certificates.second)
    broker.end()
    await asyncio.to_thread(broker.start)
    # The message was sent while the broker refused the old certificate: the new consumer continues
    # at the old one's offset.
    reader.send(b"meanwhile")
    await until(lambda: b"meanwhile" in reader.values, "it reads on with the new certificate", lambda: reader.links)
    lost = [record for record in caplog.records if "is lost" in record.getMessage()]
    assert len(lost) <= 2, "the consumer from before is heard no more"


@pytest.mark.usefixtures("impatient")
async def test_half_written_certificate_does_not_stop_the_consumer(
    broker: Broker, read: Read, certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    certificates.trust(certificates.second)
    certificates.issue(certificates.second)
    folder = certificates.directory
    reader = read(mutual_tls(broker, folder))
    await reader.reads()
    (folder / "tls.key").write_bytes(b"-----BEGIN PRIVATE KEY-----\n")
    await until(lambda: "have changed and can't be used" in caplog.text, "it says so")
    await reader.reads()
    caplog.set_level(logging.INFO, "mljob_operator")
    certificates.issue(certificates.second)
    await until(lambda: "is read with the new ones" in caplog.text, "it takes the whole ones")
    await reader.reads()
