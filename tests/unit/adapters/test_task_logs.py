"""A reader of a task's log can continue where an earlier reader stopped."""

from __future__ import annotations

import pytest

from benchmarks.simulated_airflow.airflow import Settings, SimulatedAirflow
from benchmarks.simulated_airflow.dags import Dag
from benchmarks.simulated_airflow.server import served
from mljob_operator.adapters.airflow.client import Airflow
from mljob_operator.core.run.log_lines import HEADER
from mljob_operator.core.run.states import TaskState
from tests.fakes.logins import login
from tests.fakes.meter import SilentMeter

DAG = Dag(dag_id="train", tasks=("fit",))


async def read(airflow: Airflow, run_id: str, token: str | None) -> tuple[list[str], str | None]:
    """Return the entries of the log after the position ``token``, and the token for the next call."""
    log = await airflow.open_log("train", run_id, ("fit", -1), 1, token)
    assert log is not None
    found: list[str] = []
    while (entries := await log.read(lambda entry: entry.event)) is not None:
        found += entries
    return found, log.token


@pytest.mark.parametrize("version", ["3.1.8", "3.2.0", "3.3.2"])
async def test_each_entry_comes_once(version: str) -> None:
    simulated = SimulatedAirflow([DAG], Settings("operator", "right", version))
    run = simulated.store.add(DAG, "mljob.team-a.churn.abcdefghij-1", {})
    task = run.tasks["fit", -1]
    with served(simulated) as server:

        def write(*lines: str) -> None:
            def add(_: SimulatedAirflow) -> None:
                for line in lines:
                    task.write(line)

            server.do(add)

        server.do(lambda it: it.scheduler.set_task(task, TaskState.RUNNING))
        write("one", "two")
        airflow = Airflow(
            "", server.url, SilentMeter(), login("operator", "right"), prefix="mljob", cancel_dag_id="mljob_cancel"
        )
        first, token = await read(airflow, run.run_id, None)
        assert first[0] == HEADER
        assert first[-2:] == ["one", "two"]
        nothing, token = await read(airflow, run.run_id, token)
        assert nothing == []
        write("three", "one")
        third, token = await read(airflow, run.run_id, token)
        assert third == ["three", "one"]
        write("four")
        server.do(lambda it: it.scheduler.set_task(task, TaskState.SUCCESS))
        assert await read(airflow, run.run_id, token) == (["four"], None)
        await airflow.close()
