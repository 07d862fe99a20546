"""Reads AirflowInstances from objects of the Kubernetes API, and chooses the default
AirflowInstance.

The Airflow of the operator's settings is not an AirflowInstance. Its name is
``run_key.SETTINGS_AIRFLOW``, an empty text.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from mljob_contract.airflow_instance import (
    ACCEPT_VANISHED_RUNS,
    FINALIZER,
    IS_DEFAULT,
    MAX_ACCEPTED,
    AirflowInstanceSpec,
    AirflowInstanceStatus,
)

from ..frozen import frozen
from ..text.fitting import fitting, in_one_sentence

_PLACEHOLDERS = {"url": "http://unknown.invalid", "credentials": {"tokenSecretRef": {"name": "unknown"}}}
"""Values for required fields that are missing or invalid. The operator sends no request to this
URL.
"""


@frozen
class Instance:
    """An AirflowInstance, read from the object in the Kubernetes API.

    Attributes:
        annotated: Whether the object is annotated as the default.
        accepts: The value of the annotation ``mljob.dev/accept-vanished-runs``, or None if the
            annotation is absent or empty. See :class:`.AcceptedLoss`.
        stored_status: The status as the API server has sent it. A patch of the status contains the
            differences from this status.
        problem: A text for people about the missing and the invalid fields of the spec. The text
            names at most three fields. None if all fields are valid. The operator does not use an
            AirflowInstance with a problem.
    """

    name: str
    uid: str
    generation: int
    resource_version: str
    finalizers: tuple[str, ...]
    deleting: bool
    created_at: datetime | None
    annotated: bool
    accepts: str | None
    spec: AirflowInstanceSpec
    status: AirflowInstanceStatus
    stored_status: Mapping[str, Any]
    problem: str | None = None

    @property
    def has_finalizer(self) -> bool:
        """Whether the object has the operator's finalizer."""
        return FINALIZER in self.finalizers

    @property
    def ui_url(self) -> str:
        """The base URL of links to Airflow's UI."""
        return self.spec.ui_url or self.spec.url

    def newer_than(self, other: Instance | None) -> bool:
        """Return whether this version of the object is later than ``other``. The result is also
        True if ``other`` is None or has another uid.
        """
        return other is None or self.uid != other.uid or int(self.resource_version) > int(other.resource_version)

    @classmethod
    def from_object(cls, body: Mapping[str, Any]) -> Instance:
        """Return the AirflowInstance from an object that the Kubernetes API server has sent.

        Invalid fields of the spec and of the status raise no error. An invalid optional field is
        left out. A required field of the spec that is missing or invalid gets a placeholder. The
        attribute ``problem`` describes the missing and the invalid fields of the spec.
        """
        meta = body["metadata"]
        spec, problems = fitting(AirflowInstanceSpec, body.get("spec"), "spec", bounds={}, placeholders=_PLACEHOLDERS)
        status, _ = fitting(AirflowInstanceStatus, body.get("status"), "status", bounds={}, placeholders={})
        created, annotations = meta.get("creationTimestamp"), meta.get("annotations") or {}
        return cls(
            name=meta["name"],
            uid=meta["uid"],
            generation=meta.get("generation", 1),
            resource_version=meta.get("resourceVersion", "0"),
            finalizers=tuple(meta.get("finalizers") or ()),
            deleting=meta.get("deletionTimestamp") is not None,
            created_at=datetime.fromisoformat(created) if created else None,
            annotated=annotations.get(IS_DEFAULT) == "true",
            accepts=annotations.get(ACCEPT_VANISHED_RUNS, "")[:MAX_ACCEPTED] or None,
            spec=spec,
            status=status,
            stored_status=stored if isinstance(stored := body.get("status"), Mapping) else {},
            problem=in_one_sentence(problems),
        )


def defaults(instances: Iterable[Instance]) -> list[str]:
    """Return the names of the AirflowInstances that are annotated as the default and aren't being
    deleted. The first name is the default AirflowInstance.

    The newest AirflowInstance comes first, as for StorageClasses. AirflowInstances that were
    created in the same second are sorted by name.
    """
    annotated = [instance for instance in instances if instance.annotated and not instance.deleting]
    return [found.name for found in sorted(annotated, key=lambda found: (-_timestamp(found), found.name))]


def _timestamp(instance: Instance) -> float:
    return instance.created_at.timestamp() if instance.created_at else 0.0


def sends_in_the_clear(url: str, namespaces: Collection[str]) -> bool:
    """Return whether requests to a URL leave the cluster without TLS: the URL begins with
    ``http://``, and its host is outside the cluster or can't be parsed.

    Loopback addresses are inside the cluster. All other IP addresses count as outside. These names
    are inside the cluster:

    - a name without a dot;
    - ``<service>.<namespace>``, if ``namespaces`` contains the namespace;
    - ``<service>.<namespace>.svc`` with any namespace, alone or followed by a domain.
    """
    if not url.lower().startswith("http://"):
        return False
    try:
        host = (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:
        return True
    try:
        return not ip_address(host).is_loopback
    except ValueError:
        labels = host.split(".")
    inside = len(labels) == 1 or labels[2:3] == ["svc"] or (len(labels) == 2 and labels[1] in namespaces)
    return not inside
