"""The API server accepts the manifests that ``mljob-airflow manifests`` writes for the
example DAGs.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from devstack.bootstrap import AIRFLOW_ENVIRONMENT
from tests.live.kubectl import Kubectl

EXAMPLES = Path(__file__).parents[2] / "airflow-provider" / "example_dags"


def manifests(*arguments: str) -> str:
    command = (str(AIRFLOW_ENVIRONMENT / "bin" / "mljob-airflow"), "manifests", "--dags", str(EXAMPLES), *arguments)
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["--all"],
        ["--dag=train_model", "--name=quick", "--set=epochs=3", "--set=learning_rate=1e-4"],
        ["--dag=daily_statistics", "--set=rows=10"],
    ],
    ids=["all", "with-values", "of-a-plain-dag"],
)
def test_api_server_accepts_generated_manifests_unchanged(arguments: list[str], kubectl: Kubectl) -> None:
    written = manifests(*arguments)
    answer = json.loads(kubectl("apply", "--dry-run=server", "--output=json", "--filename=-", stdin=written))

    taken = {job["metadata"]["name"]: job["spec"] for job in answer.get("items", [answer])}
    for document in yaml.safe_load_all(written):
        sent = document["spec"]
        assert {field: taken[document["metadata"]["name"]].get(field) for field in sent} == sent
