"""Namespaces take turns to read outputs from one Airflow."""

from __future__ import annotations

import asyncio

import pytest

from mljob_operator.adapters.airflow import output_turns
from mljob_operator.adapters.airflow.output_turns import SHARE, OutputTurns
from mljob_operator.errors import AirflowError
from tests.live.eventually import until


class Reads:
    """Reads of outputs that end when a test calls :meth:`end`."""

    def __init__(self) -> None:
        self._turns = OutputTurns()
        self._ends: dict[str, asyncio.Future[str]] = {}
        self.begun: list[str] = []

    def start(self, *names: str) -> list[asyncio.Task[str]]:
        """Start reads. The namespace of a read is the first letter of its name."""
        return [asyncio.create_task(self._turns.read(name[0], lambda name=name: self._read(name))) for name in names]  # type: ignore[misc]

    async def _read(self, name: str) -> str:
        self.begun.append(name)
        self._ends[name] = asyncio.get_running_loop().create_future()
        return await self._ends[name]

    async def end(self, name: str, error: Exception | None = None) -> None:
        if error is not None:
            self._ends[name].set_exception(error)
        else:
            self._ends[name].set_result(name)
        await pass_turns()


async def pass_turns() -> None:
    """Let each task go on until it waits for another task."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_namespace_reads_two_runs_at_the_same_time_even_if_no_other_namespace_reads() -> None:
    reads = Reads()
    found = reads.start("a1", "a2", "a3", "a4")
    await pass_turns()
    assert reads.begun == ["a1", "a2"]
    assert SHARE == 2
    for name in ["a1", "a2", "a3", "a4"]:
        await reads.end(name)
    assert await asyncio.gather(*found) == ["a1", "a2", "a3", "a4"]


async def test_other_namespace_does_not_wait_for_the_many_runs_of_one_namespace() -> None:
    reads = Reads()
    found = reads.start(*(f"a{number}" for number in range(100)), "b1")
    await pass_turns()
    assert reads.begun == ["a0", "a1", "b1"]
    for task in found:
        task.cancel()


async def test_namespaces_take_turns() -> None:
    reads = Reads()
    found = reads.start("a1", "a2", "a3", "a4", "b1", "b2", "b3", "c1", "d1")
    await pass_turns()
    assert reads.begun == ["a1", "a2", "b1", "b2"]
    for name in ["a1", "a2", "b1", "b2"]:
        await reads.end(name)
    assert reads.begun[4:] == ["c1", "d1", "a3", "a4"]
    for name in ["c1", "d1", "a3", "a4", "b3"]:
        await reads.end(name)
    await asyncio.gather(*found)


async def test_failed_read_gives_its_turn_to_the_next_read() -> None:
    reads = Reads()
    found = reads.start("a1", "a2", "a3")
    await pass_turns()
    await reads.end("a1", AirflowError("no answer"))
    assert reads.begun == ["a1", "a2", "a3"]
    with pytest.raises(AirflowError, match="no answer"):
        await found[0]
    await reads.end("a2")
    await reads.end("a3")


async def test_read_whose_caller_was_cancelled_keeps_its_turn_until_its_end() -> None:
    reads = Reads()
    found = reads.start("a1", "a2", "a3")
    await pass_turns()
    found[0].cancel()
    await pass_turns()
    assert (found[0].cancelled(), reads.begun) == (True, ["a1", "a2"])
    await reads.end("a1", AirflowError("nobody waits for this error"))
    assert reads.begun == ["a1", "a2", "a3"]
    await reads.end("a2")
    await reads.end("a3")


@pytest.mark.parametrize("others", [["a1", "a2"], ["b1", "b2", "c1", "c2"]], ids=["its-namespace", "all-namespaces"])
async def test_cancelled_caller_leaves_the_queue(others: list[str]) -> None:
    reads = Reads()
    reads.start(*others)
    await pass_turns()
    waiting, following = reads.start("a3", "a4")
    await pass_turns()
    waiting.cancel()
    await pass_turns()
    for name in others:
        await reads.end(name)
    assert reads.begun == [*others, "a4"]
    await reads.end("a4")
    assert await following == "a4"
    reads.start("a5", "a6")
    await pass_turns()
    assert reads.begun[-2:] == ["a5", "a6"], "no turn is lost"


async def test_read_without_a_turn_in_time_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    reads = Reads()
    reads.start("a1", "a2")
    await pass_turns()
    monkeypatch.setattr(output_turns, "MAX_WAIT", 0.0)
    (late,) = reads.start("a3")
    await until(late.done)
    with pytest.raises(AirflowError, match="reading the outputs of other runs"):
        await late
    await reads.end("a1")
    assert reads.begun == ["a1", "a2"]
