"""The interfaces (protocol classes) through which the operator uses the Kubernetes API."""

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
    """Reads and writes AirflowInstances in the Kubernetes API. Also reads the labels of namespaces,
    and reads the Secrets that AirflowInstances name.

    All methods raise ``StoreError`` if the Kubernetes API fails.
    """

    async def list(self) -> list[Instance]:
        """Return all AirflowInstances. An AirflowInstance that can't be read is left out."""
        ...

    async def namespaces(self) -> dict[str, dict[str, str]]:
        """Return the labels of all namespaces, by the name of the namespace."""
        ...

    async def namespace(self, name: str) -> dict[str, str] | None:
        """Return the labels of a namespace, or None if the namespace does not exist."""
        ...

    async def secret(self, name: str) -> dict[str, str]:
        """Return the data of a Secret that has credentials for Airflow: the decoded text for each
        key. The Secret is in the only namespace from which the operator reads credentials.

        Raises:
            ReferenceMissing: The Secret does not exist, or the operator lacks the permission to
                read it.
            SecretUnlabelled: The Secret lacks the label for Airflow's credentials.
        """
        ...

    async def write_status(self, instance: Instance, patch: Mapping[str, Any]) -> Instance:
        """Patch the status of the AirflowInstance, if ``instance`` is still its current version.
        Return the AirflowInstance with the new status.

        Raises:
            Conflict: The AirflowInstance has changed.
            Gone: The AirflowInstance does not exist any more, or another AirflowInstance has its
                name.
            Refused: The status is invalid.
        """
        ...

    async def set_finalizer(self, instance: Instance, *, present: bool) -> Instance | None:
        """Add or remove the operator's finalizer. Other finalizers stay.

        Return the changed AirflowInstance. Return None if the AirflowInstance does not exist any
        more, for example because Kubernetes deleted it when its last finalizer was removed.

        Raises:
            Conflict: The AirflowInstance has changed.
        """
        ...

    async def record(self, instance: Instance, event: KubeEvent) -> None:
        """Create a Kubernetes Event about an AirflowInstance."""
        ...


class JobStore(Protocol):
    """Reads and writes MLJobs in the Kubernetes API, and reads the ConfigMaps and Secrets that the
    MLJobs name.

    All methods raise ``StoreError`` if the Kubernetes API fails.
    """

    def list(self) -> AsyncIterator[Job]:
        """Yield all MLJobs of this operator. An MLJob belongs to this operator if its namespace is
        watched and the operator's selector selects the MLJob. An MLJob that can't be read is left
        out. If an MLJob changes during the call, the yielded version may be from before or after
        the change.
        """
        ...

    async def get(self, key: Key) -> Job | None:
        """Return the latest version of an MLJob. Return None if the MLJob does not exist, if its
        namespace is not watched, or if this operator's selector does not select it.

        Raises:
            StoreUnavailable: The MLJob exists but can't be read.
        """
        ...

    async def find(self, key: Key) -> Job | None:
        """Return the latest version of an MLJob, even if this operator's selector does not select
        the MLJob. Return None if the MLJob does not exist, or if its namespace is not watched.

        Raises:
            StoreUnavailable: The MLJob exists but can't be read.
        """
        ...

    async def write_status(self, job: Job, patch: Mapping[str, Any]) -> Job:
        """Patch the status of the MLJob, if ``job`` is still its current version. Return the MLJob
        with the new status.

        Raises:
            Conflict: The MLJob has changed.
            Gone: The MLJob does not exist any more, or another MLJob has its name.
            Refused: The status is invalid.
        """
        ...

    async def set_finalizer(
        self, job: Job, *, present: bool, annotations: Mapping[str, str] | None = None
    ) -> Job | None:
        """Add or remove the operator's finalizer, and set annotations. Other finalizers and
        annotations stay.

        Return the changed MLJob. Return None if the MLJob does not exist any more, for example
        because Kubernetes deleted it when its last finalizer was removed.

        Raises:
            Conflict: The MLJob has changed.
        """
        ...

    async def source(self, namespace: str, reference: ConfSource) -> Source | None:
        """Return the data of the object that an entry of ``spec.confFrom`` names, or None if the
        object is optional and does not exist.

        Raises:
            ReferenceMissing: The object does not exist and is not optional, or the operator lacks
                the permission to read it.
        """
        ...

    async def delete(self, job: Job) -> None:
        """Delete the MLJob, if ``job`` is still its current version.

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
    """The namespace, kind and name of a ConfigMap or Secret from which an MLJob takes parameters
    (``spec.confFrom``).

    Attributes:
        kind: ConfigMap or Secret.
    """

    namespace: str
    kind: str
    name: str

    @classmethod
    def of(cls, namespace: str, source: ConfSource) -> ConfObject:
        """Return the namespace, kind and name of the object that ``source`` names. ``source`` is an
        entry of ``spec.confFrom``. ``namespace`` is the namespace of the MLJob.
        """
        named = source.secret_ref or source.config_map_ref
        assert named is not None, "the CRD's rules ask for one of the two"
        return cls(namespace, "Secret" if source.secret_ref is not None else "ConfigMap", named.name)

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


class SourceChanges(Protocol):
    """Watches ConfigMaps and Secrets for changes."""

    def of(self, reference: ConfObject) -> AsyncGenerator[None]:
        """Watch an object. The iterator yields None after the object appears, changes or is
        deleted. Several changes that arrive together yield a single None.

        If the object exists, the first None comes at once. The iterator may end at any time, and
        the caller then watches again.

        Raises:
            StoreError: The Kubernetes API does not answer, or the operator lacks the permission to
                watch the object.
        """
        ...


class OperatorStore(Protocol):
    """Records Events about the operator. The Events are about the operator's Pod, or about the
    operator's namespace if the operator does not run in a Pod.
    """

    async def record(self, event: KubeEvent) -> None:
        """Create a Kubernetes Event about the operator, in the namespace of the operator."""
        ...
