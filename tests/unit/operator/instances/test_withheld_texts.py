"""While Airflow can't be asked for the conf of a run, texts that may quote the conf are withheld, and
the operator tries again after a pause.
"""

from __future__ import annotations

from typing import Any

import pytest

from mljob_operator.controllers.mljob.confs import ASK_AGAIN_AFTER
from mljob_operator.core.run.facts import Failure
from mljob_operator.core.run.run_key import RunKey
from mljob_operator.core.run.states import TaskState
from tests.strategies import EPOCH, event
from tests.unit.operator.conftest import KEY
from tests.unit.operator.doors import count_steps, rounds

from .conftest import Platform
from .test_access_credentials import OF_TEAM_A, set_up

PASSWORD = "hunter2-correct-horse"
QUOTES = f"could not connect to postgresql://ml:{PASSWORD}@warehouse"


async def restart_with_a_quote(world: Platform, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Restart the operator, and let a task fail with a text that quotes the conf. Return the steps of
    the MLJob's worker since then.
    """
    await world.restart()
    steps = count_steps(world, monkeypatch)
    now = world.clock()
    failure = Failure(1, now, QUOTES, "ConnectionError")
    fact = event(
        "extract", TaskState.UP_FOR_RETRY, seconds=(now - EPOCH).total_seconds(), failure=failure, observed_at=now
    )
    run = RunKey("prod", "train", world.prod.only_run().run_id)
    world.job_controller.observe_event(KEY, {run}, fact, lambda: None)
    await rounds()
    return steps


async def submit(world: Platform) -> None:
    world.jobs.data["Secret", "warehouse"] = {"password": PASSWORD}
    await world.run_in("prod", confFrom=[{"secretRef": {"name": "warehouse"}}])
    world.prod.begin(world.prod.only_run())


async def test_airflow_that_is_not_ready_is_asked_after_a_pause(
    world: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    await submit(world)
    world.prod.down = True
    await world.look_after("prod")
    steps = await restart_with_a_quote(world, monkeypatch)
    assert len(steps) <= 3
    world.prod.down = False
    await world.look_after("prod")
    await world.later(ASK_AGAIN_AFTER.total_seconds() + 1)
    assert "ml:***@warehouse" in str(world.status.tasks)


async def test_airflow_without_usable_credentials_is_asked_after_a_pause(
    world: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    await set_up(world, OF_TEAM_A)
    await submit(world)
    del world.instance_objects.secrets["team-a"]
    await world.look_after("prod")
    steps = await restart_with_a_quote(world, monkeypatch)
    assert len(steps) <= 3
    world.instance_objects.secrets["team-a"] = {"user": "user-a", "password": "right"}
    await world.look_after("prod")
    await world.later(ASK_AGAIN_AFTER.total_seconds() + 1)
    assert "ml:***@warehouse" in str(world.status.tasks)
