from __future__ import annotations

import tracemalloc

import pytest

from mljob_contract.run_api import LOG_POSITION, LogPosition
from mljob_operator.api.log_sinks import MAX_PIECE, MAX_TAIL_BYTES, From, Lines, Tail

MIB = 1024 * 1024


class Received:
    """A sink that stores what it receives.

    Attributes:
        text: The lines.
        first: The number of the first line of the last call.
    """

    def __init__(self) -> None:
        self.text = b""
        self.first = -1

    async def __call__(self, text: bytes, *, first: int, last: bool) -> None:
        del last
        self.text += text
        self.first = first


def numbered(count: int, *, first: int = 0) -> bytes:
    return b"".join(b"line %d\n" % n for n in range(first, first + count))


@pytest.mark.parametrize("batch", [1, 3, 7, 100])
@pytest.mark.parametrize("limit", [0, 1, 5, 100, 1000])
async def test_tail_passes_the_last_lines_with_their_number(batch: int, limit: int) -> None:
    received = Received()
    tail = Tail(limit, received)
    for first in range(0, 100, batch):
        await tail(numbered(min(batch, 100 - first), first=first), first=first, last=False)
    assert received.text == b""
    assert tail.has_lines == (limit > 0)
    await tail(b"", first=100, last=True)
    begin = max(100 - limit, 0)
    assert (received.text, received.first) == (numbered(100 - begin, first=begin), begin)
    await tail(b"later\n", first=100, last=False)
    assert received.text.endswith(b"later\n")
    assert not tail.has_lines


async def test_tail_leaves_out_the_oldest_lines_where_they_have_too_many_bytes() -> None:
    received = Received()
    tail = Tail(10_000, received)
    line = "\N{PILE OF POO}".encode() * 1023 + b"abc\n"
    assert MAX_TAIL_BYTES % len(line) == 0
    for first in range(0, 1000, 10):
        await tail(line * 10, first=first, last=False)
    await tail(b"", first=1000, last=True)
    lines = MAX_TAIL_BYTES // len(line)
    assert (received.text, received.first) == (line * lines, 1000 - lines)


@pytest.mark.parametrize("size", [MAX_TAIL_BYTES - 1, MAX_TAIL_BYTES])
async def test_tail_keeps_no_line_of_a_batch_that_does_not_fit(size: int) -> None:
    received = Received()
    tail = Tail(10, received)
    await tail(b"old\n", first=0, last=False)
    await tail(b"x" * size + b"\n" + b"new\n", first=1, last=True)
    assert (received.text, received.first) == (b"new\n", 2)


@pytest.mark.parametrize("line", ["x" * 400, "x" * 399 + "\N{PILE OF POO}", "x"], ids=["ASCII", "emoji", "short"])
async def test_tail_takes_no_more_memory_than_its_limit(line: str) -> None:
    sizes: list[int] = []

    async def write(piece: bytes) -> None:
        assert len(piece) <= MAX_PIECE
        sizes.append(tracemalloc.get_traced_memory()[0] - before)

    tail = Tail(10_000, Lines(LogPosition(1, "fit", -1, 1, 0), write, positions=False))
    batch = f"{line}\n".encode() * 100
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for first in range(0, 20_000, 100):
            await tail(batch, first=first, last=False)
            assert tracemalloc.get_traced_memory()[0] - before < MAX_TAIL_BYTES * 1.25
        await tail(b"", first=20_000, last=True)
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert max(sizes) < MAX_TAIL_BYTES * 1.25, "while the lines are written"
    assert peak < 2.5 * MIB, "while the buffer grows or is copied"


async def test_long_text_is_written_in_pieces_of_whole_lines() -> None:
    pieces: list[bytes] = []

    async def write(piece: bytes) -> None:
        pieces.append(piece)

    lines = Lines(LogPosition(1, "fit", -1, 1, 0), write, positions=True)
    text = b"".join(b"x" * (n % 1500) + b"\n" for n in range(1000)) + b"y" * 2 * MAX_PIECE + b"\nend\n"
    await lines(text, first=5, last=False)
    assert pieces[0] == f"{LOG_POSITION}1/fit/-1/1/5\n".encode()
    assert b"".join(pieces[1:]) == text
    assert all(piece.endswith(b"\n") for piece in pieces)
    assert [piece for piece in pieces if len(piece) > MAX_PIECE] == [b"y" * 2 * MAX_PIECE + b"\n"]
    await lines(b"next\n", first=1007, last=False)
    assert pieces[-1] == b"next\n", "the number follows from the lines before"


@pytest.mark.parametrize(("first", "passed"), [(0, numbered(2, first=3)), (3, numbered(5)), (9, numbered(5))])
async def test_lines_before_a_number_are_left_out(first: int, passed: bytes) -> None:
    received = Received()
    await From(3, received)(numbered(5), first=first, last=True)
    assert (received.text, received.first) == (passed, max(first, 3))
