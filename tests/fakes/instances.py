from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from mljob_contract.airflow_instance import ACCEPT_VANISHED_RUNS, FINALIZER, IS_DEFAULT, KIND
from mljob_operator.core.airflow_instance.instance import Instance
from mljob_operator.core.status.events import KubeEvent
from mljob_operator.errors import Gone, ReferenceMissing, SecretUnlabelled

from .objects import StoredObjects


class FakeInstances(StoredObjects[str]):
    """A store of AirflowInstances in memory, with their Secrets.

    Attributes:
        unlabelled: The names of the Secrets that lack the label for Airflow's credentials. A read
            of such a Secret raises SecretUnlabelled.
        labels: The labels of each namespace, by the name of the namespace.
    """

    def __init__(self) -> None:
        super().__init__()
        self.secrets: dict[str, dict[str, str]] = {}
        self.unlabelled: set[str] = set()
        self.labels: dict[str, dict[str, str]] = {}
        self.kube_events: list[tuple[str, KubeEvent]] = []

    def create(
        self, name: str, spec: Mapping[str, Any], *, default: bool = False, at: str = "2026-01-01T00:00:00Z"
    ) -> Instance:
        self._create(name, KIND, spec, at, name=name, annotations=_annotations(default=default))
        return self.get(name)

    def get(self, name: str, earlier: Instance | None = None) -> Instance:
        if earlier is not None:
            metadata = self.objects[name]["metadata"]
            if (earlier.uid, earlier.resource_version) == (metadata["uid"], metadata["resourceVersion"]):
                return earlier
        return Instance.from_object(self.body(name))

    def edit(self, name: str, spec: Mapping[str, Any]) -> Instance:
        self._edit(name, spec)
        return self.get(name)

    def annotate(self, name: str, *, default: bool) -> Instance:
        body = self.objects[name]
        body["metadata"]["annotations"] = _annotations(default=default)
        self._touch(body)
        return self.get(name)

    def accept_vanished_runs(self, name: str, value: str) -> Instance:
        body = self.objects[name]
        body["metadata"].setdefault("annotations", {})[ACCEPT_VANISHED_RUNS] = value
        self._touch(body)
        return self.get(name)

    def user_deletes(self, name: str) -> Instance | None:
        return self.get(name) if self._delete(name, "2026-01-01T00:00:00Z") else None

    # InstanceStore

    async def list(self) -> list[Instance]:
        return [self.get(name) for name in self.objects]

    async def namespaces(self) -> dict[str, dict[str, str]]:
        return deepcopy(self.labels)

    async def namespace(self, name: str) -> dict[str, str] | None:
        return deepcopy(self.labels.get(name))

    async def secret(self, name: str) -> dict[str, str]:
        if name not in self.secrets:
            raise ReferenceMissing(f"Secret {name} is not there")
        if name in self.unlabelled:
            raise SecretUnlabelled(f"Secret {name} lacks the label")
        return dict(self.secrets[name])

    async def write_status(self, instance: Instance, patch: Mapping[str, Any]) -> Instance:
        self._patch_status(self._exactly(instance.name, instance.uid, instance.resource_version), patch)
        return self.get(instance.name)

    async def set_finalizer(self, instance: Instance, *, present: bool) -> Instance | None:
        try:
            self._exactly(instance.name, instance.uid, instance.resource_version)
        except Gone:
            return None
        return self.get(instance.name) if self._finalize(instance.name, FINALIZER, present=present) else None

    async def record(self, instance: Instance, notice: KubeEvent) -> None:
        self.kube_events.append((instance.name, notice))


def _annotations(*, default: bool) -> dict[str, str]:
    return {IS_DEFAULT: "true"} if default else {}
