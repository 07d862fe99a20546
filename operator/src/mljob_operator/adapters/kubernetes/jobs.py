"""Reads and writes MLJobs in the Kubernetes API.

This module also reads the ConfigMaps and Secrets in ``spec.confFrom`` of MLJobs.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
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
from .lists import list_objects, list_path
from .requests import TIMEOUT, call, decoded


class Jobs(CustomObjects[Job]):
    """Reads and writes MLJobs in the Kubernetes API.

    Args:
        api: The client for the Kubernetes API.
        namespaces: The watched namespaces. If empty, all namespaces are watched.
        selector: Selects the MLJobs of this operator. By default, all MLJobs are selected.
        prefix: The prefix of this operator's dag run ids, or None. If an MLJob has no status, its
            status is restored from the annotation ``mljob.dev/finished``. An annotation is ignored
            if the run id in the annotation does not have this prefix. If ``prefix`` is None, all
            these annotations are ignored.
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

    async def list(self, listed: Callable[[str, str], None] | None = None) -> AsyncIterator[Job]:
        """Yield all selected MLJobs in the watched namespaces. Only one page is in memory at a
        time.

        An MLJob that can't be read is logged and left out.

        Args:
            listed: Called for each list that is complete, with the path of the list in the
                Kubernetes API, and the resourceVersion from which a watch continues the list.

        Raises:
            StoreError: A page can't be read.
        """
        for namespace in self._namespaces or ("",):
            note = partial(listed, list_path(PLURAL, namespace)) if listed is not None else None
            async for item in list_objects(*self._lister(namespace), listed=note, **self._query()):
                if (job := read(item, self._prefix)) is not None:
                    yield job

    async def get(self, key: Key) -> Job | None:
        """Return the latest version of an MLJob.

        Return None if the MLJob does not exist, is not selected, or is in a namespace that is not
        watched.

        Raises:
            StoreUnavailable: No answer, a server error, too many requests (429), or an answer that
                can't be read.
            StoreError: Another failure, for example a missing permission.
        """
        return await self._get(key, self._selector)

    async def find(self, key: Key) -> Job | None:
        """Return the latest version of an MLJob, even if the MLJob is not selected.

        Return None if the MLJob does not exist or is in a namespace that is not watched.

        Raises:
            StoreUnavailable: No answer, a server error, too many requests (429), or an answer that
                can't be read.
            StoreError: Another failure, for example a missing permission.
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

        Return None if the reference is optional and the object does not exist.

        Raises:
            ReferenceMissing: The object does not exist and the reference is not optional, or the
                API server refuses the request.
            StoreUnavailable: No answer, a server error, too many requests (429), or an answer that
                can't be read.
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
            Gone: The MLJob was deleted. A new MLJob may have its name.
            StoreError: Another failure.
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
    """Read an MLJob from an API object. If this fails, log the error and return None.

    If only some fields are invalid, ``Job.parsed.problem`` names the fields.

    Args:
        body: The API object.
        prefix: The prefix of this operator's dag run ids, as for :class:`Jobs`.
        earlier: An earlier version of the same MLJob, or None. This function returns ``earlier`` if
            the MLJob has not changed.
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
