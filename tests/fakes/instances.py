"""A fake store of AirflowInstances, in memory."""

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
    """A fake store of AirflowInstances, of Secrets with credentials for Airflow, and of the labels
    of namespaces.

    Attributes:
        secrets: The data of Secrets, by name.
        unlabelled: The names of the Secrets that lack the label for Secrets with credentials. The
            operator may not use such Secrets.
        labels: The labels of namespaces, by name.
        kube_events: The Events that the operator recorded, as pairs: the name of the
            AirflowInstance, and the Event.
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
        """Create an AirflowInstance, as ``kubectl apply`` does."""
        self._create(name, KIND, spec, at, name=name, annotations=_annotations(default=default))
        return self.get(name)

    def get(self, name: str, earlier: Instance | None = None) -> Instance:
        """Return the latest version of an AirflowInstance. If ``earlier`` is this version, return
        ``earlier`` itself.

        Raises:
            KeyError: There is no such AirflowInstance.
        """
        if earlier is not None:
            metadata = self.objects[name]["metadata"]
            if (earlier.uid, earlier.resource_version) == (metadata["uid"], metadata["resourceVersion"]):
                return earlier
        return Instance.from_object(self.body(name))

    def edit(self, name: str, spec: Mapping[str, Any]) -> Instance:
        """Change fields of an AirflowInstance's spec, as a user does."""
        self._edit(name, spec)
        return self.get(name)

    def annotate(self, name: str, *, default: bool) -> Instance:
        """Remove all annotations of an AirflowInstance. If ``default`` is true, then add the
        annotation that marks the default AirflowInstance.
        """
        body = self.objects[name]
        body["metadata"]["annotations"] = _annotations(default=default)
        self._touch(body)
        return self.get(name)

    def accept_vanished_runs(self, name: str, value: str) -> Instance:
        """Set the annotation with which a user accepts that runs have vanished from Airflow for
        good. ``value`` is the value of the annotation.
        """
        body = self.objects[name]
        body["metadata"].setdefault("annotations", {})[ACCEPT_VANISHED_RUNS] = value
        self._touch(body)
        return self.get(name)

    def user_deletes(self, name: str) -> Instance | None:
        """Delete an AirflowInstance, as a user does. Return the AirflowInstance if a finalizer
        keeps it, else None.
        """
        return self.get(name) if self._delete(name, "2026-01-01T00:00:00Z") else None

    # InstanceStore

    async def list(self) -> list[Instance]:
        """Return all AirflowInstances."""
        return [self.get(name) for name in self.objects]

    async def namespaces(self) -> dict[str, dict[str, str]]:
        """Return the labels of all namespaces."""
        return deepcopy(self.labels)

    async def namespace(self, name: str) -> dict[str, str] | None:
        """Return the labels of a namespace, or None if the namespace does not exist."""
        return deepcopy(self.labels.get(name))

    async def secret(self, name: str) -> dict[str, str]:
        """Return the data of a Secret with credentials.

        Raises:
            ReferenceMissing: There is no such Secret.
            SecretUnlabelled: The Secret is in ``unlabelled``.
        """
        if name not in self.secrets:
            raise ReferenceMissing(f"Secret {name} is not there")
        if name in self.unlabelled:
            raise SecretUnlabelled(f"Secret {name} lacks the label")
        return dict(self.secrets[name])

    async def write_status(self, instance: Instance, patch: Mapping[str, Any]) -> Instance:
        """Apply a merge patch to the status of an AirflowInstance, and return the AirflowInstance.
        A patch that changes nothing makes no new version.

        Raises:
            Gone: The AirflowInstance no longer exists.
            Conflict: ``instance`` is not the latest version.
        """
        self._patch_status(self._exactly(instance.name, instance.uid, instance.resource_version), patch)
        return self.get(instance.name)

    async def set_finalizer(self, instance: Instance, *, present: bool) -> Instance | None:
        """Add or remove the operator's finalizer, and keep other finalizers. Return the new
        version. Return None if the AirflowInstance no longer exists. For example, the
        AirflowInstance was being deleted, and the removed finalizer was its last finalizer.

        Raises:
            Conflict: ``instance`` is not the latest version.
        """
        try:
            self._exactly(instance.name, instance.uid, instance.resource_version)
        except Gone:
            return None
        return self.get(instance.name) if self._finalize(instance.name, FINALIZER, present=present) else None

    async def record(self, instance: Instance, notice: KubeEvent) -> None:
        """Append the Event to ``kube_events``, where the test can read it."""
        self.kube_events.append((instance.name, notice))


def _annotations(*, default: bool) -> dict[str, str]:
    return {IS_DEFAULT: "true"} if default else {}
