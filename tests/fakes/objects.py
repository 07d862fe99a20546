from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Generic, TypeVar

from mljob_contract.resource import API_VERSION
from mljob_operator.errors import Conflict, Gone

K = TypeVar("K")


class StoredObjects(Generic[K]):
    """Objects of one kind in memory, in the form in which the API server sends them.

    Attributes:
        objects: The objects by key.
        patches: All merge patches that have changed a status, oldest first.
    """

    def __init__(self) -> None:
        self.objects: dict[K, dict[str, Any]] = {}
        self.patches: list[dict[str, Any]] = []
        self._versions = itertools.count(1)
        self._uids = itertools.count(1)

    def body(self, key: K) -> dict[str, Any]:
        copy: dict[str, Any] = json.loads(json.dumps(self.objects[key]))
        return copy

    def _create(self, key: K, kind: str, spec: Mapping[str, Any], at: str, **metadata: Any) -> dict[str, Any]:
        self.objects[key] = {
            "apiVersion": API_VERSION,
            "kind": kind,
            "metadata": {
                **metadata,
                "uid": f"uid-{next(self._uids)}",
                "generation": 1,
                "resourceVersion": str(next(self._versions)),
                "creationTimestamp": at,
            },
            "spec": dict(spec),
        }
        return self.objects[key]

    def _edit(self, key: K, spec: Mapping[str, Any]) -> None:
        body = self.objects[key]
        body["spec"] |= spec
        body["metadata"]["generation"] += 1
        self._touch(body)

    def _delete(self, key: K, at: str) -> bool:
        """Delete an object. If the object has a finalizer, set its ``deletionTimestamp`` to ``at``
        instead. Return whether the object still exists.
        """
        body = self.objects[key]
        if not body["metadata"].get("finalizers"):
            del self.objects[key]
            return False
        body["metadata"]["deletionTimestamp"] = at
        body["metadata"]["generation"] += 1
        self._touch(body)
        return True

    def _exactly(self, key: K, uid: str, resource_version: str) -> dict[str, Any]:
        body = self.objects.get(key)
        if body is None or body["metadata"]["uid"] != uid:
            raise Gone(str(key))
        if body["metadata"]["resourceVersion"] != resource_version:
            raise Conflict(str(key))
        return body

    def _patch_status(self, body: dict[str, Any], patch: Mapping[str, Any]) -> None:
        status = merged(body.get("status", {}), patch)
        if status == body.get("status", {}):
            # The API server stores no new version for a patch without a change.
            return
        body["status"] = status
        self.patches.append(deepcopy(dict(patch)))
        self._touch(body)

    def _finalize(self, key: K, finalizer: str, *, present: bool) -> bool:
        """Add or remove a finalizer. Other finalizers stay. Then delete the object if it has a
        ``deletionTimestamp`` and no finalizer. Return whether the object still exists.
        """
        body = self.objects[key]
        others = [name for name in body["metadata"].get("finalizers", []) if name != finalizer]
        body["metadata"]["finalizers"] = [*others, finalizer] if present else others
        self._touch(body)
        if "deletionTimestamp" in body["metadata"] and not body["metadata"]["finalizers"]:
            del self.objects[key]
            return False
        return True

    def _touch(self, body: dict[str, Any]) -> None:
        body["metadata"]["resourceVersion"] = str(next(self._versions))


def merged(target: Any, patch: Any) -> Any:
    """Return the target after the merge patch ``patch`` (RFC 7396)."""
    if not isinstance(patch, Mapping):
        return deepcopy(patch)
    result = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result
