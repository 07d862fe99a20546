"""Watches of the ConfigMaps and Secrets that MLJobs wait for."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from http import HTTPStatus

from kubernetes.aio import client

from ...errors import StoreError
from ...ports import ConfObject
from .requests import TIMEOUT, call

WATCH = 300
"""``timeoutSeconds`` of the watch of one object."""
METADATA_ALONE = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
"""The representation of an object without its data (Kubernetes API concepts, "Metadata-only fetches")."""


class WatchedSources:
    """Watches of single ConfigMaps and Secrets, without their data.

    Each piece of data from the API server counts as a change. The operator reads the object itself
    when it makes the conf.
    """

    def __init__(self, api: client.ApiClient) -> None:
        self._core = client.CoreV1Api(api)

    async def of(self, reference: ConfObject) -> AsyncGenerator[None]:
        """Yield at each change, as :meth:`.SourceChanges.of`.

        ``GET
        /api/v1/namespaces/{namespace}/secrets?watch=true&fieldSelector=metadata.name={name}``.
        """
        watch = (
            self._core.list_namespaced_secret_without_preload_content
            if reference.kind == "Secret"
            else self._core.list_namespaced_config_map_without_preload_content
        )
        answer = await call(
            watch,
            reference.namespace,
            field_selector=f"metadata.name={reference.name}",
            watch=True,
            timeout_seconds=WATCH,
            _headers={"Accept": METADATA_ALONE},
            _request_timeout=WATCH + TIMEOUT,
        )
        try:
            if answer.status != HTTPStatus.OK:
                raise StoreError(f"watching {reference}: the Kubernetes API answered {answer.status}")
            while await call(answer.content.readany):
                yield
        finally:
            answer.close()
