"""What `helm install` says at the end: commands that fit this release, and what it might lack."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.chart.rendering import CHART, MINIMAL, NAMESPACE, RELEASE, merged

Notes = Callable[[Mapping[str, Any]], str]

COMPLETE: dict[str, Any] = {
    "airflow": {"existingSecret": "airflow-credentials"},
    "kafka": {"bootstrapServers": "kafka:9092"},
}


@pytest.fixture
def notes(helm: Path) -> Notes:
    def read(values: Mapping[str, Any]) -> str:
        command = [
            str(helm),
            "install",
            RELEASE,
            str(CHART),
            "--dry-run=client",
            "--namespace",
            NAMESPACE,
            "--values",
            "-",
        ]
        given = json.dumps(merged(MINIMAL, values))
        done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=60, check=True)
        return done.stdout.partition("\nNOTES:\n")[2]

    return read


def test_a_complete_installation_is_told_what_to_try_and_nothing_else(notes: Notes) -> None:
    said = notes(COMPLETE)

    assert "It looks after MLJobs in all namespaces" in said
    assert "through the Kafka topic airflow.events" in said
    assert "kubectl rollout status deployment/mljob-operator --namespace mljob-system" in said
    assert "kubectl get mljobs --namespace default --watch" in said
    assert "NOTE" not in said


def test_the_commands_use_a_namespace_that_the_operator_looks_after(notes: Notes) -> None:
    said = notes(merged(COMPLETE, {"operator": {"namespaces": ["team-a", "team-b"]}}))

    assert "It looks after MLJobs in team-a, team-b" in said
    assert "kubectl get mljobs --namespace team-a --watch" in said


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param(
            {"airflow": {"existingSecret": ""}}, "kubectl create secret generic airflow-credentials", id="credentials"
        ),
        pytest.param(
            {"airflow": {"url": "", "existingSecret": ""}},
            "MLJobs wait until there is an AirflowInstance",
            id="Airflow",
        ),
        pytest.param({"kafka": {"bootstrapServers": ""}}, "statuses change a few seconds late", id="Kafka"),
        pytest.param(
            {"crds": {"install": False}},
            "apply the definitions of MLJob and AirflowInstance yourself, before the operator starts",
            id="definition",
        ),
    ],
)
def test_what_is_missing_is_said(notes: Notes, values: dict[str, Any], expected: str) -> None:
    assert expected in notes(merged(COMPLETE, values))


def test_credentials_through_the_environment_are_credentials_too(notes: Notes) -> None:
    token = {"name": "MLJOB_AIRFLOW_TOKEN", "value": "any"}

    assert "NOTE" not in notes(merged(COMPLETE, {"airflow": {"existingSecret": ""}, "extraEnv": [token]}))
