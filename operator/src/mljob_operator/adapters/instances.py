"""AirflowInstances in the Kubernetes API, the Secrets that they name, and the labels of namespaces."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from kubernetes.aio import client

from mljob_contract.airflow_instance import CREDENTIALS_LABEL, FINALIZER, KIND, PLURAL
from mljob_contract.mljob import API_VERSION, GROUP, VERSION

from ..core.airflow_instance.instance import Instance
from ..core.status.events import KubeEvent
from ..errors import Gone, ReferenceMissing, SecretUnlabelled, StoreError, StoreUnavailable
from .kubernetes import MERGE_PATCH, TIMEOUT, call, decoded, event, list_objects

log = logging.getLogger(__name__)


class InstanceObjects:
    """AirflowInstances, as a store.

    Args:
        credentials_namespace: Where the Secrets are that they name.
    """

    def __init__(self, api: client.ApiClient, credentials_namespace: str) -> None:
        self._api = client.CustomObjectsApi(api)
        self._core = client.CoreV1Api(api)
        self._credentials_namespace = credentials_namespace

    async def list(self) -> list[Instance]:
        """All AirflowInstances; one that can't be read is logged and left out."""
        lister = self._api.list_cluster_custom_object_without_preload_content
        found = [read(item) async for item in list_objects(lister, GROUP, VERSION, PLURAL)]
        return [instance for instance in found if instance is not None]

    async def namespaces(self) -> dict[str, dict[str, str]]:
        """The labels of all namespaces."""
        found = list_objects(self._core.list_namespace_without_preload_content)
        return {item["metadata"]["name"]: item["metadata"].get("labels") or {} async for item in found}

    async def secret(self, name: str) -> dict[str, str]:
        """A Secret's data.

        Raises:
            ReferenceMissing: It is not there, or the operator may not read it.
            SecretUnlabelled: It lacks the label of Secrets that are for Airflow.
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
        except StoreError as error:
            raise ReferenceMissing(
                f"The operator may not read Secret {name} in namespace {namespace}: see airflowInstances in its chart's values."
            ) from error
        if CREDENTIALS_LABEL not in (found.metadata.labels or {}):
            raise SecretUnlabelled(
                f"Secret {name} in namespace {namespace} lacks the label {CREDENTIALS_LABEL}, without which it is sent to no Airflow. If it is "
                f"meant for one: kubectl label secret {name} --namespace {namespace} {CREDENTIALS_LABEL}=true"
            )
        return decoded(found.data)

    async def write_status(self, instance: Instance, patch: Mapping[str, Any]) -> Instance:
        """Patch ``/status`` of exactly this version.

        Raises:
            Conflict: The AirflowInstance has changed.
            Gone: It is not there any more, or is another one of that name.
            StoreUnavailable: No answer, or a server error.
        """
        body = {"metadata": _exactly(instance), "status": patch}
        return await self._patch(self._api.patch_cluster_custom_object_status, instance, body)

    async def set_finalizer(self, instance: Instance, *, present: bool) -> Instance | None:
        """Add or take away our finalizer; others keep theirs."""
        others = [name for name in instance.finalizers if name != FINALIZER]
        finalizers = [*others, FINALIZER] if present else others
        body = {"metadata": {**_exactly(instance), "finalizers": finalizers or None}}
        try:
            updated = await self._patch(self._api.patch_cluster_custom_object, instance, body)
        except Gone:
            return None
        return None if updated.deleting and not updated.finalizers else updated

    async def record(self, instance: Instance, notice: KubeEvent) -> None:
        """Create an Event about the AirflowInstance."""
        about = {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "name": instance.name,
            "uid": instance.uid,
            "resourceVersion": instance.resource_version,
        }
        body = event(about, notice)
        await call(self._core.create_namespaced_event, body["metadata"]["namespace"], body, _request_timeout=TIMEOUT)

    async def _patch(self, method: Any, instance: Instance, body: Mapping[str, Any]) -> Instance:
        answer = await call(
            method,
            GROUP,
            VERSION,
            PLURAL,
            instance.name,
            body,
            _content_type=MERGE_PATCH,
            _request_timeout=TIMEOUT,
        )
        return Instance.from_object(answer)


def read(body: Mapping[str, Any]) -> Instance | None:
    """An object as an Instance. What doesn't fit the API is told of in it; None, and a line in the log, where even that is not to be had."""
    try:
        return Instance.from_object(body)
    except Exception:
        # Whatever is wrong with one object, those that came with it are read.
        log.exception("AirflowInstance %s can't be read and is left alone", (body.get("metadata") or {}).get("name"))
        return None


def _exactly(instance: Instance) -> dict[str, str]:
    return {"uid": instance.uid, "resourceVersion": instance.resource_version}
