"""The API server refuses nonsense at `kubectl apply`, and says what is wrong with it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.live.kubectl import Kubectl, KubectlError
from tests.live.mljobs import Object, manifest


def with_spec(**spec: Any) -> Object:
    job = manifest("nonsense", "train_model")
    job["spec"] |= spec
    return job


NONSENSE = {
    "a dag id with a space": (with_spec(dagId="train model"), "spec.dagId in body should match"),
    "an empty dag id": (with_spec(dagId=""), "spec.dagId in body should be at least 1 chars long"),
    "a dag id longer than Airflow's": (with_spec(dagId="d" * 251), "spec.dagId: Too long"),
    "no dag id": ({**manifest("nonsense", "x"), "spec": {"conf": {}}}, "spec.dagId: Required value"),
    "a dag id that is a number": (with_spec(dagId=7), 'spec.dagId in body must be of type string: "integer"'),
    "no spec": ({**manifest("nonsense", "x"), "spec": None}, "spec: Required value"),
    "an unknown type": (with_spec(type="Magic"), 'spec.type: Unsupported value: "Magic"'),
    "a conf that is a text": (with_spec(conf="epochs=3"), 'spec.conf in body must be of type object: "string"'),
    "a conf that is a list": (with_spec(conf=[1]), 'spec.conf in body must be of type object: "array"'),
    "an unknown deletion policy": (with_spec(deletionPolicy="Keep"), 'spec.deletionPolicy: Unsupported value: "Keep"'),
    "an unknown strategy": (
        with_spec(cancellation={"strategy": "Kill"}),
        "spec.cancellation.strategy: Unsupported value",
    ),
    "no time to cancel": (
        with_spec(cancellation={"timeoutSeconds": 0}),
        "spec.cancellation.timeoutSeconds in body should be greater than or equal to 1",
    ),
    "more than a day to cancel": (
        with_spec(cancellation={"timeoutSeconds": 86401}),
        "spec.cancellation.timeoutSeconds in body should be less than or equal to 86400",
    ),
    "a time that is a text": (with_spec(cancellation={"timeoutSeconds": "5m"}), "must be of type integer"),
    "a misspelt field": (with_spec(dagID="train_model"), 'unknown field "spec.dagID"'),
    "a name too long for a run id": (manifest("n" * 141, "train_model"), "140"),
}


@pytest.mark.parametrize(("job", "complaint"), NONSENSE.values(), ids=[name.replace(" ", "-") for name in NONSENSE])
def test_nonsense_is_refused(job: Object, complaint: str, kubectl: Kubectl) -> None:
    with pytest.raises(KubectlError) as refused:
        kubectl("apply", "--dry-run=server", "--filename=-", stdin=_text(job))

    assert complaint in str(refused.value)


def test_the_longest_name_is_accepted(kubectl: Kubectl) -> None:
    kubectl("apply", "--dry-run=server", "--filename=-", stdin=_text(manifest("n" * 140, "d" * 250)))


def test_what_is_left_out_has_a_default(kubectl: Kubectl) -> None:
    job = {**manifest("bare", "train_model"), "spec": {"dagId": "train_model", "cancellation": {}}}

    spec = _json(kubectl("apply", "--dry-run=server", "--filename=-", "--output=json", stdin=_text(job)))["spec"]

    assert spec == {
        "dagId": "train_model",
        "type": "Custom",
        "deletionPolicy": "Cancel",
        "cancellation": {"strategy": "Dag", "timeoutSeconds": 300},
    }


def test_a_user_who_applies_a_status_changes_nothing(kubectl: Kubectl) -> None:
    job = manifest("pretender", "train_model") | {"status": {"phase": "Succeeded"}}

    applied = _json(kubectl("apply", "--dry-run=server", "--filename=-", "--output=json", stdin=_text(job)))

    assert "status" not in applied


def _text(job: Object) -> str:
    return json.dumps(job)


def _json(text: str) -> Object:
    found: Object = json.loads(text)
    return found
