"""Reads and writes AirflowInstances in the Kubernetes API.

This module also reads the labels of namespaces, and the Secrets of AirflowInstances.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kubernetes.aio import client

from mljob_contract.airflow_instance import CREDENTIALS_LABEL, FINALIZER, KIND, PLURAL
from mljob_contract.resource import GROUP, VERSION

from ...core.airflow_instance.instance import Instance
from ...errors import Gone, ReferenceMissing, SecretUnlabelled, StoreError, StoreForbidden, StoreUnavailable
from .custom_objects import CustomObjects, read_or_log
from .lists import list_objects
from .requests import TIMEOUT, call, decoded


class InstanceObjects(CustomObjects[Instance]):
    """Reads and writes AirflowInstances in the Kubernetes API.

    Args:
        api: The client for the Kubernetes API.
        credentials_namespace: The namespace of the Secrets with Airflow's credentials.
    """

    def __init__(self, api: client.ApiClient, credentials_namespace: str) -> None:
        super().__init__(
            api,
            kind=KIND,
            plural=PLURAL,
            finalizer=FINALIZER,
            from_object=lambda body, _: Instance.from_object(body),
        )
        self._credentials_namespace = credentials_namespace

    async def list(self) -> list[Instance]:
        """Return all AirflowInstances. An AirflowInstance that can't be read is logged and left
        out.
        """
        lister = self._api.list_cluster_custom_object_without_preload_content
        found = [read(item) async for item in list_objects(lister, GROUP, VERSION, PLURAL)]
        return [instance for instance in found if instance is not None]

    async def namespaces(self) -> dict[str, dict[str, str]]:
        """Return a dict with the labels of each namespace, by the name of the namespace."""
        found = list_objects(self._core.list_namespace_without_preload_content)
        return {item["metadata"]["name"]: item["metadata"].get("labels") or {} async for item in found}

    async def namespace(self, name: str) -> dict[str, str] | None:
        """Return the labels of a namespace, or None if the namespace does not exist."""
        try:
            found = await call(self._core.read_namespace, name, _request_timeout=TIMEOUT)
        except Gone:
            return None
        return found.metadata.labels or {}

    async def secret(self, name: str) -> dict[str, str]:
        """Return a Secret's values as text, by key. The Secret is in ``credentials_namespace``.

        Raises:
            ReferenceMissing: The Secret does not exist, or the API server refuses the request.
            SecretUnlabelled: The Secret lacks the label for Airflow's credentials.
            StoreUnavailable: No answer, a server error, or too many requests (429).
        """
        namespace = self._credentials_namespace
        try:
            found = await call(self._core.read_namespaced_secret, name, namespace, _request_timeout=TIMEOUT)
        except Gone:
            raise ReferenceMissing(
                f"Secret {name} is not in namespace {namespace}, where the operator looks for credentials."
            ) from None
        except StoreUnavailable:
            raise
        except StoreForbidden as error:
            raise ReferenceMissing(
                f"The operator may not read Secret {name} in namespace {namespace}: see airflowInstances in its chart's values."
            ) from error
        except StoreError as error:
            raise ReferenceMissing(f"Secret {name} in namespace {namespace} can't be read: {error}") from error
        if CREDENTIALS_LABEL not in (found.metadata.labels or {}):
            raise SecretUnlabelled(
                f"Secret {name} in namespace {namespace} lacks the label {CREDENTIALS_LABEL}, without which it is sent to no Airflow. If it is "
                f"meant for one: kubectl label secret {name} --namespace {namespace} {CREDENTIALS_LABEL}=true"
            )
        return decoded(found.data)


def read(body: Mapping[str, Any]) -> Instance | None:
    """Return the :class:`.Instance` of an API object. If fields of the spec are missing or invalid,
    the Instance's ``problem`` names at most three of these fields.

    If the object can't be read for another reason, log the error and return None.
    """
    return read_or_log(KIND, Instance.from_object, body)
