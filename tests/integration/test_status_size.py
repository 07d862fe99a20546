"""The real API server stores the largest status that the operator writes."""

from __future__ import annotations

import asyncio
import json

import pytest

from devstack.stack import Stack
from mljob_operator.adapters.kubernetes.client import connect
from mljob_operator.adapters.kubernetes.jobs import Jobs
from mljob_operator.core.run.outputs import bounded
from mljob_operator.core.status.build import MAX_STATUS_BYTES, report
from mljob_operator.core.status.patches import merge_patch
from mljob_operator.core.text.storable import stored_size
from tests.large_statuses import UI_URL, largest
from tests.live.kubectl import Kubectl
from tests.live.mljobs import manifest


@pytest.mark.parametrize("letter", ["x", "<", "\x00", "\U0001f600"], ids=["plain", "html", "control", "astral"])
async def test_largest_status_is_stored_unchanged(
    letter: str, stack: Stack, kubectl: Kubectl, monkeypatch: pytest.MonkeyPatch
) -> None:
    situation, outputs = largest(letter)
    status = report(situation, ui_url=UI_URL, outputs=bounded(outputs))
    kubectl.apply(manifest("n" * 140, "d" * 250, suspend=True))
    monkeypatch.setenv("KUBECONFIG", stack.operator_env()["KUBECONFIG"])
    api = await connect()
    store = Jobs(api)
    try:
        job = await store.get(("default", "n" * 140))
        assert job is not None
        await store.write_status(job, merge_patch(job.stored.content, status))

        path = f"/apis/mljob.dev/v1alpha1/namespaces/default/mljobs/{'n' * 140}"
        raw = await asyncio.to_thread(kubectl, "get", "--raw", path)
        stored = json.loads(raw)
        assert stored["status"] == status, "what is read back needs no patch"
        others = {key: value for key, value in stored.items() if key != "status"}
        assert len(raw.encode()) - stored_size(others) - len(',"status":\n') <= stored_size(status) <= MAX_STATUS_BYTES
    finally:
        await api.close()
        kubectl("delete", "mljob", "n" * 140, "--wait=false")
