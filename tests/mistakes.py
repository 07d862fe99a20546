"""Manifests with one mistake each. `kubectl mljob lint` must find each mistake, and the API server
must refuse each manifest.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

import yaml

Object = dict[str, Any]
BACKFILL = {"from": "2026-01-01T00:00:00Z", "to": "2026-01-03T00:00:00Z"}
VALID: dict[str, Object] = {
    "MLJob": {
        "apiVersion": "mljob.dev/v1alpha1",
        "kind": "MLJob",
        "metadata": {"name": "digits"},
        "spec": {"dagId": "train_model"},
    },
    "AirflowInstance": {
        "apiVersion": "mljob.dev/v1alpha1",
        "kind": "AirflowInstance",
        "metadata": {"name": "lint"},
        "spec": {
            "url": "https://airflow.example.com",
            "credentials": {"passwordSecretRef": {"name": "airflow"}},
        },
    },
}


@dataclass(frozen=True)
class Mistake:
    """A manifest with one mistake. Without the changes in ``spec`` and ``metadata``, the manifest
    would be the valid manifest ``VALID[kind]``.

    Attributes:
        path: The path of the field that `kubectl mljob lint` must report. Empty if the mistake is
            reported for the whole manifest.
        message: A part of the message that `kubectl mljob lint` must print.
        spec: The changed fields of the spec.
        metadata: The changed fields of the metadata.
    """

    path: str
    message: str
    spec: Object = field(default_factory=dict)
    kind: str = "MLJob"
    metadata: Object = field(default_factory=dict)

    @property
    def manifest(self) -> Object:
        changed = copy.deepcopy(VALID[self.kind])
        changed["spec"] |= self.spec
        changed["metadata"] |= self.metadata
        return changed

    @property
    def text(self) -> str:
        return yaml.safe_dump(self.manifest, allow_unicode=True)


def _source(**reference: Any) -> Object:
    return {"confFrom": [reference]}


def _access(**rule: Any) -> Object:
    return {"access": [rule]}


RULES = [
    Mistake("", "metadata.name must have at most 140 characters", metadata={"name": "n" * 141}),
    Mistake("spec.confFrom", "must name another MLJob", _source(outputsRef={"name": "digits"})),
    Mistake("spec.dagId", "must not be . or ..", {"dagId": ".."}),
    Mistake("spec.cancel", "cancel and suspend can't both be true", {"cancel": True, "suspend": True}),
    Mistake(
        "spec.preRunningDeadlineSeconds",
        "must not exceed activeDeadlineSeconds",
        {"preRunningDeadlineSeconds": 2, "activeDeadlineSeconds": 1},
    ),
    Mistake("spec.type", "requires spec.backfill", {"type": "Backfill"}),
    Mistake("spec.backfill", "allowed with type Backfill only", {"backfill": BACKFILL}),
    Mistake(
        "spec.logicalDate",
        "not allowed with type Backfill",
        {"type": "Backfill", "backfill": BACKFILL, "logicalDate": "2026-01-01T00:00:00Z"},
    ),
    Mistake(
        "spec.retryStrategy",
        "not allowed with logicalDate",
        {"logicalDate": "2026-01-01T00:00:00Z", "retryStrategy": "NewRun"},
    ),
    Mistake("spec.logicalDate", "in the years 1900 to 2999", {"logicalDate": "1899-01-01T00:00:00Z"}),
    Mistake(
        "spec.retryStrategy",
        "not allowed with type Backfill",
        {"type": "Backfill", "backfill": BACKFILL, "retryStrategy": "NewRun"},
    ),
    Mistake(
        "spec.outputs",
        "not allowed with type Backfill",
        {"type": "Backfill", "backfill": BACKFILL, "outputs": [{"name": "a", "taskId": "b"}]},
    ),
    Mistake("spec.dagId", "must be an Airflow id", {"dagId": "train model"}),
    Mistake(
        "spec.backfill.from",
        "must not be after backfill.to",
        {"type": "Backfill", "backfill": {"from": BACKFILL["to"], "to": BACKFILL["from"]}},
    ),
    Mistake(
        "spec.backfill.from",
        "in the years 1900 to 2999",
        {"type": "Backfill", "backfill": {**BACKFILL, "from": "1899-01-01T00:00:00Z"}},
    ),
    Mistake(
        "spec.backfill.to",
        "in the years 1900 to 2999",
        {"type": "Backfill", "backfill": {**BACKFILL, "to": "3000-01-01T00:00:00Z"}},
    ),
    Mistake(
        "spec.confFrom",
        "at most 8 entries with outputsRef",
        {"confFrom": [{"outputsRef": {"name": f"other-{number}"}} for number in range(9)]},
    ),
    Mistake("spec.confFrom[0]", "exactly one of", {"confFrom": [{}]}),
    *(
        Mistake(f"spec.confFrom[0].{kind}.name", "name of a Kubernetes object", _source(**{kind: {"name": "Upper"}}))
        for kind in ("configMapRef", "secretRef", "outputsRef")
    ),
    Mistake("spec.airflowRef.name", "name of a Kubernetes object", {"airflowRef": {"name": "-"}}),
    Mistake("spec.outputs[0].taskId", "must not be . or ..", {"outputs": [{"name": "a", "taskId": "."}]}),
    Mistake("spec.outputs[0].name", "must begin with a letter", {"outputs": [{"name": "1a", "taskId": "b"}]}),
    Mistake("spec.outputs[0].taskId", "must be an Airflow id", {"outputs": [{"name": "a", "taskId": "b c"}]}),
]
"""One mistake for each validation rule of the CRD of MLJob that a new object can violate."""

OTHERS = [
    Mistake("spec.dagID", "did you mean dagId?", {"dagID": "train_model"}),
    Mistake("spec.backoff_limit", "did you mean backoffLimit?", {"backoff_limit": 3}),
    Mistake("spec.cancellation.timeout", "did you mean timeoutSeconds?", {"cancellation": {"timeout": 3}}),
    Mistake("spec.type", "did you mean Training?", {"type": "training"}),
    Mistake("spec.backoffLimit", "without quotes", {"backoffLimit": "3"}),
    Mistake("spec.backoffLimit", "less than or equal to 1000", {"backoffLimit": 1001}),
    Mistake("spec.activeDeadlineSeconds", "7200 for two hours", {"activeDeadlineSeconds": "2h"}),
    Mistake("spec.suspend", "valid boolean", {"suspend": "no"}),
    *(
        Mistake("spec.logicalDate", "a date, a time and a time zone", {"logicalDate": text})
        for text in ("2026-01-01", "1700000000000", "2026-01-01 00:00:00Z", "2026-01-01T00:00Z", "2026-01-01T00:00:00")
    ),
    Mistake("spec.conf", "should be an object", {"conf": [1]}),
    Mistake("spec.dagId", "at most 250 characters", {"dagId": "d" * 251}),
    Mistake("metadata.name", "not a name of a Kubernetes object", metadata={"name": "Digits_1"}),
    Mistake("metadata.labels.version", "quote it", metadata={"labels": {"version": 1}}),
    Mistake("spec.url", "must not contain credentials", {"url": "https://a:b@airflow"}, "AirflowInstance"),
    Mistake("spec.credentials", "exactly one of", {"credentials": {}}, "AirflowInstance"),
    Mistake(
        "spec.access[0].namespaceSelector.matchExpressions[0]",
        "values are required with In",
        _access(namespaceSelector={"matchExpressions": [{"key": "team", "operator": "In"}]}),
        "AirflowInstance",
    ),
]
"""Other mistakes: unknown fields, wrong types, values that the CRDs don't allow, wrong metadata,
and violated rules of the CRD of AirflowInstance.
"""
