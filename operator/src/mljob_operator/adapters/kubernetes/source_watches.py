"""Watches the ConfigMaps and Secrets that MLJobs wait for."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from http import HTTPStatus

from kubernetes.aio import client

from ...errors import StoreError
from ...ports import ConfObject
from .requests import TIMEOUT, call

WATCH = 300
"""The query parameter ``timeoutSeconds`` of a watch. The API server ends the watch after this
number of seconds.
"""
METADATA_ALONE = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
"""The media type of answers that have only the metadata of objects. Source: Kubernetes'
documentation, "Kubernetes API Concepts", metadata-only fetches.
"""


class WatchedSources:
    """Watches single ConfigMaps and Secrets. The API server sends only the objects' metadata."""

    def __init__(self, api: client.ApiClient) -> None:
        self._core = client.CoreV1Api(api)

    async def of(self, reference: ConfObject) -> AsyncGenerator[None]:
        """Watch an object. Yield None after each change, and once at the start if the object
        exists. Several changes in quick succession may yield a single None.

        The iterator ends when the API server ends the watch, at the latest after ``WATCH`` seconds.

        Raises:
            StoreError: The Kubernetes API does not answer, or refuses the watch.
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
