"""Values that mljob-api caches for a limited time."""

from __future__ import annotations

import asyncio

import pytest

from mljob_operator.api.refreshed import Refreshed
from mljob_operator.errors import AirflowUnavailable


class Source:
    def __init__(self) -> None:
        self.readings = 0
        self.fails = False
        self.goes_on = asyncio.Event()
        self.goes_on.set()
        self.time = 100.0

    async def read(self) -> None:
        self.readings += 1
        await self.goes_on.wait()
        if self.fails:
            raise AirflowUnavailable("down")


async def test_result_is_used_until_its_time_is_over() -> None:
    source = Source()
    refreshed = Refreshed(source.read, seconds=10, clock=lambda: source.time)
    await refreshed.ensure()
    source.time += 9
    await refreshed.ensure()
    assert source.readings == 1
    source.time += 2
    await refreshed.ensure()
    assert source.readings == 2


async def test_many_callers_read_once_and_one_that_leaves_disturbs_no_other() -> None:
    source = Source()
    source.goes_on.clear()
    refreshed = Refreshed(source.read, seconds=10, clock=lambda: source.time)
    callers = [asyncio.create_task(refreshed.ensure()) for _ in range(20)]
    await asyncio.sleep(0)
    callers[0].cancel()
    await asyncio.sleep(0)
    source.goes_on.set()
    await asyncio.gather(*callers[1:])
    assert source.readings == 1


async def test_failure_is_remembered_for_its_backoff() -> None:
    source = Source()
    source.fails = True
    refreshed = Refreshed(source.read, seconds=10, clock=lambda: source.time)
    for _ in range(50):
        with pytest.raises(AirflowUnavailable, match="down"):
            await refreshed.ensure()
    assert source.readings == 1
    source.fails = False
    source.time += 2
    await refreshed.ensure()
    assert source.readings == 2


async def test_expired_result_is_read_again_but_not_too_often() -> None:
    source = Source()
    refreshed = Refreshed(source.read, seconds=60, clock=lambda: source.time)
    await refreshed.ensure()
    refreshed.expire(at_most_every=5)
    await refreshed.ensure()
    assert source.readings == 1
    source.time += 6
    await refreshed.ensure()
    assert source.readings == 2
