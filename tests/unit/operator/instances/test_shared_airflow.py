"""Two AirflowInstances that lead to one Airflow: each sees the runs of the other, which are none of its own and no orphans."""

from __future__ import annotations

from mljob_operator.core.run.states import RunState

from .conftest import Platform


class Cancelling(Platform):
    """The settings say that orphaned runs are cancelled."""

    cancels_orphans = True


async def test_a_run_is_an_orphan_in_neither() -> None:
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
    await world.queue.close()
