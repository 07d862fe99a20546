from __future__ import annotations

import pytest

from mljob_operator.errors import DagRefused
from tests.fakes.airflow import CANCEL_DAG

from .conftest import AirflowWorld, new_run_id

pytestmark = [pytest.mark.every_airflow, pytest.mark.disruptive]

DAG = "parity_paused"


async def test_paused_cancellation_dag_is_refused(airflow_world: AirflowWorld) -> None:
    await airflow_world.pause(CANCEL_DAG, paused=True)
    try:
        with pytest.raises(DagRefused):
            await airflow_world.dag_runs.trigger_cancellation(DAG, new_run_id(), "a test")
        assert CANCEL_DAG in await airflow_world.dag_runs.paused_dags()
    finally:
        await airflow_world.pause(CANCEL_DAG, paused=False)
    assert CANCEL_DAG not in await airflow_world.dag_runs.paused_dags()
