"""Fixtures that run each test with every implementation of an interface to Airflow or Kubernetes: a
fake in memory, and the real system. For Airflow, the benchmarks' simulated Airflow is a third
implementation.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Protocol

import pytest

from benchmarks.simulated_airflow.airflow import Settings, SimulatedAirflow
from benchmarks.simulated_airflow.catalog import all_dags
from benchmarks.simulated_airflow.server import Served, served
from devstack.stack import Stack
from mljob_contract.airflow_instance import CREDENTIALS_LABEL
from mljob_operator.adapters.airflow.client import Airflow
from mljob_operator.adapters.kubernetes.client import connect
from mljob_operator.adapters.kubernetes.instances import InstanceObjects
from mljob_operator.adapters.kubernetes.jobs import Jobs
from mljob_operator.adapters.kubernetes.source_watches import WatchedSources
from mljob_operator.core.airflow_instance.instance import Instance
from mljob_operator.core.mljob.identity import dag_run_id
from mljob_operator.core.mljob.resource.job import Job
from mljob_operator.core.run.run_key import SETTINGS_AIRFLOW, Key
from mljob_operator.core.run.states import RunState, TaskState
from mljob_operator.ports import Airflow as AirflowPort
from mljob_operator.ports import InstanceStore, JobStore, SourceChanges
from tests.fakes.airflow import CANCEL_DAG, FakeAirflow
from tests.fakes.instances import FakeInstances
from tests.fakes.jobs import FakeJobs
from tests.fakes.leases import OpenGate
from tests.fakes.logins import login
from tests.fakes.meter import SilentMeter
from tests.fakes.source_changes import FakeSourceChanges
from tests.live.airflow import AirflowRest
from tests.live.eventually import eventually
from tests.live.kubectl import Kubectl

REAL = pytest.param("real", marks=pytest.mark.live)
WORLDS = ["memory", REAL]
AIRFLOWS = ["memory", "simulated", REAL]
DAGS = {
    "parity_params": ("echo",),
    "parity_paused": ("waits",),
    "parity_mapped": ("a", "b"),
    "backfill_contract_days": ("work",),
    "people_approve": ("train", "approve", "deploy"),
}
"""The DAGs of the tests in this folder, each with the tasks that the tests use."""


def now() -> datetime:
    return datetime.now(UTC)


def new_run_id() -> str:
    return str(dag_run_id("mljob", "contract", "job", uuid.uuid4().hex))


def ask(airflow: FakeAirflow, run_id: str, model: str) -> None:
    run = airflow.runs["people_approve", run_id]
    airflow.begin(run)
    airflow.set_task(run, "approve", TaskState.AWAITING_INPUT)
    run.questions["approve", -1] = f"Deploy {model}?"


def finish(airflow: FakeAirflow, dag_id: str, run_id: str, task_id: str) -> None:
    run = airflow.runs[dag_id, run_id]
    airflow.begin(run)
    airflow.set_task(run, task_id, TaskState.SUCCESS)
    airflow.write(run, task_id, "hello")
    airflow.end(run, RunState.SUCCESS)


def adapter(url: str, user: str, password: str) -> Airflow:
    return Airflow(
        SETTINGS_AIRFLOW,
        url,
        SilentMeter(),
        login(user, password),
        prefix="mljob",
        cancel_dag_id=CANCEL_DAG,
        gate=OpenGate(),
    )


class AirflowWorld(Protocol):
    """An Airflow for these tests, with methods for the actions of users and tasks."""

    @property
    def dag_runs(self) -> AirflowPort: ...
    @property
    def stranger(self) -> AirflowPort:
        """An adapter with a wrong password."""

    async def pause(self, dag_id: str, *, paused: bool) -> None: ...
    async def submitted_conf(self, dag_id: str, run_id: str) -> dict[str, Any]: ...
    async def until_asked(self, run_id: str, model: str) -> None: ...
    async def finish(self, dag_id: str, run_id: str, task_id: str) -> None:
        """Make the task write a log and succeed, and set the run to success. Do nothing if this
        Airflow runs tasks by itself.
        """


class MemoryAirflow:
    def __init__(self) -> None:
        self.dag_runs = FakeAirflow(now, DAGS)
        self.dag_runs.daily.add("backfill_contract_days")
        self.dag_runs.required["parity_params"] = ("count",)
        self.dag_runs.dag_params["parity_params"] = {"count": {"value": None, "schema": {"type": "integer"}}}
        self.dag_runs.paused.add("parity_paused")
        self.stranger = FakeAirflow(now)
        self.stranger.locked = True

    async def pause(self, dag_id: str, *, paused: bool) -> None:
        (self.dag_runs.paused.add if paused else self.dag_runs.paused.discard)(dag_id)

    async def submitted_conf(self, dag_id: str, run_id: str) -> dict[str, Any]:
        return self.dag_runs.runs[dag_id, run_id].conf

    async def until_asked(self, run_id: str, model: str) -> None:
        ask(self.dag_runs, run_id, model)

    async def finish(self, dag_id: str, run_id: str, task_id: str) -> None:
        finish(self.dag_runs, dag_id, run_id, task_id)


class ServedAirflow:
    def __init__(self, served: Served) -> None:
        self._served = served
        self.dag_runs = adapter(served.url, "operator", "right")
        self.stranger = adapter(served.url, "operator", "wrong")

    async def pause(self, dag_id: str, *, paused: bool) -> None:
        self._served.do(lambda airflow: airflow.scheduler.set_paused(dag_id, paused=paused))

    async def submitted_conf(self, dag_id: str, run_id: str) -> dict[str, Any]:
        run = self._served.do(lambda airflow: airflow.store.get(dag_id, run_id))
        assert run is not None
        return run.conf

    async def until_asked(self, run_id: str, model: str) -> None:
        def waits(airflow: SimulatedAirflow) -> bool:
            run = airflow.store.get("people_approve", run_id)
            return run is not None and run.tasks["approve", -1].state is TaskState.AWAITING_INPUT

        await asyncio.to_thread(eventually, lambda: self._served.do(waits), f"somebody is asked about {model}")

    async def finish(self, dag_id: str, run_id: str, task_id: str) -> None:
        # The simulated Airflow runs the task by itself.
        ...


class RealAirflow:
    def __init__(self, dag_runs: Airflow, stranger: Airflow, rest: AirflowRest) -> None:
        self.dag_runs = dag_runs
        self.stranger = stranger
        self._rest = rest

    async def pause(self, dag_id: str, *, paused: bool) -> None:
        await asyncio.to_thread(self._rest.pause, dag_id, paused=paused)

    async def submitted_conf(self, dag_id: str, run_id: str) -> dict[str, Any]:
        run = await asyncio.to_thread(self._rest.run, dag_id, run_id)
        assert run is not None
        return dict(run["conf"])

    async def until_asked(self, run_id: str, model: str) -> None:
        def waits() -> bool:
            rows = self._rest.task_instances("people_approve", run_id)
            # Before Airflow 3.3 this state is called deferred.
            return any(row["task_id"] == "approve" and row["state"] in ("awaiting_input", "deferred") for row in rows)

        await asyncio.to_thread(eventually, waits, f"somebody is asked whether to deploy {model}", within=120)

    async def finish(self, dag_id: str, run_id: str, task_id: str) -> None:
        # Airflow runs the task by itself.
        ...


@pytest.fixture(scope="session")
def airflow_with_dags(airflow: AirflowRest) -> AirflowRest:
    eventually(lambda: DAGS.keys() <= airflow.dags().keys(), "the DAGs are parsed", within=120)
    return airflow


@pytest.fixture(params=AIRFLOWS)
async def airflow_world(request: pytest.FixtureRequest) -> AsyncIterator[AirflowWorld]:
    if request.param == "memory":
        yield MemoryAirflow()
        return
    if request.param == "simulated":
        with served(SimulatedAirflow(all_dags(), Settings("operator", "right"))) as simulated:
            world = ServedAirflow(simulated)
            yield world
            await world.dag_runs.close()
            await world.stranger.close()
        return
    stack: Stack = request.getfixturevalue("stack")
    env = stack.env
    real, stranger = (
        adapter(env["AIRFLOW_URL"], env["AIRFLOW_USER"], password)
        for password in (env["AIRFLOW_PASSWORD"], "not-the-password")
    )
    yield RealAirflow(real, stranger, request.getfixturevalue("airflow_with_dags"))
    await real.close()
    await stranger.close()


class Cluster(Protocol):
    """A Kubernetes API with MLJobs, and with methods for the actions of users."""

    @property
    def store(self) -> JobStore: ...
    @property
    def changes(self) -> SourceChanges: ...
    async def create(self, name: str, spec: dict[str, Any]) -> Job: ...
    async def edit(self, key: Key, spec: dict[str, Any]) -> Job: ...
    async def delete(self, key: Key) -> None: ...
    async def events(self, name: str) -> list[tuple[str, str, str]]: ...
    async def finalizers(self, key: Key, *names: str) -> Job: ...
    async def data(self, kind: str, name: str, data: dict[str, str]) -> None: ...


class MemoryCluster:
    def __init__(self) -> None:
        self.store = FakeJobs()
        self.store.admission_policy = True
        self.changes = FakeSourceChanges(self.store)

    async def create(self, name: str, spec: dict[str, Any]) -> Job:
        return self.store.create(name, spec, "default")

    async def edit(self, key: Key, spec: dict[str, Any]) -> Job:
        return self.store.edit(key, spec)

    async def delete(self, key: Key) -> None:
        self.store.user_deletes(key, now())

    async def events(self, name: str) -> list[tuple[str, str, str]]:
        return [(n.type, n.reason, n.message) for about, n in self.store.kube_events if about == name]

    async def finalizers(self, key: Key, *names: str) -> Job:
        self.store.objects[key]["metadata"]["finalizers"] = list(names)
        return self.store.edit(key, {})

    async def data(self, kind: str, name: str, data: dict[str, str]) -> None:
        self.store.put(kind, name, data)


class RealCluster:
    """The development stack's Kubernetes API. ``store`` has the operator's permissions."""

    def __init__(self, store: Jobs, changes: WatchedSources, kubectl: Kubectl) -> None:
        self.store = store
        self.changes = changes
        self._kubectl = kubectl

    async def create(self, name: str, spec: dict[str, Any]) -> Job:
        body = {"apiVersion": "mljob.dev/v1alpha1", "kind": "MLJob", "metadata": {"name": name}, "spec": spec}
        await asyncio.to_thread(self._kubectl.apply, body)
        return await self._read(("default", name))

    async def edit(self, key: Key, spec: dict[str, Any]) -> Job:
        return await self._patch(key, {"spec": spec})

    async def delete(self, key: Key) -> None:
        await asyncio.to_thread(self._kubectl, "delete", "mljob", key[1], "--wait=false")

    async def events(self, name: str) -> list[tuple[str, str, str]]:
        found = await asyncio.to_thread(self._kubectl.get, "events", f"--field-selector=involvedObject.name={name}")
        return [(e["type"], e["reason"], e["message"]) for e in found["items"]]

    async def finalizers(self, key: Key, *names: str) -> Job:
        return await self._patch(key, {"metadata": {"finalizers": list(names)}})

    async def data(self, kind: str, name: str, data: dict[str, str]) -> None:
        values = {"stringData" if kind == "Secret" else "data": data}
        body = {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, **values}
        await asyncio.to_thread(self._kubectl.apply, body)

    async def _patch(self, key: Key, patch: dict[str, Any]) -> Job:
        await asyncio.to_thread(self._kubectl, "patch", "mljob", key[1], "--type=merge", "-p", json.dumps(patch))
        return await self._read(key)

    async def _read(self, key: Key) -> Job:
        job = await self.store.get(key)
        assert job is not None
        return job


async def _remove(
    found: Job | Instance, set_finalizer: Callable[..., Awaitable[object]], kubectl: Kubectl, resource: str
) -> None:
    # Only the tests of this folder create objects with this prefix.
    if found.name.startswith("contract-"):
        if found.has_finalizer:
            await set_finalizer(found, present=False)
        await asyncio.to_thread(kubectl, "delete", resource, found.name, "--ignore-not-found", "--wait=false")


@pytest.fixture(params=WORLDS)
async def cluster(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Cluster]:
    if request.param == "memory":
        yield MemoryCluster()
        return
    stack: Stack = request.getfixturevalue("stack")
    monkeypatch.setenv("KUBECONFIG", stack.operator_env()["KUBECONFIG"])
    api = await connect()
    store = Jobs(api)
    kubectl: Kubectl = request.getfixturevalue("kubectl")
    yield RealCluster(store, WatchedSources(api), kubectl)
    async for job in store.list():
        await _remove(job, store.set_finalizer, kubectl, "mljob")
    await api.close()


@pytest.fixture
def name() -> str:
    return f"contract-{uuid.uuid4().hex[:8]}"


SPEC = {"url": "http://airflow:8080", "credentials": {"tokenSecretRef": {"name": "airflow"}}}
CREDENTIALS = "mljob-system"


class Platform(Protocol):
    """A Kubernetes API with AirflowInstances, and with methods for the actions of platform
    engineers.
    """

    @property
    def store(self) -> InstanceStore: ...
    @property
    def store_of_api(self) -> InstanceStore: ...
    async def create(self, name: str) -> None: ...
    async def label(self, name: str) -> None: ...
    async def delete(self, name: str) -> None: ...
    async def secret(self, name: str, data: dict[str, str], *, labelled: bool = True) -> None: ...
    async def events(self, name: str) -> list[tuple[str, str, str]]: ...


class MemoryPlatform:
    def __init__(self) -> None:
        self.store = self.store_of_api = FakeInstances()
        self.store.labels["default"] = {"kubernetes.io/metadata.name": "default"}

    async def create(self, name: str) -> None:
        self.store.create(name, SPEC)

    async def label(self, name: str) -> None:
        self.store.annotate(name, default=False)

    async def delete(self, name: str) -> None:
        self.store.user_deletes(name)

    async def secret(self, name: str, data: dict[str, str], *, labelled: bool = True) -> None:
        self.store.secrets[name] = data
        self.store.unlabelled -= {name}
        if not labelled:
            self.store.unlabelled.add(name)

    async def events(self, name: str) -> list[tuple[str, str, str]]:
        return [(n.type, n.reason, n.message) for about, n in self.store.kube_events if about == name]


class RealPlatform:
    """The development stack's Kubernetes API. ``store`` has the operator's permissions, and
    ``store_of_api`` has the permissions of mljob-api.
    """

    def __init__(self, store: InstanceObjects, store_of_api: InstanceObjects, kubectl: Kubectl) -> None:
        self.store = store
        self.store_of_api = store_of_api
        self._kubectl = kubectl

    async def create(self, name: str) -> None:
        body = {"apiVersion": "mljob.dev/v1alpha1", "kind": "AirflowInstance", "metadata": {"name": name}, "spec": SPEC}
        await asyncio.to_thread(self._kubectl.apply, body)

    async def label(self, name: str) -> None:
        await asyncio.to_thread(self._kubectl, "label", "airflowinstance", name, "changed=yes")

    async def delete(self, name: str) -> None:
        await asyncio.to_thread(self._kubectl, "delete", "airflowinstance", name, "--wait=false")

    async def secret(self, name: str, data: dict[str, str], *, labelled: bool = True) -> None:
        metadata = {"name": name, "labels": {CREDENTIALS_LABEL: "true"} if labelled else {}}
        body = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data}
        await asyncio.to_thread(self._kubectl.within(CREDENTIALS).apply, body)

    async def events(self, name: str) -> list[tuple[str, str, str]]:
        ask = self._kubectl.within("default").get
        found = await asyncio.to_thread(ask, "events", f"--field-selector=involvedObject.name={name}")
        return [(e["type"], e["reason"], e["message"]) for e in found["items"]]


@pytest.fixture(params=WORLDS)
async def platform(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Platform]:
    if request.param == "memory":
        yield MemoryPlatform()
        return
    stack: Stack = request.getfixturevalue("stack")
    monkeypatch.setenv("KUBECONFIG", stack.operator_env()["KUBECONFIG"])
    api = await connect()
    monkeypatch.setenv("KUBECONFIG", str(stack.mljob_api.kubeconfig))
    api_of_api = await connect()
    store = InstanceObjects(api, CREDENTIALS)
    kubectl: Kubectl = request.getfixturevalue("kubectl")
    yield RealPlatform(store, InstanceObjects(api_of_api, CREDENTIALS), kubectl)
    for instance in await store.list():
        await _remove(instance, store.set_finalizer, kubectl, "airflowinstance")
    await api.close()
    await api_of_api.close()
