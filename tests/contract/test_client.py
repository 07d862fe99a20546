from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pytest

from mljob import Client, JobDeleted, JobFailed, JobTimeout, errors
from mljob.changes import Change, ChangeKind
from mljob.kubeconfig import ClusterConfig, load
from mljob.resource import RETRY_REQUESTED_AT, MLJob
from mljob.sync import watch as sync_watch
from mljob.sync.transport import MERGE_PATCH, Transport
from tests.contract.conftest import WORLDS
from tests.fakes.mljob_cluster import MLJobCluster
from tests.live.eventually import eventually
from tests.live.tcp_proxy import TcpProxy
from tests.unit.client.statuses import Status, failed, running, succeeded

WITHOUT_FINALIZER: dict[str, Any] = {"confFrom": [{"configMapRef": {"name": "none"}}]}
"""Fields of a spec with which the API server adds no finalizer to a new MLJob. No operator follows the
MLJobs of these tests, so nobody would remove the finalizer.
"""


@dataclass
class World:
    """The Python client with a namespace of its own, on the fake or the real API server.

    Attributes:
        proxy: The proxy between the client and the API server.
        set_status: Writes an MLJob's status, as the operator does.
        age: Makes the fake API server forget old changes. Has no effect on the real API server.
    """

    client: Client
    proxy: TcpProxy
    set_status: Callable[[str, Status], object]
    age: Callable[[], object] = lambda: None

    @property
    def path(self) -> str:
        return f"/apis/mljob.dev/v1alpha1/namespaces/{self.client.namespace}/mljobs"


@pytest.fixture(params=WORLDS)
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    yield from _fake_world() if request.param == "memory" else _real_world(request)


def _fake_world() -> Iterator[World]:
    with MLJobCluster() as cluster, TcpProxy(cluster.url) as proxy:
        config = ClusterConfig(proxy.url, namespace="team-a")
        with Transport(config) as transport:
            client = Client(transport=transport)
            yield World(client, proxy, lambda name, status: cluster.put(name, status=status), cluster.compact)


def _real_world(request: pytest.FixtureRequest) -> Iterator[World]:
    stack, kubectl = request.getfixturevalue("stack"), request.getfixturevalue("kubectl")
    namespace = f"client-{uuid.uuid4().hex[:8]}"
    kubectl("create", "namespace", namespace)
    direct = load(stack.kubeconfig)
    with TcpProxy(direct.server) as proxy:
        config = ClusterConfig(proxy.url, direct.user, direct.context, namespace, direct.ca)
        with Transport(config) as transport, Transport(direct) as admin:
            client = Client(transport=transport)

            def set_status(name: str, status: Status) -> object:
                path = f"/apis/mljob.dev/v1alpha1/namespaces/{namespace}/mljobs/{name}/status"
                return admin.request("PATCH", path, body={"status": status}, content_type=MERGE_PATCH)

            yield World(client, proxy, set_status)
    kubectl("delete", "namespace", namespace, "--wait=false")


class Reader:
    def __init__(self, client: Client) -> None:
        self.changes: list[Change[MLJob]] = []
        self._client = client
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with closing(self._client.watch()) as changes:
            for change in changes:
                self.changes.append(change)
                if self._stop.is_set():
                    return

    @property
    def told(self) -> list[tuple[str, str, str]]:
        return [(change.kind, item.name, item.phase) for change in list(self.changes) if (item := change.item)]

    def until_kind(self, kind: ChangeKind, times: int = 1) -> None:
        eventually(
            lambda: [change.kind for change in list(self.changes)].count(kind) >= times,
            f"{kind} is told",
            every=0.02,
        )

    def until(self, *last: str) -> None:
        eventually(
            lambda: self.told and self.told[-1] == last,
            f"{last} is told",
            every=0.02,
            evidence=lambda: self.told,
        )

    def stop(self) -> None:
        # The thread ends after its next change. A new MLJob is such a change.
        self._stop.set()
        self._client.submit("train", name="last")
        self._thread.join(30)
        assert not self._thread.is_alive()


def test_watch_tells_each_state_once_also_across_a_cut(world: World) -> None:
    client = world.client
    client.submit("train", name="old")
    reader = Reader(client)
    reader.until_kind(ChangeKind.SYNCED)
    job = client.submit("train", name="new", **WITHOUT_FINALIZER)
    world.set_status("new", running())
    reader.until("Modified", "new", "Running")

    world.proxy.cut()
    reader.until_kind(ChangeKind.DISCONNECTED)
    world.set_status("new", succeeded())
    world.proxy.mend()
    reader.until("Modified", "new", "Succeeded")
    job.delete()
    reader.until("Deleted", "new", "Succeeded")

    reader.stop()
    assert [told for told in reader.told if told[1] == "new"] == [
        ("Added", "new", ""),
        ("Modified", "new", "Running"),
        ("Modified", "new", "Succeeded"),
        ("Deleted", "new", "Succeeded"),
    ]
    assert [told for told in reader.told if told[1] == "old"] == [("Added", "old", "")]
    versions = [
        item.resource_version for change in reader.changes if (item := change.item) and change.kind != "Deleted"
    ]
    assert len(versions) == len(set(versions))


def test_version_that_is_too_old_leads_to_another_list(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.client.submit("train", name="old")
    world.age()
    list_objects = sync_watch.list_objects
    lists: list[str] = []

    def from_the_beginning(*arguments: Any) -> tuple[list[Any], str]:
        found, version = list_objects(*arguments)
        lists.append(version)
        return found, "1" if len(lists) == 1 else version

    monkeypatch.setattr(sync_watch, "list_objects", from_the_beginning)
    reader = Reader(world.client)
    reader.until_kind(ChangeKind.SYNCED, 2)
    world.set_status("old", running())
    reader.until("Modified", "old", "Running")
    reader.stop()

    assert len(lists) == 2
    assert [told for told in reader.told if told[1] == "old"] == [("Added", "old", ""), ("Modified", "old", "Running")]


def test_lists_are_read_in_pages(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync_watch, "PAGE_SIZE", 3)
    names = [f"job-{number}" for number in range(8)]
    for name in names:
        world.client.submit("train", name=name, labels={"half": "even" if name[-1] in "02468" else "odd"})

    assert [job.name for job in world.client.list_jobs()] == names
    assert [job.name for job in world.client.list_jobs("half=even")] == names[::2]


def test_refusals_become_the_errors_of_their_kinds(world: World) -> None:
    client, transport = world.client, world.client.transport
    client.submit("train", name="taken")

    with pytest.raises(errors.AlreadyExists):
        client.submit("train", name="taken")
    with pytest.raises(errors.NotFound) as raised:
        client.get("missing")
    assert not isinstance(raised.value, errors.KindNotServed)
    with pytest.raises(errors.KindNotServed):
        transport.request("GET", "/apis/mljob.dev/v1alpha9/mljobs")
    with pytest.raises(errors.KindNotServed):
        transport.request("GET", "/apis/nothing.example/v1/things")


def test_changes_are_of_the_same_object_only(world: World) -> None:
    client = world.client
    job = client.submit("train", name="again", **WITHOUT_FINALIZER)
    client.get("again").delete()
    client.submit("train", name="again")

    for change in (job.cancel, job.suspend, job.retry):
        with pytest.raises(errors.NotFound, match="another one has its name"):
            change()
    job.delete()
    assert client.get("again").state.raw_spec.get("cancel", False) is False


def test_wait_ends_with_each_verdict(world: World) -> None:
    job = world.client.submit("train", name="waits")
    with pytest.raises(JobTimeout):
        job.wait(timeout=0.5)

    world.set_status("waits", failed())
    with pytest.raises(JobFailed, match="ValueError: no data"):
        job.wait(timeout=30)

    job.retry()
    with pytest.raises(JobTimeout):
        job.wait(timeout=0.5)
    handled = job.state.annotations[RETRY_REQUESTED_AT]
    world.set_status("waits", succeeded(lastHandledRetry=handled, outputs={"accuracy": 0.9}, tasks=[]))
    assert job.wait(timeout=30).outputs == {"accuracy": 0.9}


def test_wait_ends_with_a_deletion_while_the_connection_is_lost(world: World) -> None:
    job = world.client.submit("train", name="vanishes", **WITHOUT_FINALIZER)
    reader = Reader(world.client)
    reader.until_kind(ChangeKind.SYNCED)
    world.proxy.cut()
    reader.until_kind(ChangeKind.DISCONNECTED)
    world.proxy.mend()
    job.delete()

    with pytest.raises(JobDeleted):
        job.wait(timeout=30)
    reader.stop()
