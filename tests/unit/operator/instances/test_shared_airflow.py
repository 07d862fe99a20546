"""Two AirflowInstances lead to the same Airflow. When the operator lists the runs for one
AirflowInstance, the list contains the runs of both AirflowInstances. An orphan is a run without an
MLJob. A run of an MLJob that uses one AirflowInstance does not count as an orphan of the other
AirflowInstance.
"""

from __future__ import annotations

from mljob_operator.core.run.states import RunState

from .conftest import Platform


class Cancelling(Platform):
    """A :class:`.Platform` (an operator with the AirflowInstances prod and staging). The operator
    has the setting to cancel orphaned runs.
    """

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
