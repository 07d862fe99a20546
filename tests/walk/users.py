"""Applies objects by Server-Side Apply, as GitOps tools do, and reads and deletes the objects."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from mljob_contract.resource import API_VERSION
from tests.live.eventually import eventually
from tests.live.kubernetes_api import KubernetesApi

Object = dict[str, Any]
Spec = dict[str, Any]

SIDE_BY_SIDE = 6
"""The number of concurrent requests."""
LOOK_EVERY = 2.0
"""Seconds between two reads of all objects. A read returns megabytes."""
LABEL = "mljob.dev/walk"
"""The label of the objects of a walk. Each walk has its own value of the label."""


class Users:
    """Acts as the users of a cluster: applies, reads and deletes objects of one kind. Up to
    ``SIDE_BY_SIDE`` objects are applied at the same time.

    Args:
        namespace: The namespace of the objects; None for a cluster-scoped kind.
        within: Seconds until a condition must be met.
        evidence: Returns the last lines of the operator's log.
    """

    def __init__(
        self,
        api: KubernetesApi,
        kind: str,
        plural: str,
        namespace: str | None = None,
        *,
        within: float,
        evidence: Callable[[], str],
    ) -> None:
        scope = f"/namespaces/{namespace}" if namespace else ""
        self._api = api
        self._kind = kind
        self._path = f"/apis/{API_VERSION}{scope}/{plural}"
        self._walk = secrets.token_hex(3)
        self._within = within
        self._evidence = evidence

    def apply(self, specs: Mapping[str, Spec]) -> dict[str, str]:
        """Apply an object for each name and spec. Return the API server's error for each refused
        object, by the object's name.
        """

        def one(name: str) -> str | None:
            meta = {"name": self._name_in_cluster(name), "labels": {LABEL: self._walk}}
            body = {"apiVersion": API_VERSION, "kind": self._kind, "metadata": meta, "spec": specs[name]}
            return self._api.apply(f"{self._path}/{self._name_in_cluster(name)}", body, manager="walk")

        with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
            answers = zip(specs, pool.map(one, specs), strict=True)
            return {name: refusal for name, refusal in answers if refusal is not None}

    def all(self) -> dict[str, Object]:
        found = self._api.get(self._path, labelSelector=f"{LABEL}={self._walk}")["items"]
        return {body["metadata"]["name"].removesuffix(f"-{self._walk}"): body for body in found}

    def until(self, done: Callable[[Object], bool], names: Iterable[str], what: str) -> dict[str, Object | None]:
        """Wait until each object meets the condition ``done`` or is deleted. Return each object as
        it was when it met the condition, or None if it was deleted.
        """
        late = dict.fromkeys(names)
        found: dict[str, Object | None] = {}

        def look() -> bool:
            there = self.all()
            for name in list(late):
                if name not in there or done(there[name]):
                    found[name] = there.get(name)
                    del late[name]
                else:
                    late[name] = there[name]
            return not late

        eventually(look, what, within=self._within, every=LOOK_EVERY, evidence=lambda: self._evidence_of(late))
        return found

    def delete_all(self) -> None:
        self._api.delete(self._path, labelSelector=f"{LABEL}={self._walk}")
        eventually(
            lambda: not self.all(),
            "all are gone",
            within=self._within,
            every=LOOK_EVERY,
            evidence=lambda: self._evidence_of(self.all()),
        )

    def _name_in_cluster(self, name: str) -> str:
        return f"{name}-{self._walk}"

    def _evidence_of(self, late: Mapping[str, Object | None]) -> str:
        shown = [
            f"{name}: {body and {**body, 'metadata': body['metadata'].get('generation')}}"
            for name, body in late.items()
        ]
        return "\n".join([f"{len(late)} are late:", *shown[:10], self._evidence()])
