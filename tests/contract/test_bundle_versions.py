"""The operator clears the failed tasks of a run. The DAG's file is in a git repository. The tasks
run again with the latest version of the DAG, or with the version with which the run began,
whichever the operator asks for.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator

import pytest

from devstack.stack import Stack
from mljob_operator.adapters.airflow.client import Airflow
from tests.live.airflow import AirflowRest
from tests.live.dag_repository import DagRepository
from tests.live.eventually import eventually

from .conftest import adapter, new_run_id

DAG_FILE = """\
from airflow.sdk import DAG, task

def train():
    {body}

with DAG("{dag_id}", schedule=None, is_paused_upon_creation=False):
    task(train)()
"""
BROKEN = DAG_FILE.replace("{body}", 'raise ValueError("the learning rate is negative")')
MENDED = DAG_FILE.replace("{body}", 'return "trained"')


class VersionedDag:
    """A DAG whose file is in the git repository that the tests' Airflow reads."""

    def __init__(self, repository: DagRepository, airflow: AirflowRest) -> None:
        self.dag_id = f"bundle_versions_{secrets.token_hex(4)}"
        self.file = f"{self.dag_id}.py"
        self._repository = repository
        self._airflow = airflow

    def commit(self, source: str) -> str:
        """Write ``source`` with the DAG's id in place of ``{dag_id}``, and commit the file. Wait
        until Airflow has parsed the file. Return the id of the commit.
        """
        commit = self._repository.commit(self.file, source.replace("{dag_id}", self.dag_id))

        def parsed() -> bool:
            dag = self._airflow.dags(dag_id_pattern=self.dag_id).get(self.dag_id)
            return dag is not None and dag["bundle_version"] == commit

        eventually(parsed, f"Airflow has parsed {self.file} of commit {commit}", within=120)
        return commit


@pytest.fixture
def dag(dag_repository: DagRepository, airflow: AirflowRest) -> Iterator[VersionedDag]:
    dag = VersionedDag(dag_repository, airflow)
    yield dag
    dag_repository.remove(dag.file)


@pytest.fixture
async def dag_runs(stack: Stack) -> AsyncIterator[Airflow]:
    env = stack.env
    dag_runs = adapter(env["AIRFLOW_URL"], env["AIRFLOW_USER"], env["AIRFLOW_PASSWORD"])
    yield dag_runs
    await dag_runs.close()


@pytest.mark.parametrize(
    ("latest_version", "state"),
    [
        pytest.param(True, "success", id="latest version"),
        pytest.param(False, "failed", id="the version of the run"),
    ],
)
async def test_cleared_run_uses_the_requested_dag_version(
    latest_version: bool, state: str, dag: VersionedDag, dag_runs: Airflow, airflow: AirflowRest
) -> None:
    run_id = new_run_id()
    broken = await asyncio.to_thread(dag.commit, BROKEN)
    await dag_runs.submit(dag.dag_id, run_id, {}, "")
    failed = await asyncio.to_thread(airflow.ended, dag.dag_id, run_id)
    assert (failed["state"], failed["bundle_version"]) == ("failed", broken)
    mended = await asyncio.to_thread(dag.commit, MENDED)

    await dag_runs.clear_failed(dag.dag_id, run_id, since=None, latest_version=latest_version)

    cleared = await asyncio.to_thread(airflow.ended, dag.dag_id, run_id)
    assert (cleared["state"], cleared["bundle_version"]) == (state, mended if latest_version else broken)
    (task,) = await dag_runs.tasks(dag.dag_id, run_id)
    assert task.try_number == 2, "the task ran again"
