"""Events in a namespace that is being deleted."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator

import pytest

from devstack.stack import Stack
from mljob_operator.adapters.kubernetes.client import connect
from mljob_operator.adapters.kubernetes.jobs import Jobs
from mljob_operator.core.status.events import NORMAL, KubeEvent
from tests.live.kubectl import Kubectl


@pytest.fixture
def ending(kubectl: Kubectl) -> Iterator[str]:
    """The name of a namespace that is being deleted. The namespace contains an MLJob with a
    finalizer, so the namespace exists until the end of the test.
    """
    name = f"ending-{uuid.uuid4().hex[:8]}"
    kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    job = {
        "apiVersion": "mljob.dev/v1alpha1",
        "kind": "MLJob",
        "metadata": {"name": "job", "namespace": name, "finalizers": ["test.mljob.dev/held"]},
        "spec": {"dagId": "nobody_runs_this"},
    }
    kubectl.within(name).apply(job)
    kubectl("delete", "namespace", name, "--wait=false")
    yield name
    kubectl(
        "patch", "mljob", "job", f"--namespace={name}", "--type=merge", "--patch", '{"metadata": {"finalizers": null}}'
    )


async def test_event_in_a_terminating_namespace_is_omitted(
    stack: Stack, kubectl: Kubectl, ending: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("KUBECONFIG", stack.operator_env()["KUBECONFIG"])
    async with await connect() as api:
        store = Jobs(api)
        job = await store.get((ending, "job"))
        assert job is not None
        caplog.set_level(logging.DEBUG, "mljob_operator")
        await store.record(job, KubeEvent(NORMAL, "Canceled", "The run was canceled"))
    assert "is being terminated" in caplog.text
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
