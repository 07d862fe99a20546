from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from mljob import errors
from mljob.aio.transport import AsyncTransport
from mljob.aio.watch import watch_objects as watch_objects_async
from mljob.changes import Change, ChangeKind
from mljob.kubeconfig import ClusterConfig
from mljob.resource import MLJob
from mljob.sync.transport import Transport
from mljob.sync.watch import list_objects, watch_objects
from tests.fakes.mljob_cluster import Answer, MLJobCluster, refusal
from tests.live.eventually import eventually

PATH = "/apis/mljob.dev/v1alpha1/namespaces/team-a/mljobs"
Told = tuple[str, str]


class Reader:
    def __init__(self, transport: Transport, **params: str) -> None:
        self.changes: list[Change[MLJob]] = []
        self.error: Exception | None = None
        self._deadline = time.monotonic() + 30
        self._stop = threading.Event()
        self._watch = watch_objects(transport, PATH, MLJob, params, self._deadline)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            with closing(self._watch) as changes:
                for change in changes:
                    self.changes.append(change)
                    if self._stop.is_set():
                        return
        except Exception as error:
            self.error = error

    def stop(self, cluster: MLJobCluster) -> None:
        self._stop.set()

        def ended() -> bool:
            cluster.cut()  # again, because the reader may be between two watches
            return not self._thread.is_alive()

        eventually(ended, "the watch ends", every=0.02, evidence=lambda: self.changes[-5:])

    @property
    def told(self) -> list[Told]:
        return [(change.kind, change.item.name) for change in list(self.changes) if change.item is not None]

    @property
    def kinds(self) -> list[ChangeKind]:
        return [change.kind for change in list(self.changes)]

    def until(self, *expected: Told) -> None:
        def holds() -> bool:
            assert self.told[: len(expected)] == list(expected), self.changes
            return True

        eventually(holds, "the changes are told", every=0.01)

    def until_kind(self, kind: ChangeKind, times: int = 1) -> None:
        eventually(lambda: self.kinds.count(kind) >= times, f"{kind} is told", every=0.01)


@pytest.fixture
def reader(cluster: MLJobCluster, transport: Transport) -> Iterator[Reader]:
    cluster.put("old")
    reader = Reader(transport)
    reader.until_kind(ChangeKind.SYNCED)
    eventually(lambda: cluster.count("watch"), "watched", every=0.01)
    yield reader
    reader.stop(cluster)


def test_present_objects_come_first_then_each_change(cluster: MLJobCluster, reader: Reader) -> None:
    cluster.put("new")
    cluster.put("old", labels={"a": "b"})
    cluster.remove("new")

    reader.until(("Added", "old"), ("Added", "new"), ("Modified", "old"), ("Deleted", "new"))
    assert reader.kinds[1] is ChangeKind.SYNCED


def test_lost_connection_continues_where_it_was_lost(cluster: MLJobCluster, reader: Reader) -> None:
    cluster.put("new")
    reader.until(("Added", "old"), ("Added", "new"))
    cluster.cut()
    cluster.put("old", labels={"a": "b"})

    reader.until(("Added", "old"), ("Added", "new"), ("Modified", "old"))
    reader.until_kind(ChangeKind.CONNECTED)
    assert cluster.count("list") == 1
    assert reader.kinds.index(ChangeKind.DISCONNECTED) < reader.kinds.index(ChangeKind.CONNECTED)


def test_changes_that_the_server_no_longer_has_are_found_by_a_list(cluster: MLJobCluster, reader: Reader) -> None:
    cluster.put("gone")
    reader.until(("Added", "old"), ("Added", "gone"))
    cluster.interfere = lambda asked: refusal(503) if asked.query.get("watch") else None
    cluster.cut()
    reader.until_kind(ChangeKind.DISCONNECTED)
    cluster.remove("gone")
    cluster.put("new")
    cluster.compact()
    cluster.interfere = lambda _: None

    reader.until(("Added", "old"), ("Added", "gone"), ("Deleted", "gone"), ("Added", "new"))
    reader.until_kind(ChangeKind.SYNCED, 2)
    assert ("Modified", "old") not in reader.told  # its state is known


def test_object_that_was_created_again_is_another_one(cluster: MLJobCluster, reader: Reader) -> None:
    first = reader.changes[0].item
    assert first is not None
    cluster.interfere = lambda asked: refusal(503) if asked.query.get("watch") else None
    cluster.cut()
    reader.until_kind(ChangeKind.DISCONNECTED)
    cluster.remove("old")
    cluster.put("old")
    cluster.compact()
    cluster.interfere = lambda _: None

    reader.until(("Added", "old"), ("Deleted", "old"), ("Added", "old"))
    assert reader.changes[0].item == first


def test_hundreds_of_changes_under_cuts_and_compactions_end_in_the_servers_state(
    cluster: MLJobCluster, transport: Transport
) -> None:
    reader = Reader(transport)
    for number in range(300):
        name = f"job-{number % 20}"
        if number % 7 == 3:
            cluster.remove(f"job-{(number - 1) % 20}")
        else:
            cluster.put(name, labels={"number": str(number)})
        if number % 25 == 0:
            cluster.cut()
        if number % 60 == 0:
            cluster.compact()
    cluster.put("last")
    eventually(lambda: ("Added", "last") in reader.told, "all is told", every=0.01)

    known: dict[str, MLJob] = {}
    versions: set[tuple[str, str, str]] = set()
    for change in reader.changes:
        if (job := change.item) is None:
            continue
        if change.kind is ChangeKind.DELETED:
            assert known.pop(job.name).uid == job.uid
            continue
        assert (change.kind is ChangeKind.ADDED) == (job.name not in known)
        assert (job.name, job.uid, job.resource_version) not in versions, "told twice"
        versions.add((job.name, job.uid, job.resource_version))
        known[job.name] = job
    reader.stop(cluster)
    present, _ = list_objects(transport, PATH, dict)
    assert {job.name: job.resource_version for job in known.values()} == {
        raw["metadata"]["name"]: raw["metadata"]["resourceVersion"] for raw in present
    }


def test_list_is_read_in_pages(cluster: MLJobCluster, transport: Transport) -> None:
    cluster.page_size = 3
    for number in range(10):
        cluster.put(f"job-{number}")

    found, _ = list_objects(transport, PATH, dict)

    assert [raw["metadata"]["name"] for raw in found] == [f"job-{number}" for number in range(10)]
    assert cluster.count("list") == 4


def test_objects_of_a_page_are_converted_before_the_next_page_is_requested(
    cluster: MLJobCluster, transport: Transport
) -> None:
    cluster.page_size = 1
    for name in ("a", "b", "c"):
        cluster.put(name)
    pages, _ = list_objects(transport, PATH, lambda raw: cluster.count("list"))
    assert pages == [1, 2, 3]


def test_list_of_large_objects_is_read_in_smaller_pages(
    cluster: MLJobCluster, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mljob.sync.watch.PAGE_SIZE", 20)
    monkeypatch.setattr("mljob.sync.answers.MAX_ANSWER_BYTES", 6_000)
    large = range(30, 40)
    for number in range(60):
        cluster.put(f"job-{number:02}", labels={"large": "x" * 2_000} if number in large else {})

    found, _ = list_objects(transport, PATH, dict)

    assert [raw["metadata"]["name"] for raw in found] == [f"job-{number:02}" for number in range(60)]


def test_object_that_is_larger_than_an_answer_may_be_is_refused(
    cluster: MLJobCluster, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mljob.sync.answers.MAX_ANSWER_BYTES", 6_000)
    cluster.put("large", labels={"large": "x" * 6_000})
    with pytest.raises(errors.BadAnswer, match="more than 6000 bytes"):
        list_objects(transport, PATH, dict)


def test_list_whose_pages_expired_begins_again(cluster: MLJobCluster, transport: Transport) -> None:
    cluster.page_size = 1
    cluster.put("a")
    cluster.put("b")
    answers = iter([None, refusal(410, "Expired", "too old")])
    cluster.interfere = lambda _: next(answers, None)

    found, _ = list_objects(transport, PATH, dict)

    assert len(found) == 2


def test_endless_list_is_refused(cluster: MLJobCluster, transport: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mljob.sync.watch.MAX_ITEMS", 10)
    page = b'{"metadata": {"continue": "more"}, "items": [{}, {}, {}]}'
    cluster.interfere = lambda _: Answer(200, page)

    with pytest.raises(errors.BadAnswer, match="more than 10 objects"):
        list_objects(transport, PATH, dict)


@pytest.mark.parametrize(
    "line",
    [b"no json\n", b"[]\n", b'{"type": "ADDED"}\n', b'{"type": "ADDED", "object": 7}\n', b"[" * 50_000 + b"\n"],
)
def test_broken_event_is_a_lost_connection(cluster: MLJobCluster, reader: Reader, line: bytes) -> None:
    answers = iter([Answer(200, line)])
    cluster.interfere = lambda asked: next(answers, None) if asked.query.get("watch") else None
    cluster.cut()
    cluster.put("new")

    reader.until(("Added", "old"), ("Added", "new"))
    assert reader.kinds.count(ChangeKind.DISCONNECTED) == 2


def test_unknown_kinds_of_events_and_odd_objects_are_harmless(cluster: MLJobCluster, reader: Reader) -> None:
    odd = b'{"type": "SHOUT", "object": {}}\n{"type": "BOOKMARK", "object": {"metadata": []}}\n{"type": "DELETED", "object": {}}\n'
    answers = iter([Answer(200, odd)])
    cluster.interfere = lambda asked: next(answers, None) if asked.query.get("watch") else None
    cluster.cut()
    cluster.put("new")

    reader.until(("Added", "old"), ("Added", "new"))


def test_right_that_is_taken_away_ends_the_watch(cluster: MLJobCluster, reader: Reader) -> None:
    cluster.interfere = lambda _: refusal(403, "Forbidden", "no longer")
    cluster.cut()

    eventually(lambda: reader.error, "the watch ends", every=0.01)
    assert isinstance(reader.error, errors.NotAllowed)


def test_first_list_that_fails_is_an_error(cluster: MLJobCluster, transport: Transport) -> None:
    cluster.interfere = lambda _: refusal(503)

    with pytest.raises(errors.Unavailable):
        list(watch_objects(transport, PATH, MLJob))


def test_watch_ends_at_its_deadline(cluster: MLJobCluster, transport: Transport) -> None:
    cluster.put("old")

    told = list(watch_objects(transport, PATH, MLJob, deadline=time.monotonic() + 0.3))

    assert [change.kind for change in told if change.kind is not ChangeKind.DISCONNECTED] == ["Added", "Synced"]


def test_server_that_ends_each_watch_at_once_is_not_asked_without_a_pause(
    cluster: MLJobCluster, config: ClusterConfig
) -> None:
    cluster.interfere = lambda asked: Answer(200, b"") if asked.query.get("watch") else None

    with Transport(config) as transport:
        list(watch_objects(transport, PATH, MLJob, deadline=time.monotonic() + 1.5))

    assert 2 <= cluster.count("watch") <= 6


def test_server_that_knows_no_version_is_not_asked_without_a_pause(
    cluster: MLJobCluster, config: ClusterConfig
) -> None:
    cluster.interfere = lambda asked: refusal(410, "Expired", "too old") if asked.query.get("watch") else None

    with Transport(config) as transport:
        list(watch_objects(transport, PATH, MLJob, deadline=time.monotonic() + 1.5))

    assert 2 <= cluster.count("watch") <= 6


async def test_asyncio_half_tells_the_same(cluster: MLJobCluster, config: ClusterConfig) -> None:
    cluster.put("old")
    told: list[tuple[str, str]] = []
    async with AsyncTransport(config) as transport:
        watch = watch_objects_async(transport, PATH, MLJob, deadline=time.monotonic() + 30)
        async for change in watch:
            if change.kind is ChangeKind.SYNCED:
                cluster.put("new")
            if change.item is not None:
                told.append((change.kind, change.item.name))
            if len(told) == 2:
                break
        await watch.aclose()

    assert told == [("Added", "old"), ("Added", "new")]
