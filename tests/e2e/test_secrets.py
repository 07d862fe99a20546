"""A Secret's value in the conf of a run appears in no status, no Event and no log of the operator."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conftest import NewInstallation
from tests.live.airflow import AirflowRest
from tests.live.mljobs import manifest

PASSWORD = "hunter2-correct-horse"
KAFKA = {"MLJOB_DEAD_LETTER_TOPIC": "mljob.unreadable"}
REST = {"MLJOB_KAFKA_BOOTSTRAP_SERVERS": ""}


@pytest.mark.parametrize(("name", "settings"), [("leak-kafka", KAFKA), ("leak-rest", REST)], ids=["kafka", "rest"])
def test_secret_that_a_dag_quotes_is_redacted(
    installation: NewInstallation, airflow: AirflowRest, name: str, settings: dict[str, Any]
) -> None:
    found = installation(name, **settings)
    jobs, operator = found.jobs, found.operator
    jobs.kubectl("create", "secret", "generic", "warehouse", f"--from-literal=password={PASSWORD}")
    jobs.apply(manifest("leaks", "leaks_password", confFrom=[{"secretRef": {"name": "warehouse"}}], backoffLimit=0))

    jobs.until("leaks", lambda status: "up_for_retry" in json.dumps(status), "its task has failed once")
    operator.kill()
    jobs.kubectl("delete", "secret", "warehouse")
    operator.start()
    status = jobs.until_finished("leaks")["leaks"]["status"]

    assert status["reason"] == "TaskFailed"
    assert airflow.ended(status["dagId"], status["dagRunId"])["conf"]["password"] == PASSWORD
    assert status["outputs"] == {"dsn": "postgresql://ml:***@warehouse", "rows": 7}
    if settings is KAFKA:
        assert 'try 2: postgresql://ml:***@warehouse refused {"password": "***"}' in status["message"]
    told = json.dumps([jobs.get("leaks"), jobs.events("leaks"), operator.log()])
    assert PASSWORD[:7] not in told
