from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from mljob.log_place import LogLine
from mljob.view.log_stream import MAX_BATCH, LastLine, _Batches, log_events
from mljob.view.pages.log_text import MAX_LINE
from mljob.view.rendering import Renderer
from mljob_contract.run_api import LOG_NOTICE


async def long_lines(number: int) -> AsyncGenerator[LogLine, None]:
    for n in range(number):
        yield LogLine("x" * 1_000_000, f"1/fit/-1/1/{n + 1}")


async def test_lines_that_wait_for_a_slow_browser_are_cut() -> None:
    batches = _Batches(long_lines(MAX_BATCH))
    try:
        waiting = await batches.next()
    finally:
        await batches.aclose()

    assert waiting
    assert {len(line.text) for line in waiting} == {MAX_LINE}


async def test_long_line_is_shown_with_an_ellipsis() -> None:
    events = [event async for event in log_events(long_lines(1), Renderer(), 0)]

    assert b"\\u2026" in events[1]
    assert len(events[1]) < 2 * MAX_LINE


async def test_others_have_their_turn_between_the_lines_of_a_batch() -> None:
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    waiting = asyncio.create_task(others())
    events = [event async for event in log_events(long_lines(100), Renderer(), 0)]
    waiting.cancel()

    assert len(events) < 10, "lines that are there together are one event"
    assert turns >= 100


async def test_browser_goes_on_after_the_last_line_that_it_has() -> None:
    events = [event async for event in log_events(long_lines(3), Renderer(), 120)]

    assert b"id: 123 1/fit/-1/1/3\n" in events[1]
    assert b'id=\\"L121\\"' in events[1]
    assert LastLine.parse("123 1/fit/-1/1/3") == (123, "1/fit/-1/1/3")


async def test_message_of_mljob_api_at_the_end_is_not_shown_twice_after_a_lost_connection() -> None:
    async def lines(*texts: str) -> AsyncGenerator[LogLine, None]:
        for text in texts:
            yield LogLine(text, "1/fit/-1/1/1")

    told = f"{LOG_NOTICE}Try 1 of task fit is over. Another try follows."
    before = [event async for event in log_events(lines("one", told), Renderer(), 0)]
    assert b'id=\\"L2\\"' in before[1]
    assert before[1].startswith(b"id: 1 1/fit/-1/1/1\n")

    after = [event async for event in log_events(lines(told), Renderer(), 1)]
    assert b'id=\\"L2\\"' in after[1]
    assert after[1].startswith(b"id: 1 1/fit/-1/1/1\n")


async def test_browser_removes_the_lines_of_a_log_that_begins_again() -> None:
    events = [event async for event in log_events(long_lines(1), Renderer(), 0, restarts=True)]

    assert events[0] == b"event: restart\ndata: null\n\n"
    assert b"again from its first line" in events[1]
    assert b'id=\\"L1\\"' in events[2]


@pytest.mark.parametrize("text", ["", "123", "x 1/fit/-1/1/3", "123 ../../x", "1" * 400 + " 1/fit/-1/1/3", "12 "])
def test_what_is_no_id_begins_at_the_first_line(text: str) -> None:
    assert LastLine.parse(text) == (0, "")


async def test_browser_leaves_while_lines_wait_for_it() -> None:
    events, is_closed = log_events(long_lines(3 * MAX_BATCH), Renderer(), 0), False
    await anext(events)
    await anext(events)
    closing = asyncio.create_task(events.aclose())
    for _ in range(100):
        await asyncio.sleep(0)
        is_closed = is_closed or closing.done()
    closing.cancel()

    assert is_closed
