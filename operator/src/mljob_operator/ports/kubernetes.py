"""The protocol classes through which the operator uses the Kubernetes API."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from mljob_contract.mljob import ConfSource

from ..core.airflow_instance.instance import Instance
from ..core.conf.conf import Source
from ..core.mljob.resource.job import Job
from ..core.run.run_key import Key
from ..core.status.events import KubeEvent


class InstanceStore(Protocol):
    """Reads and writes AirflowInstances in the Kubernetes API, and reads namespaces and the Secrets
    of AirflowInstances.

    All methods raise ``StoreError`` if the Kubernetes API fails.
    """

    async def list(self) -> list[Instance]:
        """Return all AirflowInstances. An AirflowInstance that can't be parsed is left out."""
        ...

    async def namespaces(self) -> dict[str, dict[str, str]]:
        """Return the labels of all namespaces, by the name of the namespace."""
        ...

    async def namespace(self, name: str) -> dict[str, str] | None:
        """Return the labels of a namespace, or None if the namespace does not exist."""
        ...

    async def secret(self, name: str) -> dict[str, str]:
        """Return the data of a Secret in the operator's namespace: the decoded text for each key.

        Raises:
            ReferenceMissing: The Secret does not exist, or the operator may not read the Secret.
            SecretUnlabelled: The Secret lacks the label for Airflow's credentials.
        """
        ...

    async def write_status(self, instance: Instance, patch: Mapping[str, Any]) -> Instance:
        """Patch the status of the AirflowInstance, if ``instance`` is the current version. Return
        the AirflowInstance with the new status.

        Raises:
            Conflict: The AirflowInstance has changed.
            Gone: The AirflowInstance does not exist any more, or another AirflowInstance has its
                name.
            Refused: The status is invalid.
        """
        ...

    async def set_finalizer(self, instance: Instance, *, present: bool) -> Instance | None:
        """Add the operator's finalizer if ``present`` is true, else remove the finalizer. Return
        the changed AirflowInstance, or None if the AirflowInstance no longer exists. An
        AirflowInstance that is being deleted no longer exists after its last finalizer is removed.

        Raises:
            Conflict: The AirflowInstance has changed.
        """
        ...

    async def record(self, instance: Instance, event: KubeEvent) -> None:
        """Create a Kubernetes Event about an AirflowInstance."""
        ...


class JobStore(Protocol):
    """Reads and writes MLJobs in the Kubernetes API, and reads the ConfigMaps and Secrets that
    MLJobs name.

    All methods raise ``StoreError`` if the Kubernetes API fails.
    """

    def list(self) -> AsyncIterator[Job]:
        """Yield the MLJobs of this operator. An MLJob belongs to the operator if its namespace is
        watched and the operator's selector selects the MLJob. An MLJob that can't be parsed is left
        out. An MLJob that changes during the call may be yielded in its old or its new version.
        """
        ...

    async def get(self, key: Key) -> Job | None:
        """Return the latest version of an MLJob. Return None if the MLJob does not exist or does
        not belong to this operator (see :meth:`list`).

        Raises:
            StoreUnavailable: The MLJob exists but can't be parsed.
        """
        ...

    async def find(self, key: Key) -> Job | None:
        """Return the latest version of an MLJob in a watched namespace, even if the operator's
        selector does not select the MLJob. Return None if there is no such MLJob.

        Raises:
            StoreUnavailable: The MLJob exists but can't be parsed.
        """
        ...

    async def write_status(self, job: Job, patch: Mapping[str, Any]) -> Job:
        """Patch the status of the MLJob, if ``job`` is the current version. Return the MLJob with
        the new status.

        Raises:
            Conflict: The MLJob has changed.
            Gone: The MLJob does not exist any more, or another MLJob has its name.
            Refused: The status is invalid.
        """
        ...

    async def set_finalizer(
        self, job: Job, *, present: bool, annotations: Mapping[str, str] | None = None
    ) -> Job | None:
        """Add the operator's finalizer if ``present`` is true, else remove the finalizer. Also set
        the annotations in ``annotations``, and keep the MLJob's other annotations. Return the
        changed MLJob, or None if the MLJob no longer exists. An MLJob that is being deleted no
        longer exists after its last finalizer is removed.

        Raises:
            Conflict: The MLJob has changed.
        """
        ...

    async def source(self, namespace: str, reference: ConfSource) -> Source | None:
        """Return a :class:`.Source` with the data of a ConfigMap or Secret. ``reference`` is the
        entry of ``spec.confFrom`` that names the object. Return None if the entry is optional and
        the object does not exist.

        Raises:
            ReferenceMissing: The object does not exist and the entry is not optional. Or the
                operator may not read the object.
        """
        ...

    async def delete(self, job: Job) -> None:
        """Delete the MLJob, if ``job`` is the current version.

        Raises:
            Conflict: The MLJob has changed.
            Gone: The MLJob does not exist any more, or another MLJob has its name.
        """
        ...

    async def record(self, job: Job, event: KubeEvent) -> None:
        """Create a Kubernetes Event about an MLJob."""
        ...


@dataclass(frozen=True, slots=True, order=True)
class ConfObject:
    """A ConfigMap or Secret in ``spec.confFrom`` of an MLJob.

    Attributes:
        namespace: The namespace of the object and the MLJob.
        kind: ConfigMap or Secret.
        name: The name of the object.
    """

    namespace: str
    kind: str
    name: str

    @classmethod
    def of(cls, namespace: str, source: ConfSource) -> ConfObject:
        """Return the ConfObject for an entry of ``spec.confFrom``. ``namespace`` is the MLJob's
        namespace.
        """
        named = source.secret_ref or source.config_map_ref
        assert named is not None, "the CRD's rules ask for one of the two"
        return cls(namespace, "Secret" if source.secret_ref is not None else "ConfigMap", named.name)

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


class SourceChanges(Protocol):
    """Watches ConfigMaps and Secrets for changes."""

    def of(self, reference: ConfObject) -> AsyncGenerator[None]:
        """Yield None whenever the ConfigMap or Secret is created, changed or deleted. If the object
        exists already, also yield None at once. Changes that arrive together yield a single None.
        The iterator may end at any time, and the caller then calls this method again.

        Raises:
            StoreError: The Kubernetes API does not answer, or the operator may not watch the
                object.
        """
        ...


class OperatorStore(Protocol):
    """Records Events about the operator's Pod, or about the operator's namespace if the operator
    does not run in a Pod.
    """

    async def record(self, event: KubeEvent) -> None:
        """Create a Kubernetes Event in the operator's namespace."""
        ...
