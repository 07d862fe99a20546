"""A real Kubernetes API server validates MLJobs and AirflowInstances, and sets default values, as
the CRDs say.
"""

from __future__ import annotations

import json
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest

from mljob_contract.mljob import UNOBSERVED
from mljob_contract.resource import API_VERSION
from mljob_operator.core.mljob.resource.job import Job
from tests import libyaml
from tests.live.kubectl import Kubectl, KubectlError
from tests.live.mljobs import Object, manifest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = [
    file
    for file in sorted((ROOT / "examples").rglob("*.yaml"))
    if API_VERSION in {found.get("apiVersion") for found in libyaml.load_all(file.read_text())}
]
"""The examples of this project's kinds; other files in ``examples`` are for GitOps tools."""


def with_spec(**spec: Any) -> Object:
    job = manifest("nonsense", "train_model")
    job["spec"] |= spec
    return job


def test_longest_name_is_accepted(kubectl: Kubectl) -> None:
    kubectl("apply", "--dry-run=server", "--filename=-", stdin=_text(manifest("n" * 140, "d" * 250)))


@pytest.mark.parametrize("dag_id", ["trainiere_Bär", "训练.模型", "обучение-1", "x²", ".a.", "训" * 250])
def test_dag_id_in_any_language_is_accepted(kubectl: Kubectl, dag_id: str) -> None:
    job = with_spec(dagId=dag_id, outputs=[{"name": "score", "taskId": dag_id}])

    stored = _json(kubectl("create", "--dry-run=server", "--filename=-", "--output=json", stdin=_text(job)))

    assert stored["spec"]["dagId"] == dag_id
    assert Job.from_object(stored).parsed.problem is None


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-01-01T02:00:00+02:00", "2026-01-01T00:00:00+00:00"),
        ("2026-01-02T00:00:00+24:00", "2026-01-01T00:00:00+00:00"),
        ("2025-12-31T00:00:00-24:00", "2026-01-01T00:00:00+00:00"),
        ("2026-01-01T00:00:00.123456789Z", "2026-01-01T00:00:00.123456+00:00"),
        ("1900-01-02T00:00:00Z", "1900-01-02T00:00:00+00:00"),
    ],
)
def test_accepted_times_can_be_read_by_the_operator(kubectl: Kubectl, text: str, at: str) -> None:
    job = with_spec(type="Backfill", backfill={"from": text, "to": "2999-12-30T23:59:59Z"})

    stored = Job.from_object(
        _json(kubectl("create", "--dry-run=server", "--filename=-", "--output=json", stdin=_text(job)))
    )

    assert stored.parsed.problem is None
    assert stored.spec.backfill is not None
    assert stored.spec.backfill.from_.astimezone(UTC).isoformat() == at


def test_omitted_fields_have_defaults(kubectl: Kubectl) -> None:
    job = {**manifest("bare", "train_model"), "spec": {"dagId": "train_model", "cancellation": {}}}

    spec = _json(kubectl("apply", "--dry-run=server", "--filename=-", "--output=json", stdin=_text(job)))["spec"]

    assert spec == {
        "dagId": "train_model",
        "type": "Custom",
        "runPolicy": "Once",
        "suspend": False,
        "cancel": False,
        "backoffLimit": 0,
        "retryStrategy": "ClearFailed",
        "deletionPolicy": "Cancel",
        "cancellation": {"strategy": "Dag", "timeoutSeconds": 300, "children": "Leave"},
    }


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: str(file.relative_to(ROOT / "examples")))
def test_each_example_is_accepted_unchanged(file: Path, kubectl: Kubectl) -> None:
    found = (example["metadata"] for example in libyaml.load_all(file.read_text()))
    namespace = next((metadata["namespace"] for metadata in found if "namespace" in metadata), kubectl.namespace)

    kubectl.within(namespace)("apply", "--dry-run=server", "--validate=strict", f"--filename={file}")


def test_mljobs_can_be_selected_by_spec_and_status_fields(kubectl: Kubectl) -> None:
    chosen = with_spec(type="Training", dagId="selected")
    chosen["metadata"]["name"] = "chosen"
    other = with_spec(type="Custom", dagId="selected")
    other["metadata"]["name"] = "other"
    kubectl.apply(chosen, other)
    try:
        found = kubectl.get("mljobs", "--field-selector=spec.type=Training,spec.dagId=selected")["items"]
        assert [job["metadata"]["name"] for job in found] == ["chosen"]
        assert kubectl.get("mljobs", "--field-selector=status.phase=Running,spec.dagId=selected")["items"] == []
    finally:
        kubectl("delete", "mljobs", "chosen", "other", "--wait=false")


def test_status_applied_by_a_user_is_ignored(kubectl: Kubectl) -> None:
    job = manifest("pretender", "train_model") | {"status": {"phase": "Succeeded"}}

    applied = _json(kubectl("apply", "--dry-run=server", "--filename=-", "--output=json", stdin=_text(job)))

    assert applied["status"] == UNOBSERVED


def _text(job: Object) -> str:
    return json.dumps(job)


def _json(text: str) -> Object:
    found: Object = json.loads(text)
    return found


def an_instance(**spec: Any) -> Object:
    return {
        "apiVersion": "mljob.dev/v1alpha1",
        "kind": "AirflowInstance",
        "metadata": {"name": "nonsense"},
        "spec": {"url": "http://airflow:8080", "credentials": {"tokenSecretRef": {"name": "airflow"}}, **spec},
    }


PEM = "-----BEGIN CERTIFICATE-----\nMII=\n-----END CERTIFICATE-----\n"
NONSENSICAL_INSTANCES = {
    "no scheme": (an_instance(url="airflow:8080"), "spec.url in body should match"),
    "credentials in the address": (an_instance(url="http://me:secret@airflow:8080"), "name the Secret in credentials"),
    "the API's path": (an_instance(url="http://airflow:8080/api/v2"), "url must not end in /api or /api/v2"),
    "no credentials": (an_instance(credentials={}), "exactly one of passwordSecretRef"),
    "two credentials": (
        an_instance(credentials={"tokenSecretRef": {"name": "a"}, "passwordSecretRef": {"name": "b"}}),
        "exactly one of passwordSecretRef",
    ),
    "a CA without TLS": (an_instance(tls={"caBundle": PEM}), "tls requires an https url"),
    "a CA that is none": (an_instance(url="https://airflow", tls={"caBundle": "x"}), "must be certificates in PEM"),
    "no rule at all": (an_instance(access=[]), "spec.access in body should have at least 1 items"),
    "a rule for no DAG": (an_instance(access=[{"dags": []}]), "dags in body should have at least 1 items"),
    "values without a use": (
        an_instance(
            access=[{"namespaceSelector": {"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["b"]}]}}]
        ),
        "values are required with In and NotIn",
    ),
    "a rule for no run": (
        an_instance(access=[{"maxActiveRuns": 0}]),
        "spec.access[0].maxActiveRuns in body should be greater than or equal to 1",
    ),
    "a rule with no credentials": (an_instance(access=[{"credentials": {}}]), "exactly one of passwordSecretRef"),
    "no place": (an_instance(maxActiveRuns=0), "spec.maxActiveRuns in body should be greater than or equal to 1"),
}


@pytest.mark.parametrize("what", NONSENSICAL_INSTANCES)
def test_invalid_instance_is_refused_with_a_message_that_says_why(kubectl: Kubectl, what: str) -> None:
    body, expected = NONSENSICAL_INSTANCES[what]

    with pytest.raises(KubectlError) as refused:
        kubectl("create", "--dry-run=server", "--filename=-", stdin=json.dumps(body))

    assert expected in str(refused.value)


def test_valid_instance_is_accepted(kubectl: Kubectl) -> None:
    rule = {
        "namespaceSelector": {"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]},
        "credentials": {"tokenSecretRef": {"name": "team"}},
        "maxActiveRuns": 1,
    }
    body = an_instance(url="https://airflow/base", tls={"caBundle": PEM}, access=[rule], maxActiveRuns=1)

    said = kubectl("create", "--dry-run=server", "--filename=-", "--output=json", stdin=json.dumps(body))

    admitted = json.loads(said)["spec"]["access"][0]
    assert (admitted["dags"], admitted["priority"]) == (["*"], 0)
    assert admitted["credentials"]["tokenSecretRef"] == {"name": "team", "key": "token"}
