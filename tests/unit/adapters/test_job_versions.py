"""The operator does not parse the same version of an MLJob twice."""

from __future__ import annotations

from typing import Any

import pytest

from mljob_operator.adapters.kubernetes.jobs import read


def version(resource_version: str, uid: str = "uid", **spec: Any) -> dict[str, Any]:
    metadata = {"namespace": "team-a", "name": "churn", "uid": uid, "generation": 1}
    return {"metadata": metadata | {"resourceVersion": resource_version}, "spec": {"dagId": "train", **spec}}


def test_version_that_is_known_is_not_read_again() -> None:
    known = read(version("7"))
    assert read(version("7"), earlier=known) is known


@pytest.mark.parametrize(
    "body", [version("8"), version("7", uid="another"), version("6")], ids=["later", "another MLJob", "earlier"]
)
def test_any_other_version_is_read(body: dict[str, Any]) -> None:
    job = read(body, earlier=read(version("7")))
    assert job is not None
    assert (job.uid, job.resource_version) == (body["metadata"]["uid"], body["metadata"]["resourceVersion"])


def test_object_that_can_not_be_read_is_none_whatever_is_known() -> None:
    assert read({"metadata": {"name": "churn"}}, earlier=read(version("7"))) is None
