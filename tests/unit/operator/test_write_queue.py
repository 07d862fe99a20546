"""While the API server can't keep up, writes wait in the order of their priority."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter, defaultdict
from collections.abc import Callable
from functools import partial
from random import Random

import pytest

from mljob_operator.adapters.metrics import Metrics
from mljob_operator.controllers.mljob import write_queue
from mljob_operator.controllers.mljob.waiting_writes import WaitingWrites
from mljob_operator.controllers.mljob.write_pace import MOST, WritePace
from mljob_operator.controllers.mljob.write_pauses import SEVERAL, WritePauses
from mljob_operator.controllers.mljob.write_queue import LESS_URGENT_EVERY, SHARES, Priority, WriteQueue
from mljob_operator.errors import Conflict, StoreUnavailable

KEY = ("team-a", "churn")
LIMIT = 16


class Server:
    """A fake API server that answers a write only when the test allows the answer."""

    def __init__(self, queue: WriteQueue) -> None:
        self.queue = queue
        self.asked: list[str] = []
        self.answers: dict[str, asyncio.Future[None]] = {}
        self.writes: dict[str, asyncio.Task[None]] = {}
        self.began: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)

    async def write(self, name: str) -> None:
        self.asked.append(name)
        self.began[name].set()
        self.answers[name] = asyncio.get_running_loop().create_future()
        await self.answers[name]

    async def send(
        self, name: str, priority: Priority, key: tuple[str, str] | None = None, *, namespace: str = KEY[0]
    ) -> None:
        self.writes[name] = asyncio.create_task(
            self.queue.send(priority, partial(self.write, name), key=key, namespace=namespace)
        )
        await rounds()

    async def fill(self) -> None:
        number = 0
        while not self.queue.is_busy:
            number += 1
            await self.send(f"first-{number}", Priority.PROGRESS)
        self.writes.pop(f"first-{number}").cancel()
        await rounds()
        assert len(self.asked) == LIMIT

    async def answer(self, name: str, error: Exception | None = None) -> None:
        if error is None:
            self.answers[name].set_result(None)
        else:
            self.answers[name].set_exception(error)
        await asyncio.wait([self.writes[name]])
        await rounds()

    async def answer_all(self) -> None:
        while pending := [name for name, answer in self.answers.items() if not answer.done()]:
            await self.answer(pending[0])


async def rounds() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    # The pace has tests of its own.
    monkeypatch.setattr(WritePace, "answered", lambda *_: None)
    monkeypatch.setattr(WritePace, "limit", LIMIT)
    return Server(WriteQueue())


async def test_write_is_sent_at_once_while_the_api_server_keeps_up(server: Server) -> None:
    await server.send("one", Priority.EVENT)
    assert (server.asked, server.queue.is_busy) == (["one"], False)
    await server.answer("one")
    assert server.writes["one"].result() is None


async def test_waiting_writes_are_sent_by_worth_and_then_in_turn(server: Server) -> None:
    await server.fill()
    sent = len(server.asked)
    for priority in reversed(Priority):
        if priority is not Priority.EVENT:
            await server.send(f"{priority.name} 1", priority)
            await server.send(f"{priority.name} 2", priority)
    for number in range(1, 8):
        await server.answer(f"first-{number}")
    by_worth = ["CANCELLATION", "END", "SUBMISSION", "FIRST", "RELEASE", "START", "EXPIRY", "PROGRESS"]
    assert server.asked[sent:] == [f"{name} {number}" for name in by_worth for number in (1, 2)][:7]
    await server.answer_all()


async def test_no_priority_waits_forever(server: Server) -> None:
    await server.fill()
    less_urgent = [Priority.SUBMISSION, Priority.START, Priority.EVENT]
    for number in range(2):
        for priority in less_urgent:
            await server.send(f"{priority.name} {number}", priority)
    for number in range(6 * LESS_URGENT_EVERY):
        await server.send(f"END {number}", Priority.END)
    sent = len(server.asked)
    for number in range(6 * LESS_URGENT_EVERY):
        await server.answer(server.asked[number])
    others = [name for name in server.asked[sent:] if not name.startswith("END")]
    assert others == [f"{priority.name} {number}" for number in range(2) for priority in less_urgent]
    await server.answer_all()


async def test_failed_and_cancelled_writes_make_room(server: Server) -> None:
    await server.fill()
    await server.send("next", Priority.END)
    await server.send("given up", Priority.END)
    await server.send("last", Priority.END)
    await server.answer("first-1", Conflict("changed"))
    server.writes["given up"].cancel()
    await rounds()
    server.writes["first-2"].cancel()
    await rounds()
    assert server.asked[-2:] == ["next", "last"]
    assert not server.queue.is_busy


async def test_many_waiting_writes_are_cancelled_at_once(server: Server) -> None:
    await server.fill()
    sent = len(server.asked)
    send = partial(server.queue.send, Priority.EVENT, partial(server.write, "given up"), namespace=KEY[0])
    waiting = [asyncio.create_task(send()) for _ in range(sys.getrecursionlimit())]
    await rounds()
    for write in (*server.writes.values(), *waiting):
        write.cancel()
    results = await asyncio.gather(*server.writes.values(), *waiting, return_exceptions=True)
    assert {type(result) for result in results} == {asyncio.CancelledError}
    assert (len(server.asked), server.queue.is_busy) == (sent, False)
    await server.send("next", Priority.EVENT)
    assert server.asked[sent:] == ["next"]
    await server.answer("next")


async def test_write_that_is_cancelled_at_its_turn_makes_room(server: Server) -> None:
    await server.fill()
    await server.send("given up", Priority.END)
    await server.send("next", Priority.END)
    server.answers["first-1"].set_result(None)
    await asyncio.sleep(0)
    server.writes["given up"].cancel()
    await rounds()
    assert "next" in server.asked or not server.queue.is_busy
    await server.answer_all()
    assert "next" in server.asked


async def test_busy_api_server_is_left_alone_for_as_long_as_it_asks(server: Server) -> None:
    loop = asyncio.get_running_loop()
    await server.send("one", Priority.END)
    began = loop.time()
    await server.answer("one", StoreUnavailable("429", retry_after=0.1))
    await server.send("two", Priority.CANCELLATION)
    assert server.asked == ["one"]
    async with asyncio.timeout(180):
        await server.began["two"].wait()
    assert loop.time() - began >= 0.1


class TestNamespaces:
    """The writes of one namespace don't hold up the writes of other namespaces."""

    async def test_write_passes_a_namespace_whose_writes_get_no_answer(self, server: Server) -> None:
        await server.fill()
        for number in range(50):
            await server.send(f"end {number}", Priority.END)
        await server.send("other", Priority.SUBMISSION, namespace="team-b")
        await server.send("event", Priority.EVENT, namespace="team-c")
        assert server.asked[LIMIT:] == ["other", "event"]
        await server.answer_all()

    async def test_turn_of_an_mljob_passes_a_namespace_whose_writes_get_no_answer(self, server: Server) -> None:
        await server.fill()
        await server.send("end", Priority.END)
        assert server.queue.has_turn(("team-b", "churn"), Priority.PROGRESS, lambda: None)
        server.queue.end_turn(("team-b", "churn"))
        await server.answer_all()

    async def test_namespaces_share_the_writes_under_way(self, server: Server) -> None:
        await server.fill()
        share = LIMIT // SHARES
        for number in range(2 * LIMIT):
            await server.send(f"a {number}", Priority.END)
            await server.send(f"b {number}", Priority.END, namespace="team-b")
        assert server.asked[LIMIT:] == ["b 0"], "more than the limit, and not all of what waits"
        # The namespace that was first has more than its share until these writes have an answer.
        for number in range(1, LIMIT - share + 1):
            await server.answer(f"first-{number}")
        under_way = [name[0] for name, answer in server.answers.items() if not answer.done()]
        assert len(under_way) == LIMIT
        assert under_way.count("b") >= share
        for name in [name for name, answer in server.answers.items() if name[0] == "b" and not answer.done()]:
            await server.answer(name)
        under_way = [name[0] for name, answer in server.answers.items() if not answer.done()]
        assert under_way.count("b") >= share
        await server.answer_all()

    async def test_lower_priority_within_the_share_passes_a_higher_beyond_it(self, server: Server) -> None:
        await server.fill()
        for number in range(2):
            await server.send(f"progress {number}", Priority.PROGRESS, namespace="team-b")
        await server.send("end", Priority.END)
        for number in range(1, 3):
            await server.answer(f"first-{number}")
        assert server.asked[LIMIT:] == ["progress 0", "progress 1"]
        await server.answer_all()

    async def test_write_passes_several_namespaces_whose_writes_get_no_answer(self, server: Server) -> None:
        for number in range(10 * LIMIT):
            await server.send(f"end {number}", Priority.END, namespace=f"team-{number % 4}")
        assert len(server.asked) == LIMIT
        for number in range(3):
            await server.send(f"other {number}", Priority.SUBMISSION, namespace="team-b")
        for number in range(3):
            assert server.asked[-1] == f"other {number}"
            await server.answer(f"other {number}")
        assert len(server.asked) == LIMIT + 3
        await server.answer_all()

    async def test_reserve_is_left_after_the_limit_has_fallen(
        self, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        share = LIMIT // SHARES
        monkeypatch.setattr(WritePace, "limit", 3 * LIMIT)
        for number in range(4 * LIMIT):
            await server.send(f"end {number}", Priority.END)
        monkeypatch.setattr(WritePace, "limit", LIMIT)
        sent = len(server.asked)
        assert sent == 3 * LIMIT
        for number in range(share + 2):
            await server.send(f"other {number}", Priority.EVENT, namespace=f"team-b{number}")
        assert server.asked[sent:] == [f"other {number}" for number in range(share)]
        await server.send("second", Priority.CANCELLATION, namespace="team-b1")
        await server.answer("end 0")
        assert len(server.asked) == sent + share, "only the answer to a write beyond the limit makes room"
        await server.answer("other 0")
        assert server.asked[sent + share :] == [f"other {share}"]
        await server.answer("other 1")
        assert server.asked[sent + share + 1 :] == ["second"]
        await server.answer_all()

    async def test_write_within_the_limit_uses_up_no_reserve(
        self, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        share = LIMIT // SHARES
        await server.fill()
        for number in range(share):
            await server.send(f"early {number}", Priority.END, namespace=f"team-b{number}")
        for number in range(1, LIMIT + 1):
            await server.answer(f"first-{number}")
        for number in range(LIMIT):
            await server.send(f"end {number}", Priority.END)
        for number in range(share):
            await server.send(f"late {number}", Priority.END, namespace=f"team-c{number}")
        assert server.asked[-share:] == [f"late {number}" for number in range(share)]
        await server.answer_all()

    async def test_reserve_is_left_at_the_highest_limit(self, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(WritePace, "limit", int(MOST))
        for number in range(64):
            await server.send(f"end {number}", Priority.END)
        for number in range(64):
            await server.send(f"other {number}", Priority.END, namespace=f"team-b{number}")
        assert "other 0" in server.asked
        assert len(server.asked) <= 64, "the client has 64 connections"
        await server.answer_all()

    def test_namespaces_of_one_priority_take_turns(self) -> None:
        waiting, popped = WaitingWrites(), list[str]()
        for name in ["a1", "a2", "a3", "b1", "c1", "c2"]:
            waiting.add(name[0], name, partial(popped.append, name))
        waiting.remove("c", "c1")
        waiting.remove("c", "c1")
        assert (len(waiting), waiting.waits("c", "c1"), waiting.waits("c", "c2")) == (5, False, True)
        while (namespace := waiting.next_namespace(lambda _: True)) is not None:
            waiting.pop(namespace)()
        assert (popped, len(waiting)) == (["a1", "b1", "c2", "a2", "a3"], 0)

    async def test_one_namespace_that_is_asked_for_a_pause_delays_no_other(self, server: Server) -> None:
        await server.send("one", Priority.END)
        await server.answer("one", StoreUnavailable("429", retry_after=3600))
        await server.send("two", Priority.CANCELLATION)
        await server.send("other", Priority.EVENT, namespace="team-b")
        assert server.asked == ["one", "other"]
        await server.answer("other")

    async def refuse_several(self, server: Server, seconds: float = 3600) -> None:
        assert SEVERAL == 3
        for number in range(3):
            await server.send(f"one {number}", Priority.END, namespace=f"team-{number}")
        for number in range(3):
            await server.answer(f"one {number}", StoreUnavailable("429", retry_after=seconds))
        server.asked.clear()

    async def test_several_namespaces_that_are_asked_for_a_pause_delay_no_other(self, server: Server) -> None:
        await self.refuse_several(server)
        for number in range(3):
            await server.send(f"two {number}", Priority.CANCELLATION, namespace=f"team-{number}")
        for name in ("b 1", "c 1"):
            await server.send(name, Priority.EVENT, namespace=f"team-{name[0]}")
        assert server.asked == ["b 1", "c 1"]
        await server.answer("b 1")
        for name in ("d 1", "d 2"):
            await server.send(name, Priority.EVENT, namespace=f"team-{name[0]}")
        assert server.asked == ["b 1", "c 1", "d 1", "d 2"]
        await server.answer_all()

    async def test_namespace_sends_one_write_at_a_time_while_the_api_server_is_busy(self, server: Server) -> None:
        await self.refuse_several(server)
        for name in ("b 1", "b 2", "b 3", "c 1", "c 2"):
            await server.send(name, Priority.END, namespace=f"team-{name[0]}")
        assert server.asked == ["b 1", "c 1"]
        await server.answer("b 1", StoreUnavailable("429", retry_after=3600))
        assert server.asked == ["b 1", "c 1"], "the namespace is asked for a pause"
        await server.answer("c 1", Conflict("changed"))
        await server.send("d 1", Priority.END, namespace="team-d")
        await server.send("d 2", Priority.END, namespace="team-d")
        assert server.asked == ["b 1", "c 1", "c 2", "d 1"]
        await server.answer("c 2")
        assert server.asked[4:] == ["d 2"], "a write has succeeded"
        await server.answer_all()

    async def test_api_server_is_not_busy_after_the_pauses(self, server: Server) -> None:
        await self.refuse_several(server, seconds=0.01)
        await server.send("b 1", Priority.END, namespace="team-b")
        await server.send("b 2", Priority.END, namespace="team-b")
        assert server.asked == ["b 1"]
        async with asyncio.timeout(180):
            await server.began["b 2"].wait()
        await server.answer_all()

    async def test_refusals_with_successes_in_between_do_not_make_the_api_server_busy(self, server: Server) -> None:
        for number in range(5):
            await server.send(f"one {number}", Priority.END, namespace=f"team-{number}")
            await server.answer(f"one {number}", StoreUnavailable("429", retry_after=3600))
            await server.send(f"other {number}", Priority.END, namespace="team-b")
            await server.answer(f"other {number}")
        server.asked.clear()
        for name in ("c 1", "c 2"):
            await server.send(name, Priority.END, namespace="team-c")
        assert server.asked == ["c 1", "c 2"]
        await server.answer_all()

    async def test_longer_pause_of_a_namespace_goes_on(self, server: Server) -> None:
        pauses, ended = WritePauses(lambda: ended.set()), asyncio.Event()
        pauses.pause("team-a", 3600)
        pauses.pause("team-a", 0.01)
        pauses.pause("team-b", 0.01)
        pauses.pause("team-b", 0.02)
        async with asyncio.timeout(180):
            await ended.wait()
        assert (pauses.hold("team-a"), pauses.hold("team-b")) == (True, False)

    @pytest.mark.parametrize("seed", range(20))
    async def test_every_write_is_sent_and_no_more_at_once_than_allowed(self, server: Server, seed: int) -> None:
        random, under_way, most, sent = Random(seed), Counter[str](), 0, 0

        async def write(namespace: str) -> None:
            nonlocal most, sent
            under_way[namespace] += 1
            most = max(most, under_way.total())
            try:
                for _ in range(random.randrange(5)):
                    await asyncio.sleep(0)
                sent += 1
                if random.random() < 0.1:
                    raise StoreUnavailable("429", retry_after=random.choice([0.0, 0.001]))
            finally:
                under_way[namespace] -= 1

        async def send(namespace: str, number: int) -> None:
            key = (namespace, str(number)) if random.random() < 0.5 else None
            priority = random.choice(list(Priority))
            if key is None:
                return await server.queue.send(priority, partial(write, namespace), namespace=namespace)
            try:
                woken = asyncio.Event()
                if random.random() < 0.5 and not server.queue.has_turn(key, priority, woken.set):
                    await woken.wait()
                await server.queue.send(priority, partial(write, namespace), key=key)
            finally:
                server.queue.end_turn(key)
                server.queue.leave(key)

        writes = [asyncio.create_task(send(random.choice("aaaaaabbcdef"), number)) for number in range(300)]
        await rounds()
        cancelled = [each for each in random.sample(writes, 20) if each.cancel()]
        async with asyncio.timeout(180):
            results = await asyncio.gather(*writes, return_exceptions=True)
        assert not [each for each in results if isinstance(each, Exception) and not isinstance(each, StoreUnavailable)]
        assert sent >= len(writes) - len(cancelled)
        assert LIMIT <= most <= LIMIT + LIMIT // SHARES
        assert not server.queue.is_busy
        for number in range(LIMIT):
            await server.send(f"last {number}", Priority.EVENT)
        async with asyncio.timeout(180):
            for number in range(LIMIT):
                await server.began[f"last {number}"].wait()
        await server.answer_all()


class TestTurns:
    """A turn permits an MLJob to send one write. An MLJob that has to wait for a turn is woken when
    the MLJob gets the turn.
    """

    @pytest.fixture
    def woken(self) -> list[str]:
        return []

    @pytest.fixture
    def wake(self, woken: list[str]) -> Callable[[], None]:
        return lambda: woken.append("woken")

    async def test_mljob_writes_at_once_while_the_api_server_keeps_up(
        self, server: Server, wake: Callable[[], None], woken: list[str]
    ) -> None:
        assert server.queue.has_turn(KEY, Priority.PROGRESS, wake)
        await server.send("one", Priority.PROGRESS, KEY)
        server.queue.end_turn(KEY)
        assert (server.asked, woken) == (["one"], [])

    async def test_mljob_is_woken_for_its_turn_and_does_not_wait_again(
        self, server: Server, wake: Callable[[], None], woken: list[str]
    ) -> None:
        await server.fill()
        assert not server.queue.has_turn(KEY, Priority.PROGRESS, wake)
        assert not server.queue.has_turn(KEY, Priority.PROGRESS, wake), "one place"
        assert (woken, server.queue.numbers()["progress"]) == ([], 1)
        await server.answer("first-1")
        assert woken == ["woken"]
        assert server.queue.has_turn(KEY, Priority.PROGRESS, wake)
        await server.send("mine", Priority.PROGRESS, KEY)
        assert server.asked[-1] == "mine"

    async def test_place_moves_with_the_worth(self, server: Server, wake: Callable[[], None], woken: list[str]) -> None:
        await server.fill()
        server.queue.has_turn(KEY, Priority.PROGRESS, wake)
        await server.send("start", Priority.START)
        assert not server.queue.has_turn(KEY, Priority.END, wake)
        await server.answer("first-1")
        assert (woken, "start" in server.asked) == (["woken"], False)

    async def test_unused_turn_makes_room(self, server: Server, wake: Callable[[], None], woken: list[str]) -> None:
        await server.fill()
        server.queue.has_turn(KEY, Priority.END, wake)
        await server.send("start", Priority.START)
        await server.answer("first-1")
        server.queue.end_turn(KEY)
        await rounds()
        assert server.asked[-1] == "start"

    async def test_mljob_without_a_change_leaves_its_place(
        self, server: Server, wake: Callable[[], None], woken: list[str]
    ) -> None:
        await server.fill()
        server.queue.has_turn(KEY, Priority.END, wake)
        server.queue.leave(KEY)
        await server.answer("first-1")
        assert (woken, server.queue.is_busy) == ([], False)

    async def test_mljob_has_one_place(self, server: Server, wake: Callable[[], None], woken: list[str]) -> None:
        await server.fill()
        server.queue.has_turn(KEY, Priority.PROGRESS, wake)
        await server.send("mine", Priority.END, KEY)
        await server.send("other", Priority.PROGRESS)
        await server.answer_all()
        assert server.asked[-2:] == ["mine", "other"]
        assert (woken, server.queue.is_busy) == ([], False)

    async def test_turn_is_lost_to_others_after_a_while(
        self, server: Server, wake: Callable[[], None], woken: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(write_queue, "TURN_SECONDS", 0.01)
        await server.fill()
        server.queue.has_turn(KEY, Priority.PROGRESS, wake)
        await server.send("other", Priority.EVENT)
        await server.answer("first-1")
        assert woken == ["woken"]
        async with asyncio.timeout(180):
            await server.began["other"].wait()
        await server.send("mine", Priority.PROGRESS, KEY)
        await server.answer_all()
        assert server.asked[-1] == "mine"


async def test_waiting_writes_are_shown_by_their_priority(server: Server) -> None:
    def shown() -> dict[str, float]:
        [family] = [each for each in metrics.registry.collect() if each.name == "mljob_writes_waiting"]
        return {sample.labels["priority"]: sample.value for sample in family.samples}

    metrics = Metrics()
    assert shown() == {}
    metrics.follow_writes(server.queue.numbers)
    assert shown() == dict.fromkeys((priority.name.lower() for priority in Priority), 0)
    await server.fill()
    await server.send("end", Priority.END)
    await server.send("progress 1", Priority.PROGRESS)
    await server.send("progress 2", Priority.PROGRESS)
    assert {priority: number for priority, number in shown().items() if number} == {"end": 1, "progress": 2}
    await server.answer_all()
    assert not any(shown().values())
    metrics.stand_by()
    assert shown() == {}
