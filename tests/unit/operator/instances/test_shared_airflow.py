"""Two AirflowInstances lead to the same Airflow."""

from __future__ import annotations

from mljob_operator.core.run.states import RunState

from .conftest import Platform


class Cancelling(Platform):
    cancels_orphans = True


async def test_run_is_not_an_orphan_in_either_instance() -> None:
    world = Cancelling()
    await world.set_up()
    world.staging.runs = world.prod.runs
    await world.run_in("prod")
    run = world.prod.only_run()
    world.prod.begin(run)
    feeds = [world.resync_of(name) for name in ("prod", "staging")]
    for _ in range(40):
        for feed in feeds:
            await feed.pass_once()
        await world.later(5)
    assert run.state is RunState.RUNNING
    assert not world.operator.kube_events
    await world.job_controller.close()
