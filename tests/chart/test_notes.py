from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests import libyaml
from tests.chart.conftest import Render
from tests.chart.rendering import CHART, NAMESPACE, RELEASE, complete, merged, run_helm
from tests.chart.value_sets import COMPONENTS

Notes = Callable[[Mapping[str, Any]], str]

VERSION = libyaml.load((CHART / "Chart.yaml").read_text())["version"]
COMPLETE: dict[str, Any] = {
    "airflow": {"existingSecret": "airflow-credentials"},
    "kafka": {"bootstrapServers": "kafka:9092"},
}


@pytest.fixture
def notes(helm: Path) -> Notes:
    def read(values: Mapping[str, Any]) -> str:
        arguments = ("install", RELEASE, str(CHART), "--dry-run=client", "--namespace", NAMESPACE, "--values", "-")
        return run_helm(helm, *arguments, values=complete(values)).partition("\nNOTES:\n")[2]

    return read


def test_a_complete_release_gets_commands_and_no_note(notes: Notes) -> None:
    said = notes(COMPLETE)

    assert "MLJobs:  in all namespaces\n" in said
    assert "Status:  from the Kafka topic airflow.events, and" in said
    assert "kubectl rollout status deployment/mljob-operator --namespace mljob-system" in said
    assert "kubectl get mljobs --namespace default --watch" in said
    assert "NOTE" not in said


def test_the_commands_use_a_namespace_that_the_operator_manages(notes: Notes) -> None:
    said = notes(merged(COMPLETE, {"operator": {"namespaces": ["team-a", "team-b"]}}))

    assert "MLJobs:  in team-a, team-b\n" in said
    assert "kubectl get mljobs --namespace team-a --watch" in said


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param(
            {"airflow": {"existingSecret": ""}}, "kubectl create secret generic airflow-credentials", id="credentials"
        ),
        pytest.param(
            {"airflow": {"existingSecret": ""}},
            f"<chart> --version {VERSION} --namespace {NAMESPACE} --reset-then-reuse-values \\\n",
            id="upgrade with credentials",
        ),
        pytest.param(
            {"airflow": {"url": "", "existingSecret": ""}},
            "MLJobs wait until an AirflowInstance exists",
            id="Airflow",
        ),
        pytest.param({"operator": {"replicas": 0}}, "so no operator runs: MLJobs and their deletions wait", id="Pods"),
        pytest.param({"kafka": {"bootstrapServers": ""}}, "statuses change a few seconds later", id="Kafka"),
        pytest.param(
            {"crds": {"install": False}},
            "Apply the CRDs of MLJob and AirflowInstance yourself, before the operator starts",
            id="CRDs",
        ),
    ],
)
def test_a_note_names_what_is_missing(notes: Notes, values: dict[str, Any], expected: str) -> None:
    assert expected in notes(merged(COMPLETE, values))


def test_logs_are_of_all_pods_of_the_operator_alone(notes: Notes, render: Render) -> None:
    selector = re.search(r"kubectl logs --selector (\S+) ", notes(merged(COMPLETE, COMPONENTS)))
    assert selector
    selected = dict(pair.split("=") for pair in selector[1].split(",")).items()

    deployments = render(merged(COMPLETE, COMPONENTS)).all("Deployment")
    labels = {each["metadata"]["name"]: each["spec"]["template"]["metadata"]["labels"].items() for each in deployments}
    assert len(labels) == 3
    assert [name for name, found in labels.items() if selected <= found] == ["mljob-operator"]


def test_with_mljob_api_the_notes_check_it_and_read_a_log(notes: Notes) -> None:
    said = notes(merged(COMPLETE, {"api": {"enabled": True}, "operator": {"namespaces": ["team-a"]}}))

    assert "--for=condition=Available apiservice/v1alpha1.run.mljob.dev" in said
    assert '"/apis/run.mljob.dev/v1alpha1/namespaces/team-a/mljobs/hello/log"' in said
    assert "mljob-api" not in notes(COMPLETE)


@pytest.mark.parametrize("variable", ["PASSWORD", "TOKEN", "TOKEN_FILE", "OAUTH2_CLIENT_SECRET"])
def test_credentials_in_extra_env_count_as_credentials(notes: Notes, variable: str) -> None:
    credential = {"name": f"MLJOB_AIRFLOW_{variable}", "value": "any"}

    assert "NOTE" not in notes(merged(COMPLETE, {"airflow": {"existingSecret": ""}, "extraEnv": [credential]}))


def test_extra_env_from_may_have_the_credentials(notes: Notes) -> None:
    values = {"airflow": {"existingSecret": ""}, "extraEnvFrom": [{"secretRef": {"name": "airflow-login"}}]}

    assert "NOTE" not in notes(merged(COMPLETE, values))
