"""The simulated Airflow of a walk. A walk is a test that edits Kubernetes objects, and rolls the
edits back. The name of most DAGs says what happens to the DAG's runs: the runs of ``fails`` fail.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypedDict

from benchmarks.simulated_airflow.airflow import Settings, SimulatedAirflow
from benchmarks.simulated_airflow.dags import Dag, cancellation_dag
from benchmarks.simulated_airflow.server import Served, served
from mljob_contract.backfill_marker import Marker
from tests.fakes.airflow import CANCEL_DAG

SUCCEEDS, PUBLISHES, FAILS, WAITS, PAUSED, STRICT = "succeeds", "publishes", "fails", "waits", "paused", "strict"
DAYS = tuple(f"days-{number}" for number in range(80))
"""DAGs with a schedule. Airflow creates one backfill of a DAG at a time, so few MLJobs
share a DAG.
"""
ODD = "a-DAG.with_an-odd.ID"
MISSING = "not-deployed-yet"
DAGS = (SUCCEEDS, PUBLISHES, FAILS, WAITS, PAUSED, STRICT, ODD)
STEP = 0.1
"""Seconds that each step of a run takes."""


def _dag(dag_id: str) -> Dag:
    return Dag(
        dag_id=dag_id,
        tasks=("first", "last"),
        queued_seconds=STEP,
        task_seconds=STEP,
        outcome={FAILS: "failed", WAITS: "waits"}.get(dag_id, "success"),
        is_paused=dag_id == PAUSED,
        daily=dag_id in DAYS,
        required=("count",) if dag_id == STRICT else (),
        params={"count": {"value": None, "schema": {"type": "integer"}}} if dag_id == STRICT else {},
        outputs={"accuracy": 0.93, "model": {"name": "digits", "layers": [1, 2]}} if dag_id == PUBLISHES else {},
        returns={"first": [1, 2, 3], "last": "done"} if dag_id == PUBLISHES else {},
    )


class OperatorSettings(TypedDict):
    MLJOB_AIRFLOW_URL: str
    MLJOB_AIRFLOW_USER: str
    MLJOB_AIRFLOW_PASSWORD: str
    MLJOB_KAFKA_BOOTSTRAP_SERVERS: str


class WalkAirflow:
    user, password = "operator", "s3cret"

    def __init__(self, airflow: Served) -> None:
        self._airflow = airflow
        self.url = airflow.url
        token = airflow.do(lambda it: it.log_in(self.user, self.password))
        assert token is not None
        self.token = token

    @property
    def operator_settings(self) -> OperatorSettings:
        return {
            "MLJOB_AIRFLOW_URL": self.url,
            "MLJOB_AIRFLOW_USER": self.user,
            "MLJOB_AIRFLOW_PASSWORD": self.password,
            "MLJOB_KAFKA_BOOTSTRAP_SERVERS": "",
        }

    def active(self) -> list[str]:
        """Return an id for each active run: ``status.dagRunId`` of the run's MLJob. So all runs of
        a backfill have the same id in this list. Runs of the cancellation DAG are left out.
        """

        def ids(airflow: SimulatedAirflow) -> list[str]:
            runs = [run for run in airflow.active() if run.dag_id != CANCEL_DAG]
            return [marker.run_id if (marker := Marker.read(run.conf)) is not None else run.run_id for run in runs]

        return self._airflow.do(ids)

    def run_ids(self) -> set[str]:
        return self._airflow.do(lambda it: {run.run_id for run in it.store.runs()})


@contextmanager
def walk_airflow(version: str = "3.3.2", *, unhealthy: str | None = None) -> Iterator[WalkAirflow]:
    dags = [*map(_dag, (*DAGS, *DAYS)), cancellation_dag()]
    airflow = SimulatedAirflow(dags, Settings(WalkAirflow.user, WalkAirflow.password, version))
    if unhealthy is not None:
        airflow.unhealthy.add(unhealthy)
    with served(airflow) as serving:
        yield WalkAirflow(serving)
