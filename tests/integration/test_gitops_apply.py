"""A GitOps tool and the operator write to the same MLJob without conflicts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from mljob_contract.mljob import FINALIZER
from tests.live.eventually import eventually
from tests.live.field_managers import owned
from tests.live.installation import Installation
from tests.live.kubectl import KubectlError
from tests.live.mljobs import MLJobs, Object, manifest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "gitops" / "mljobs"
THEIRS = "example.com/theirs"


class Tool:
    """A stand-in for a GitOps tool. Like Argo CD and Flux, the stand-in applies objects with
    Server-Side Apply.
    """

    def __init__(self, jobs: MLJobs, name: str) -> None:
        self.jobs, self.name = jobs, name
        # Without --force-conflicts: a conflict with the operator has to fail the test.
        self._options = ("--server-side", f"--field-manager={name}", "--filename=-")

    def sync(self, job: Object) -> Object:
        text = self.jobs.kubectl("apply", *self._options, "--output=json", stdin=json.dumps(job))
        found: Object = json.loads(text)
        return found

    def assert_no_drift(self, job: Object) -> None:
        """Wait until ``kubectl diff`` finds no difference between ``job`` and the stored MLJob, and
        until another sync does not change the MLJob's resourceVersion. Fail if this takes too long.
        """

        def the_same() -> bool:
            try:
                self.jobs.kubectl("diff", *self._options, stdin=json.dumps(job))
            except KubectlError as error:
                raise AssertionError(str(error)) from error
            return True

        def unchanged() -> bool:
            before = self.jobs.get(job["metadata"]["name"])["metadata"]["resourceVersion"]
            return bool(self.sync(job)["metadata"]["resourceVersion"] == before)

        eventually(the_same, "a comparison finds nothing")
        eventually(unchanged, "a second sync changes nothing")


@pytest.fixture(params=["argocd-controller", "kustomize-controller"])
def tool(request: pytest.FixtureRequest, with_kafka: Installation) -> Iterator[Tool]:
    tool = Tool(with_kafka.jobs, request.param)
    yield tool
    tool.jobs.remove_all()


def with_owners(jobs: MLJobs, name: str) -> Object:
    return jobs.kubectl.get("mljob", name, "--show-managed-fields")


def assert_shared(job: Object, tool: str) -> None:
    fields = owned(job)
    theirs = fields.pop(tool)
    assert "f:spec" in theirs
    assert "f:status" not in theirs
    assert FINALIZER not in json.dumps(theirs)
    assert fields
    for manager, found in fields.items():
        assert "f:spec" not in found, manager
    assert any("f:status" in found for found in fields.values())


def test_mljob_does_not_drift_in_any_phase(tool: Tool) -> None:
    jobs, name = tool.jobs, f"life-{tool.name}"
    job = manifest(
        name,
        "attempts_wait",
        {"seconds": 600},
        cancellation={"strategy": "Api"},
        confFrom=[{"configMapRef": {"name": "nobody", "optional": True}}],
        outputs=[{"name": "label", "taskId": "wait"}],
    )
    job["metadata"] |= {"labels": {"app.kubernetes.io/instance": "team-a"}, "finalizers": [THEIRS]}
    tool.sync(job)
    jobs.until_phase(name, "Running")
    tool.assert_no_drift(job)
    running = with_owners(jobs, name)
    assert_shared(running, tool.name)
    assert running["metadata"]["finalizers"] == [THEIRS, FINALIZER]

    job["spec"]["suspend"] = True
    tool.sync(job)
    jobs.until_phase(name, "Suspended")
    tool.assert_no_drift(job)
    suspended = with_owners(jobs, name)
    assert_shared(suspended, tool.name)
    assert suspended["metadata"]["finalizers"] == [THEIRS]

    job["spec"] |= {"suspend": False, "cancel": True}
    del job["metadata"]["finalizers"]
    tool.sync(job)
    jobs.until_finished(name)
    tool.assert_no_drift(job)
    assert_shared(with_owners(jobs, name), tool.name)


def test_examples_can_be_synced_without_drift(tool: Tool) -> None:
    for file in sorted(EXAMPLES.rglob("*.yaml")):
        job = yaml.safe_load(file.read_text())
        job["spec"]["suspend"] = True  # other tests check the runs of the examples
        tool.sync(job)
        tool.jobs.until_phase(job["metadata"]["name"], "Suspended")
        tool.assert_no_drift(job)
