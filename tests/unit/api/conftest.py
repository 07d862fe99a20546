"""Fixtures that run mljob-api in the process of the test."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer

from mljob_contract.airflow_instance import AccessRule
from mljob_contract.events import EventName, TaskEvent
from mljob_contract.history import HistoryEntry, parse_entry
from mljob_contract.run_api import RunSubresource, run_path
from mljob_operator.api import events, handlers, log, readings
from mljob_operator.api.airflows import ApiAirflows
from mljob_operator.api.application import Application
from mljob_operator.api.front_proxy import FrontProxy
from mljob_operator.api.handlers import Handlers
from mljob_operator.api.listener import TlsConnection
from mljob_operator.api.metrics import ApiMetrics
from mljob_operator.api.request_limits import RequestLimits
from mljob_operator.api.runs import Runs
from mljob_operator.controllers.airflow_instance.logins import Logins
from mljob_operator.controllers.airflow_instance.registry import AirflowRegistry, OwnAirflow
from mljob_operator.core.airflow_instance.credentials import Login
from mljob_operator.core.airflow_instance.instance import Instance
from mljob_operator.core.mljob.identity import dag_run_id
from tests.fakes.airflow import FakeAirflow, FakeRun
from tests.fakes.history import FakeTopics
from tests.fakes.instances import FakeInstances
from tests.fakes.jobs import FakeJobs

TOPIC = "airflow.events"
PROXY = FrontProxy("", frozenset(), ("X-Remote-User",))
USER = {"X-Remote-User": "ada"}


def now() -> datetime:
    return datetime.now(UTC)


class ApiWorld:
    """mljob-api on loopback, with fakes of Kubernetes, Airflow and Kafka.

    Attributes:
        airflows: Fake Airflows by the names of their AirflowInstances.
    """

    has_kafka = True
    with_instances = False
    access: tuple[AccessRule, ...] | None = None
    streams = 200
    readers = 60
    follow_seconds = 60.0

    def __init__(self) -> None:
        self.jobs = FakeJobs()
        self.instances = FakeInstances()
        self.instances.labels |= {"team-a": {"team": "a"}, "team-b": {"team": "b"}}
        self.airflow = FakeAirflow(now)
        self.airflows: dict[str, FakeAirflow] = {}
        self.topics = FakeTopics()
        self.metrics = ApiMetrics()
        self.connection: TlsConnection | None = None
        self._client: TestClient[Any, Any] | None = None

    async def start(self) -> None:
        registry = AirflowRegistry(
            Logins(self.instances),
            self._connect,
            own=OwnAirflow(self.airflow, "http://airflow", self.access),
            topic=TOPIC,
            reserved=("secret_*",),
            watches_namespaces=self.with_instances,
        )
        airflows = ApiAirflows(registry, self.instances, topic=TOPIC, with_instances=self.with_instances)
        runs = Runs(self.jobs, airflows, prefix="mljob")
        self.handlers = Handlers(
            runs,
            airflows,
            self.topics if self.has_kafka else None,
            RequestLimits(self.readers, "readers of events"),
            follow_seconds=self.follow_seconds,
        )
        self.connection = TlsConnection(is_front_proxy=True)
        application = Application(
            self.handlers, lambda: PROXY, lambda _: self.connection, RequestLimits(self.streams), self.metrics
        )
        server = TestServer(application.app, handler_cancellation=True)
        self._client = TestClient(server)
        await self._client.start_server()

    async def stop(self) -> None:
        if self._client is not None:
            await self._client.close()

    def _connect(self, instance: Instance, _: Login) -> FakeAirflow:
        return self.airflows[instance.name]

    # Users

    async def get(self, path: str, headers: Mapping[str, str] = USER, **query: Any) -> ClientResponse:
        assert self._client is not None
        return await self._client.get(path, params={name: str(value) for name, value in query.items()}, headers=headers)

    async def ask(
        self, subresource: RunSubresource, name: str = "churn", namespace: str = "team-a", **query: Any
    ) -> ClientResponse:
        return await self.get(run_path(namespace, name, subresource), **query)

    async def log(self, **query: Any) -> str:
        answer = await self.ask(RunSubresource.LOG, **query)
        text = await answer.text()
        assert answer.status == 200, text
        return text

    async def events(self, *, watch: bool = False, **query: Any) -> list[HistoryEntry]:
        answer = await self.get(run_path("team-a", "churn", RunSubresource.EVENTS, watch=watch), **query)
        text = await answer.text()
        assert answer.status == 200, text
        return [entry for line in text.splitlines() if (entry := parse_entry(line)) is not None]

    async def graph(self, **query: Any) -> Any:
        answer = await self.ask(RunSubresource.GRAPH, **query)
        assert answer.status == 200, await answer.text()
        return await answer.json()

    # The cluster and Airflow

    def submitted(
        self,
        name: str = "churn",
        namespace: str = "team-a",
        *,
        conf: Mapping[str, Any] | None = None,
        airflow: str | None = None,
        status: Mapping[str, Any] | None = None,
        **spec: Any,
    ) -> FakeRun:
        job = self.jobs.create(name, {"dagId": "train", **spec}, namespace)
        run_id = str(dag_run_id("mljob", namespace, name, job.uid))
        body = self.jobs.objects[namespace, name]
        body["status"] = {
            "phase": "Running",
            "attempts": 1,
            "dagId": "train",
            "dagRunId": run_id,
            "specHash": job.parsed.hash,
            "submitTime": now().isoformat(),
            **({"airflowInstance": airflow} if airflow else {}),
            **(status or {}),
        }
        fake = self.airflows[airflow] if airflow else self.airflow
        run = fake.queue("train", run_id, conf or {})
        fake.begin(run)
        return run

    def report(self, run: FakeRun, event: EventName = EventName.TASK_PROGRESS, **fields: Any) -> None:
        about = {"dag_id": run.dag_id, "run_id": run.run_id, "task_id": "fit", "try_number": 1}
        task_event = TaskEvent(event=event, timestamp=now(), **(about | fields))
        self.send(run, task_event.model_dump_json(exclude_none=True))

    def send(self, run: FakeRun, value: str, at: datetime | None = None) -> None:
        self.topics.send(TOPIC, f"{run.dag_id}/{run.run_id}".encode(), value.encode(), at)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name, seconds in (
        (readings, "SHORTEST", 0.01),
        (readings, "LONGEST", 0.05),
        (log, "SHORTEST", 0.01),
        (log, "LONGEST", 0.05),
        (handlers, "WAIT_SECONDS", 0.02),
        (handlers, "CHECK_SECONDS", 0.05),
        (events, "LATE", 0.05),
    ):
        monkeypatch.setattr(module, name, seconds)


@pytest.fixture
async def world() -> AsyncIterator[ApiWorld]:
    """An ApiWorld whose mljob-api is not started yet. The test calls :meth:`ApiWorld.start`."""
    world = ApiWorld()
    yield world
    await world.stop()


async def message_of(answer: ClientResponse) -> tuple[int, str]:
    body = json.loads(await answer.text())
    assert (body["kind"], body["apiVersion"], body["status"], body["code"]) == (
        "Status",
        "v1",
        "Failure",
        answer.status,
    )
    assert body["reason"]
    return answer.status, body["message"]
