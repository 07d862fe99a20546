"""Logs with ``tail``, and the places of the requests that keep the last lines."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import pytest

from mljob_contract.run_api import LOG_POSITION, LogPosition
from mljob_operator.api import tail_places
from mljob_operator.api.errors import Refusal
from mljob_operator.api.log_sinks import MAX_TAIL_BYTES
from mljob_operator.api.output import Output
from mljob_operator.api.tail_places import TAILS_OF_A_NAMESPACE
from mljob_operator.core.run.log_lines import LogEntry
from mljob_operator.core.run.states import TaskState
from mljob_operator.errors import AirflowUnavailable
from tests.fakes.airflow import FakeLog
from tests.live.eventually import until

from .conftest import ApiWorld, message_of
from .test_logs import LOG, next_line, text_lines


async def test_tail_is_bounded_in_bytes(world: ApiWorld) -> None:
    await world.start()
    run = world.submitted()
    world.airflow.set_task(run, "fit", TaskState.SUCCESS)
    world.airflow.write(run, "fit", *(f"{n} {'x' * 16_000}\N{PILE OF POO}" for n in range(200)))
    text = await world.log(tail=10_000, positions="true")
    first = LogPosition.parse(text.partition("\n")[0].removeprefix(LOG_POSITION)).line
    lines = text_lines(text)[1:]
    assert (
        0.98 * MAX_TAIL_BYTES < len("".join(f"{line}\n" for line in text.splitlines()[1:]).encode()) <= MAX_TAIL_BYTES
    )
    assert [int(line.partition(" ")[0]) for line in lines] == list(range(first, 200))


async def start_with_tails_that_cannot_end(world: ApiWorld, monkeypatch: pytest.MonkeyPatch, count: int) -> ExitStack:
    """Start mljob-api with a task that has ended, and take the place of ``count`` requests with
    ``tail``. The result frees the places.
    """
    monkeypatch.setattr(tail_places, "WAIT_SECONDS", 0.05)
    await world.start()
    for namespace in ("team-a", "team-b"):
        run = world.submitted(namespace=namespace)
        world.airflow.set_task(run, "fit", TaskState.SUCCESS)
        world.airflow.write(run, "fit", "one", "two")
    taken = ExitStack()
    for _ in range(count):
        await taken.enter_context(world.handlers._tails.place("team-a")).take()
    return taken


async def test_tail_that_has_no_place_is_refused(world: ApiWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    with await start_with_tails_that_cannot_end(world, monkeypatch, TAILS_OF_A_NAMESPACE) as taken:
        for follow in ("false", "true"):
            refused = await world.ask(LOG, tail=1, follow=follow)
            assert refused.headers["Retry-After"] == "5"
            code, message = await message_of(refused)
            assert (code, "Try again later, or ask for the whole log without tail" in message) == (429, True)
        assert text_lines(await world.log()) == ["one", "two"]
        assert text_lines(await (await world.ask(LOG, namespace="team-b", tail=1)).text()) == ["two"]
        taken.close()
        assert text_lines(await world.log(tail=1)) == ["two"]


async def test_follower_that_has_its_tail_needs_no_place(world: ApiWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    with await start_with_tails_that_cannot_end(world, monkeypatch, TAILS_OF_A_NAMESPACE - 1):
        run = world.submitted("running")
        world.airflow.set_task(run, "fit", TaskState.RUNNING)
        world.airflow.write(run, "fit", "begun")
        following = [await world.ask(LOG, "running", follow="true", tail=1) for _ in range(4)]
        for answer in following:
            assert await next_line(answer) == ["begun"]
        assert text_lines(await world.log(tail=1)) == ["two"]
        world.airflow.write(run, "fit", "goes on")
        for answer in following:
            assert await next_line(answer) == ["goes on"]


async def test_tail_has_its_place_until_its_lines_are_written(world: ApiWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    with await start_with_tails_that_cannot_end(world, monkeypatch, TAILS_OF_A_NAMESPACE - 1):
        writes, goes_on = asyncio.Event(), asyncio.Event()
        write = Output.write

        async def slow_write(output: Output, data: bytes) -> None:
            writes.set()
            await goes_on.wait()
            await write(output, data)

        monkeypatch.setattr(Output, "write", slow_write)
        slow = asyncio.create_task(world.log(tail=1))
        await writes.wait()
        try:
            async with asyncio.timeout(5):
                assert (await world.ask(LOG, tail=1)).status == 429
        finally:
            goes_on.set()
        assert text_lines(await slow) == ["two"]
        assert text_lines(await world.log(tail=1)) == ["two"]


async def test_tail_keeps_its_lines_and_its_place_while_airflow_fails(
    world: ApiWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    with await start_with_tails_that_cannot_end(world, monkeypatch, TAILS_OF_A_NAMESPACE - 1):
        read, breaks = FakeLog.read, [False, True]

        async def broken_read(answer: FakeLog, convert: Callable[[LogEntry], Any]) -> Sequence[Any] | None:
            if breaks and breaks.pop(0):
                world.airflow.down = True
                raise AirflowUnavailable("the connection broke")
            return await read(answer, convert)

        monkeypatch.setattr(FakeLog, "read", broken_read)
        broken = asyncio.create_task(world.log(tail=5))
        await until(lambda: not breaks, "the answer broke off")
        place = world.handlers._tails.place("team-a")
        with place as taken, pytest.raises(Refusal):
            await taken.take()
        world.airflow.down = False
        assert text_lines(await broken) == ["one", "two"]
        assert text_lines(await world.log(tail=1)) == ["two"]


async def test_task_that_does_not_start_occupies_no_place(world: ApiWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    with await start_with_tails_that_cannot_end(world, monkeypatch, TAILS_OF_A_NAMESPACE - 1):
        run = world.submitted("waiting")
        world.airflow.set_task(run, "fit", TaskState.QUEUED)
        waiting = [await world.ask(LOG, "waiting", task="fit", follow="true", tail=1) for _ in range(3)]
        assert text_lines(await world.log(tail=1)) == ["two"]
        world.airflow.write(run, "fit", "begun")
        world.airflow.set_task(run, "fit", TaskState.SUCCESS)
        assert [text_lines(await answer.text()) for answer in waiting] == [["begun"]] * 3
