"""A real Kubernetes API server writes the versions of a watch in the form by which
:mod:`mljob_operator.adapters.known_versions` recognises them.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

from mljob_operator.adapters.known_versions import leave_out_known_versions
from tests.conftest import NewInstallation
from tests.live.mljobs import manifest


class Body:
    """The body of an answer that has arrived as a whole."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    async def iter_chunked(self, _size: int) -> AsyncIterator[bytes]:
        yield self.data


async def test_versions_in_a_watch_are_recognised(installation: NewInstallation) -> None:
    jobs = installation("watched-versions", start=False).jobs
    owner = jobs.kubectl.get("serviceaccount", "default")
    owned = manifest("owned", "train_model")
    owned["metadata"]["ownerReferences"] = [
        {"apiVersion": "v1", "kind": "ServiceAccount", "name": "default", "uid": owner["metadata"]["uid"]}
    ]
    noted = manifest("noted", "train_model", {"metadata": {"name": "x", "namespace": "y"}, "spec": {}})
    noted["metadata"]["annotations"] = {"name": "x", "namespace": "y", "resourceVersion": "1", "uid": "z"}
    jobs.kubectl.apply(owned, noted)
    jobs.kubectl(
        "patch", "mljob", "noted", "--subresource=status", "--type=merge", "-p", '{"status":{"phase":"Queued"}}'
    )
    path = f"/apis/mljob.dev/v1alpha1/namespaces/{jobs.namespace}/mljobs?watch=true&timeoutSeconds=1"
    watched = jobs.kubectl("get", "--raw", path)
    recognised: set[tuple[str, str, str, str]] = set()

    def observe_known(key: tuple[str, str], uid: str, resource_version: str) -> bool:
        recognised.add((*key, uid, resource_version))
        return True

    answer: Any = SimpleNamespace(content=Body(watched.encode()))
    leave_out_known_versions(answer, observe_known)
    left = b"".join([chunk async for chunk in answer.content.iter_chunked(1024)])

    fields = ("namespace", "name", "uid", "resourceVersion")
    versions = {
        tuple(json.loads(line)["object"]["metadata"][field] for field in fields) for line in watched.splitlines()
    }
    assert {version[1] for version in versions} == {"owned", "noted"}
    assert recognised == versions
    assert left == b""
