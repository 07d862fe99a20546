"""Several MLJobs wait for the outputs of one MLJob, the upstream."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from mljob_operator.controllers.mljob.upstreams import Upstreams
from mljob_operator.core.mljob.resource.job import Job
from mljob_operator.core.mljob.upstream import READ_AGAIN_AFTER
from mljob_operator.core.run.run_key import Key
from mljob_operator.errors import StoreUnavailable
from tests.fakes.clock import FakeClock
from tests.fakes.jobs import FakeJobs
from tests.live.eventually import until

DATA: Key = ("team-a", "data")
TRAIN: Key = ("team-a", "train")
PREDICT: Key = ("team-a", "predict")


class SlowJobs(FakeJobs):
    """A fake store of MLJobs. A test may set the functions ``until`` and ``meanwhile``. After
    ``get`` has read an MLJob, ``get`` awaits ``until()``, calls ``meanwhile()``, and then returns
    the MLJob.
    """

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: Callable[[], None] = lambda: None
        self.until: Callable[[], Awaitable[object]] | None = None

    async def get(self, key: Key) -> Job | None:
        found = await super().get(key)
        if self.until is not None:
            await self.until()
        self.meanwhile()
        return found


class Waiting:
    """A setup for tests of :class:`.Upstreams`. The MLJob ``train`` waits for the outputs of the
    MLJob ``data``. ``woken`` has the keys that :class:`.Upstreams` has returned: the keys of the
    MLJobs to wake.
    """

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.jobs = SlowJobs()
        self.upstreams = Upstreams(self.jobs, self.clock)
        self.woken: list[Key] = []
        self.train = self.jobs.create("train", {"dagId": "train", "confFrom": [{"outputsRef": {"name": "data"}}]})

    def deliver(self, job: Job) -> None:
        self.woken += self.upstreams.observe(job)

    def deliver_deletion(self, job: Job) -> None:
        self.woken += self.upstreams.observe_deletion(job.key, job.uid)

    def create(self) -> Job:
        return self.jobs.create("data", {"dagId": "train"})

    def suspend(self) -> Job:
        job = self.jobs.edit(DATA, {"suspend": True})
        self.jobs.objects[DATA]["status"] = {"observedGeneration": job.generation, "phase": "Suspended"}
        return Job.from_object(self.jobs.body(DATA))

    @property
    def known(self) -> str | None:
        """What ``upstreams`` has stored about the MLJob ``data``: "there", "suspended" or "not
        there" (there is no such MLJob). None if ``upstreams`` has stored nothing.
        """
        found, _ = self.upstreams.of(self.train)
        if "data" not in found:
            return None
        upstream = found["data"]
        return "not there" if upstream is None else "suspended" if upstream.suspended else "there"


async def test_mljob_is_read_once_for_all_that_wait() -> None:
    world = Waiting()
    assert "data" not in world.upstreams.of(world.train)[0]
    await world.upstreams.read(TRAIN, ["data"])
    await world.upstreams.read(PREDICT, ["data"])
    assert (world.known, world.jobs.reads) == ("not there", 1)
    assert world.upstreams.observe(world.create()) == [PREDICT, TRAIN]
    assert world.known == "there"


async def test_mljobs_that_wait_read_at_the_same_time_and_send_one_request() -> None:
    world = Waiting()
    world.create()
    waiting = [("team-a", f"train-{number}") for number in range(100)]
    held = asyncio.Event()
    world.jobs.until = held.wait
    reads = [asyncio.create_task(world.upstreams.read(key, ["data"])) for key in waiting]
    await until(lambda: world.jobs.reads)
    held.set()
    await asyncio.gather(*reads)
    assert (world.known, world.jobs.reads) == ("there", 1)


async def test_mljob_is_read_again_after_a_while() -> None:
    world = Waiting()
    job = world.create()
    await world.upstreams.read(TRAIN, ["data"])
    world.jobs.objects.pop(job.key)
    world.clock.tick(READ_AGAIN_AFTER.total_seconds())
    await world.upstreams.read(TRAIN, ["data"])
    assert world.known == "not there"
    assert world.upstreams.of(world.train)[1] == world.clock()


async def test_only_a_change_that_matters_wakes() -> None:
    world = Waiting()
    job = world.create()
    await world.upstreams.read(TRAIN, ["data"])
    assert world.upstreams.observe(replace(job, resource_version="900")) == []
    suspended = replace(world.suspend(), resource_version="901")
    assert world.upstreams.observe(suspended) == [TRAIN]
    assert world.upstreams.observe(replace(job, resource_version="900")) == [], "an older version"
    assert world.known == "suspended"


async def test_mljob_of_another_name_or_namespace_wakes_nobody() -> None:
    world = Waiting()
    await world.upstreams.read(TRAIN, ["data"])
    assert world.upstreams.observe(world.jobs.create("other", {"dagId": "train"})) == []
    assert world.upstreams.observe(world.jobs.create("data", {"dagId": "train"}, namespace="team-b")) == []


async def test_change_during_the_read_is_not_lost() -> None:
    world = Waiting()
    world.create()
    world.jobs.meanwhile = lambda: world.deliver(world.suspend())
    await world.upstreams.read(TRAIN, ["data"])
    assert (world.known, world.woken) == ("suspended", [TRAIN])


async def test_creation_during_the_read_is_not_lost() -> None:
    world = Waiting()
    world.jobs.meanwhile = lambda: world.deliver(world.create())
    await world.upstreams.read(TRAIN, ["data"])
    assert world.known == "there"


async def test_deletion_during_the_read_is_not_lost() -> None:
    world = Waiting()
    job = world.create()
    world.jobs.meanwhile = lambda: world.deliver_deletion(job)
    await world.upstreams.read(TRAIN, ["data"])
    assert world.known == "not there"


async def test_deletion_of_an_earlier_mljob_of_the_name_changes_nothing() -> None:
    world = Waiting()
    job = world.create()
    await world.upstreams.read(TRAIN, ["data"])
    assert world.upstreams.observe_deletion(job.key, "uid-of-an-earlier-one") == []
    assert world.known == "there"
    assert world.upstreams.observe_deletion(job.key, job.uid) == [TRAIN]
    assert world.known == "not there"


async def test_mljob_that_waits_no_longer_is_forgotten() -> None:
    world = Waiting()
    await world.upstreams.read(TRAIN, ["data"])
    await world.upstreams.read(PREDICT, ["data", "other"])
    world.upstreams.follow(TRAIN, ())
    world.upstreams.follow(PREDICT, ["data"])
    assert list(world.upstreams.awaited) == [DATA]
    assert world.upstreams.observe(world.create()) == [PREDICT]
    world.upstreams.follow(PREDICT, ())
    assert not world.upstreams.awaited


async def test_mljob_that_is_deleted_during_a_read_is_forgotten() -> None:
    world = Waiting()
    world.jobs.meanwhile = lambda: world.upstreams.follow(TRAIN, ())
    await world.upstreams.read(TRAIN, ["data", "other"])
    assert not world.upstreams.awaited


async def test_failed_read_is_repeated() -> None:
    world = Waiting()

    def fail() -> None:
        raise StoreUnavailable("the API server does not answer")

    world.jobs.meanwhile = fail
    with pytest.raises(StoreUnavailable):
        await world.upstreams.read(TRAIN, ["data"])
    assert world.known is None
    world.jobs.meanwhile = lambda: None
    await world.upstreams.read(TRAIN, ["data"])
    assert world.known == "not there"
