"""Reads and writes MLJobs in the Kubernetes API, and reads the ConfigMaps and Secrets that the
MLJobs name.

The method ``write_status`` is inherited from :class:`.CustomObjects`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from typing import Any

from kubernetes.aio import client

from mljob_contract.airflow_instance import LabelSelector
from mljob_contract.mljob import FINALIZER, KIND, PLURAL, ConfSource
from mljob_contract.resource import GROUP, VERSION

from ...core.conf.conf import Source
from ...core.labels import query, selects
from ...core.mljob.resource.job import Job
from ...core.run.run_key import Key
from ...core.text.storable import cut
from ...errors import Gone, ReferenceMissing, StoreError, StoreForbidden, StoreUnavailable
from .custom_objects import CustomObjects, exactly, read_or_log
from .lists import list_objects
from .requests import TIMEOUT, call, decoded


class Jobs(CustomObjects[Job]):
    """Reads and writes MLJobs in the Kubernetes API.

    Args:
        api: The client.
        namespaces: The watched namespaces. If there are none, all namespaces are watched.
        selector: Selects the MLJobs of this operator.
        prefix: The prefix of this operator's dag run ids. An annotation of the MLJob may say how
            the MLJob has ended (:mod:`...core.mljob.resource.finished`). The annotation is ignored
            unless the run id in the annotation has this prefix, and is always ignored if ``prefix``
            is None.
    """

    def __init__(
        self,
        api: client.ApiClient,
        namespaces: Sequence[str] = (),
        selector: LabelSelector | None = None,
        *,
        prefix: str | None = None,
    ) -> None:
        read_object = partial(Job.from_object, prefix=prefix)
        super().__init__(api, kind=KIND, plural=PLURAL, finalizer=FINALIZER, from_object=read_object)
        self._prefix = prefix
        self._namespaces = tuple(namespaces)
        self._selector = selector or LabelSelector()

    async def list(self) -> AsyncIterator[Job]:
        """Yield all selected MLJobs in the watched namespaces. Only one page is in memory at a
        time.

        An MLJob that can't be read is logged and left out. If an MLJob changes during the call, the
        yielded version may be from before or after the change.

        Raises:
            StoreError: A page can't be read.
        """
        for namespace in self._namespaces or ("",):
            async for item in list_objects(*self._lister(namespace), **self._query()):
                if (job := read(item, self._prefix)) is not None:
                    yield job

    async def get(self, key: Key) -> Job | None:
        """Return the latest version of an MLJob.

        Return None if the MLJob does not exist, if its namespace is not watched, or if the selector
        does not select the MLJob.

        Raises:
            StoreUnavailable: There is no answer, or the answer is a server error or not a valid
                MLJob.
            StoreError: The API server refused the request, for example with 403.
        """
        return await self._get(key, self._selector)

    async def find(self, key: Key) -> Job | None:
        """Return the latest version of an MLJob, even if the selector does not select the MLJob.
        Return None if the MLJob does not exist, or if its namespace is not watched.

        Raises:
            StoreUnavailable: There is no answer, or the answer is a server error or not a valid
                MLJob.
            StoreError: The API server refused the request, for example with 403.
        """
        return await self._get(key, LabelSelector())

    async def _get(self, key: Key, selector: LabelSelector) -> Job | None:
        if self._namespaces and key[0] not in self._namespaces:
            return None
        try:
            body = await call(
                self._api.get_namespaced_custom_object, GROUP, VERSION, key[0], PLURAL, key[1], _request_timeout=TIMEOUT
            )
        except Gone:
            return None
        if (job := read(body, self._prefix)) is None:
            raise StoreUnavailable(f"MLJob {key[0]}/{key[1]} is there, and can't be read")
        return job if selects(selector, body["metadata"].get("labels") or {}) else None

    async def source(self, namespace: str, reference: ConfSource) -> Source | None:
        """Return the data of a ConfigMap or Secret in ``spec.confFrom``.

        Return None if the object does not exist and the reference to the object is optional.

        Raises:
            ReferenceMissing: The object does not exist and the reference is not optional, or the
                operator is not allowed to read the object, or the API server refuses the request
                for another reason.
            StoreUnavailable: There is no answer, or the answer is a server error.
        """
        secret = reference.secret_ref is not None
        named = reference.secret_ref or reference.config_map_ref
        assert named is not None
        kind = "Secret" if secret else "ConfigMap"
        read_one = self._core.read_namespaced_secret if secret else self._core.read_namespaced_config_map
        try:
            found = await call(read_one, named.name, namespace, _request_timeout=TIMEOUT)
        except Gone:
            if named.optional:
                return None
            raise ReferenceMissing(
                f"{kind} {named.name} (spec.confFrom) is not in namespace {namespace}; the run is submitted when it is there."
            ) from None
        except StoreUnavailable:
            raise
        except StoreForbidden as error:
            raise ReferenceMissing(
                f"the operator may not read {kind} {named.name} (spec.confFrom): "
                f"see confFrom in its chart's values. {_first_line(error)}"
            ) from error
        except StoreError as error:
            raise ReferenceMissing(
                f"{kind} {named.name} (spec.confFrom) can't be read: {_first_line(error)}"
            ) from error
        data = decoded(found.data) if secret else found.data or {}
        return Source(f"{kind} {named.name}", data, secret)

    async def delete(self, job: Job) -> None:
        """Delete exactly this version of an MLJob.

        Raises:
            Conflict: The MLJob has changed.
            Gone: The MLJob does not exist any more, or another MLJob has its name.
            StoreError: The request failed for another reason.
        """
        body = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
            "preconditions": exactly(job),
        }
        await call(
            self._api.delete_namespaced_custom_object,
            GROUP,
            VERSION,
            job.namespace,
            PLURAL,
            job.name,
            body=body,
            _request_timeout=TIMEOUT,
        )

    def _namespace_field(self, stored: Job) -> dict[str, str]:
        return {"namespace": stored.namespace}

    def _query(self) -> dict[str, str]:
        selector = query(self._selector)
        return {"label_selector": selector} if selector else {}

    def _lister(self, namespace: str) -> tuple[Any, ...]:
        if namespace:
            return self._api.list_namespaced_custom_object_without_preload_content, GROUP, VERSION, namespace, PLURAL
        return self._api.list_cluster_custom_object_without_preload_content, GROUP, VERSION, PLURAL


def read(body: Mapping[str, Any], prefix: str | None = None, earlier: Job | None = None) -> Job | None:
    """Read an MLJob from an object that the Kubernetes API returned. If the object can't be read,
    log the error and return None.

    If some fields don't fit the API's schema, ``Job.parsed.problem`` names them.

    Args:
        body: The API object.
        prefix: The prefix of this operator's dag run ids, as for :class:`Jobs`.
        earlier: The latest version of the MLJob that this process knows. If the object has the same
            version, this function returns ``earlier``.
    """

    def read_version(version: Mapping[str, Any]) -> Job:
        meta = version["metadata"]
        if earlier is not None and (earlier.uid, earlier.resource_version) == (
            meta["uid"],
            meta.get("resourceVersion"),
        ):
            return earlier
        return Job.from_object(version, earlier, prefix=prefix)

    return read_or_log(KIND, read_version, body)


def _first_line(error: StoreError) -> str:
    return cut(str(error).partition("\n")[0], 200)
