"""The operator follows its runs even if the list of changes is too long to be read."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from mljob_contract.mljob import Phase
from mljob_operator.core.run.states import RunState, TaskState
from mljob_operator.errors import AirflowListTooLong
from mljob_operator.sources.feed_windows import OVERLAP

from .backfill import backfills
from .conftest import World
from .runs import begin, newest


class LongLists:
    """Makes a list of changes too long.

    Attributes:
        is_long: Whether the list is too long.
        since: The times since which changes were requested.
    """

    def __init__(self, owner: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_long = True
        self.since: list[datetime] = []
        real = getattr(owner, name)

        async def read(since: datetime) -> Any:
            self.since.append(since)
            changes = await real(since)
            if self.is_long:
                raise AirflowListTooLong("The list has not ended after 2000 pages.")
            return changes

        monkeypatch.setattr(owner, name, read)


def end_in_airflow(world: World) -> None:
    for task_id, _ in list(newest(world).tasks):
        world.airflow.set_task(newest(world), task_id, TaskState.SUCCESS)
    world.airflow.end(newest(world), RunState.SUCCESS)


@pytest.mark.parametrize("name", ["changed_runs", "changed_tasks"])
async def test_end_is_found_without_the_list(world: World, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.apply()
    await begin(world)
    LongLists(world.airflow, name, monkeypatch)
    end_in_airflow(world)
    world.clock.tick(30)
    asked = len(world.airflow.calls)
    await world.look()
    assert "active_runs" not in world.airflow.calls[asked:]
    assert (world.status.phase, world.status.progress) == (Phase.SUCCEEDED, "2/2")


@pytest.mark.parametrize("name", ["changed_runs", "changed_tasks"])
async def test_pass_after_a_list_that_is_too_long_begins_where_that_pass_began(
    world: World, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.apply()
    world.clock.tick(3600)
    await world.restart()
    lists, restarted_at, asked = LongLists(world.airflow, name, monkeypatch), world.clock(), len(world.airflow.calls)
    await world.look()
    assert "active_runs" in world.airflow.calls[asked:]
    lists.is_long = False
    world.clock.tick(5)
    await world.look()
    assert lists.since[1:] == [restarted_at - OVERLAP]


async def test_backfills_are_found_without_the_list(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await backfills.apply(world)
    await backfills.begin(world, *backfills.runs(world))
    LongLists(world.airflow.backfills, "changed", monkeypatch)
    await backfills.end(world, RunState.SUCCESS, *backfills.runs(world))
    assert world.status.phase is Phase.SUCCEEDED
