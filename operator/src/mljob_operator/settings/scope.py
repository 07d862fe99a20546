"""The settings for the MLJobs that the operator manages, and for the operator's own namespace,
Lease and Pod.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from pydantic_settings import NoDecode

from mljob_contract.airflow_instance import LabelSelector

from .environment import EnvironmentSettings
from .values import COMMA_SEPARATED, Namespace, Selector, json_of


class ScopeSettings(EnvironmentSettings):
    """The settings for the managed MLJobs, and for the operator's own namespace, Lease and Pod."""

    namespaces: Annotated[tuple[Namespace, ...], NoDecode, COMMA_SEPARATED] = ()
    """The namespaces to watch, comma-separated. Absent: all namespaces."""
    selector: Annotated[Selector | None, NoDecode, json_of(LabelSelector)] = None
    """The label selector of the MLJobs to manage, as a JSON object (``metav1.LabelSelector``).
    Absent: all MLJobs. Operators that share a cluster need selectors that exclude each other.
    """
    credentials_namespace: str = "mljob-system"
    """The namespace of the Secrets that AirflowInstances name. This must be the operator's own
    namespace.
    """
    lease_name: Annotated[str, Field(pattern=r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$", max_length=253)] = "mljob-operator"
    """The name of the Lease in ``credentials_namespace``. Processes with the same Lease are
    replicas of one operator, and one of them acts. Different operators need different Leases.
    """
    lease_seconds: Annotated[int, Field(ge=4, le=60)] = 10
    """The duration of the Lease, in seconds. After the leader was killed, another replica acts at
    most about 2 seconds after the end of this time. A leader that can't renew the Lease for 0.7 of
    this time stops. A shorter time makes a leader stop when the Kubernetes API is slow for a
    moment.
    """
    pod_name: str | None = None
    """The name of the operator's Pod, in ``credentials_namespace``. Events that concern neither an
    MLJob nor an AirflowInstance belong to this Pod. Absent: the Events belong to the namespace.
    """
    pod_uid: str | None = None
    """The uid of the operator's Pod, with which ``kubectl describe pod`` finds the Pod's Events."""
