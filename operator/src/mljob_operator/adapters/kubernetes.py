"""The Kubernetes API, through the asyncio part of the official client.

Every write is a JSON merge patch that names the version it was made from (resourceVersion), so a
stale one is refused with 409 instead of undoing somebody's change.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, Generic, TypeVar

import aiohttp
from kubernetes.aio import client, config
from kubernetes.aio.client.exceptions import ApiException

from mljob_contract.mljob import API_VERSION, FINALIZER, GROUP, KIND, PLURAL, VERSION, ConfSource

from ..controllers.mljob.conf_sources import MAX_WATCHES
from ..core.airflow_instance.instance import Instance
from ..core.conf.conf import Source
from ..core.mljob.job import Job
from ..core.run.run_key import Key
from ..core.status.events import KubeEvent
from ..core.text.storable import cut
from ..errors import CannotStart, Conflict, Gone, ReferenceMissing, Refused, StoreError, StoreUnavailable
from ..ports import ConfObject
from .proxies import proxy_for, shown

log = logging.getLogger(__name__)

COMPONENT = "mljob-operator"
MERGE_PATCH = "application/merge-patch+json"
TIMEOUT = 15.0
"""Seconds for one request."""
WATCH = 300
"""``timeoutSeconds`` of the watch of one object."""
METADATA_ALONE = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
"""The representation of an object without its data (Kubernetes API concepts, "Metadata-only fetches")."""
PAGE = 100
"""Objects in one answer to a list.

A finished MLJob may have 64 KiB of status: a page of them is held in memory several times while it
is read.
"""
NO_ANSWER = (TimeoutError, aiohttp.ClientError, OSError)
"""The errors of aiohttp for a request without an answer."""
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")


T = TypeVar("T", Job, Instance)


class CustomObjects(Generic[T]):
    """The objects of one custom resource of the operator's API group, and the writes that all stores share.

    Args:
        kind: The resource's kind, for Events.
        plural: The resource's name in the API.
        finalizer: The operator's finalizer.
        from_object: Reads an object as the API server sends it; also given the version that a
            write was about.
    """

    def __init__(
        self,
        api: client.ApiClient,
        *,
        kind: str,
        plural: str,
        finalizer: str,
        from_object: Callable[[Mapping[str, Any], T], T],
    ) -> None:
        self._api = client.CustomObjectsApi(api)
        self._core = client.CoreV1Api(api)
        self._kind = kind
        self._plural = plural
        self._finalizer = finalizer
        self._from_object: Callable[[Mapping[str, Any], T], T] = from_object

    async def write_status(self, stored: T, patch: Mapping[str, Any]) -> T:
        """Patch ``/status`` of exactly this version.

        Raises:
            Conflict: The object has changed.
            Gone: The object is not there any more, or another object has its name.
            Refused: The status is invalid.
            StoreUnavailable: No answer, or a server error.
        """
        return await self._patch(stored, {"metadata": exactly(stored), "status": patch}, status=True)

    async def set_finalizer(self, stored: T, *, present: bool) -> T | None:
        """Add or remove the operator's finalizer; other finalizers stay.

        None when the object was deleted with the finalizer.

        Raises:
            Conflict: The object has changed.
            StoreUnavailable: No answer, or a server error.
        """
        finalizers = [name for name in stored.finalizers if name != self._finalizer]
        if present:
            finalizers.append(self._finalizer)
        try:
            updated = await self._patch(stored, {"metadata": {**exactly(stored), "finalizers": finalizers or None}})
        except Gone:
            return None
        return None if updated.deleting and not updated.finalizers else updated

    async def record(self, stored: T, notice: KubeEvent) -> None:
        """Create an Event about the object, for ``kubectl describe``.

        Raises:
            StoreError: The Event was refused, or there is no answer. An Event in a namespace that
                is being deleted is dropped.
        """
        about = {"apiVersion": API_VERSION, "kind": self._kind, "name": stored.name}
        about |= {"uid": stored.uid, "resourceVersion": stored.resource_version, **self._place(stored)}
        body = event(about, notice)
        namespace = body["metadata"]["namespace"]
        try:
            await call(self._core.create_namespaced_event, namespace, body, _request_timeout=TIMEOUT)
        except Gone as error:
            # The namespace is being deleted and takes no new object, so nobody would read the
            # Event.
            log.debug("%s %s/%s: no Event %s: %s", self._kind, namespace, stored.name, notice.reason, error)

    def _place(self, stored: T) -> dict[str, str]:
        """The namespace of an object, as an argument; none where the resource is cluster-scoped."""
        return {}

    async def _patch(self, stored: T, body: Mapping[str, Any], *, status: bool = False) -> T:
        api = self._api
        method: Any
        if place := self._place(stored):
            method = api.patch_namespaced_custom_object_status if status else api.patch_namespaced_custom_object
        else:
            method = api.patch_cluster_custom_object_status if status else api.patch_cluster_custom_object
        answer = await call(
            method,
            group=GROUP,
            version=VERSION,
            plural=self._plural,
            name=stored.name,
            body=body,
            **place,
            _content_type=MERGE_PATCH,
            _request_timeout=TIMEOUT,
        )
        return self._from_object(answer, stored)


def exactly(stored: Job | Instance) -> dict[str, str]:
    """The uid and resourceVersion that a write names: the API server refuses the write for another version."""
    return {"uid": stored.uid, "resourceVersion": stored.resource_version}


class Jobs(CustomObjects[Job]):
    """The store of MLJobs.

    Args:
        namespaces: The watched namespaces; empty: all.
    """

    def __init__(self, api: client.ApiClient, namespaces: Sequence[str] = ()) -> None:
        super().__init__(api, kind=KIND, plural=PLURAL, finalizer=FINALIZER, from_object=Job.from_object)
        self._namespaces = tuple(namespaces)

    async def list(self) -> AsyncIterator[Job]:
        """All MLJobs in the watched namespaces, with one page in memory at a time.

        An MLJob that can't be read is logged and left out. An MLJob may come twice, or in a version
        that is not its latest.
        """
        for namespace in self._namespaces or ("",):
            async for item in list_objects(*self._lister(namespace)):
                if (job := read(item)) is not None:
                    yield job

    async def get(self, key: Key) -> Job | None:
        """The latest version of an MLJob; None where there is none, or its namespace is not watched.

        Raises:
            StoreUnavailable: No answer, a server error, or an MLJob that can't be read.
        """
        if self._namespaces and key[0] not in self._namespaces:
            return None
        try:
            body = await call(
                self._api.get_namespaced_custom_object, GROUP, VERSION, key[0], PLURAL, key[1], _request_timeout=TIMEOUT
            )
        except Gone:
            return None
        if (job := read(body)) is None:
            raise StoreUnavailable(f"MLJob {key[0]}/{key[1]} is there, and can't be read")
        return job

    async def source(self, namespace: str, reference: ConfSource) -> Source | None:
        """The data of a ConfigMap or Secret; None where an optional one does not exist.

        Raises:
            ReferenceMissing: The object does not exist, or the operator may not read it.
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
        except StoreError as error:
            raise ReferenceMissing(
                f"the operator may not read {kind} {named.name} (spec.confFrom): "
                f"see confFrom in its chart's values. {_first_line(error)}"
            ) from error
        data = decoded(found.data) if secret else found.data or {}
        return Source(f"{kind} {named.name}", data, secret)

    async def delete(self, job: Job) -> None:
        """Delete exactly this version.

        Raises:
            Conflict: The MLJob has changed.
            Gone: The MLJob does not exist any more.
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

    def _place(self, stored: Job) -> dict[str, str]:
        return {"namespace": stored.namespace}

    def _lister(self, namespace: str) -> tuple[Any, ...]:
        if namespace:
            return self._api.list_namespaced_custom_object_without_preload_content, GROUP, VERSION, namespace, PLURAL
        return self._api.list_cluster_custom_object_without_preload_content, GROUP, VERSION, PLURAL


async def connect(*, for_watches: bool = False) -> client.ApiClient:
    """Make a client, with the kubeconfig that KUBECONFIG names, the pod's ServiceAccount, or ``~/.kube/config``.

    Args:
        for_watches: Make a client for watches of single objects. Each such watch keeps a
            connection, so watches get a client of their own, which leaves the other client's
            connections to requests. What the watches receive is discarded, so little of it is
            buffered.

    Raises:
        CannotStart: None of these names the Kubernetes API.
    """
    configuration = client.Configuration()
    configuration.connection_pool_maxsize = MAX_WATCHES if for_watches else 64
    try:
        await _configure(configuration)
        if for_watches:
            configuration.client_session_kwargs = {**(configuration.client_session_kwargs or {}), "read_bufsize": 2**14}
        api = client.ApiClient(configuration)
        if configuration.proxy:
            api.rest_client.request = _through(configuration.proxy, api.rest_client.request)  # type: ignore[assignment, method-assign]
        return api
    except Exception as error:
        # For a file that does not exist or is no kubeconfig, the client raises errors of many
        # classes.
        source = "the pod's ServiceAccount" if in_cluster() else os.environ.get("KUBECONFIG") or "~/.kube/config"
        raise CannotStart(
            f"KUBECONFIG: {source} does not say how to reach the Kubernetes API: {type(error).__name__}: {' '.join(str(error).split())}",
            code=2,
        ) from error


async def _configure(configuration: client.Configuration) -> None:
    if in_cluster():
        config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    else:
        # Passed explicitly, because the client reads the variable at import.
        named = os.environ.get("KUBECONFIG") or None
        await config.load_kube_config(named, client_configuration=configuration)  # type: ignore[no-untyped-call]
    # By default aiohttp looks for a proxy and a .netrc before every request, each in another
    # thread, which delays every status. The environment does not change, so it is read once.
    configuration.client_session_kwargs = {"trust_env": False}
    configuration.proxy = configuration.proxy or proxy_for(configuration.host)


async def list_objects(lister: Any, *place: str) -> AsyncIterator[Any]:
    """The objects of a list in JSON, read in pages.

    The pages need not be of one moment: where reading takes longer than the API server keeps old
    versions, the list continues with the current ones.

    Args:
        lister: The client's method without preload.
        place: The method's arguments.

    Raises:
        StoreError: A page can't be read.
    """
    token: str | None = ""
    while token is not None:
        page = await call(_page, lister, *place, token=token)
        for item in page.pop("items"):
            yield item
        token = (page.get("metadata") or {}).get("continue") or None


async def _page(lister: Any, *place: str, token: str) -> dict[str, Any]:
    """One page of a list; empty where the continue token has expired and the API server gave a new one."""
    further = {"_continue": token} if token else {}
    answer = await lister(*place, limit=PAGE, _request_timeout=TIMEOUT, **further)
    body = await answer.read()
    page = _json(body)
    if answer.status == 410 and token and (page.get("metadata") or {}).get("continue"):
        return {**page, "items": []}
    if answer.status != 200:
        raise ApiException(status=answer.status, reason=answer.reason, body=body.decode(errors="replace"))
    if not isinstance(page.get("items"), list):
        raise StoreUnavailable(
            "the Kubernetes API answered a list request with something else than a list; is it behind a proxy?"
        )
    return page


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


class OperatorEvents:
    """Events about the operator itself.

    Args:
        namespace: The operator's namespace.
        pod: The name of the operator's Pod; None: the operator runs outside of a Pod, and the
            Events are about the namespace.
        uid: The Pod's uid.
    """

    def __init__(self, api: client.ApiClient, namespace: str, pod: str | None, uid: str | None) -> None:
        self._core = client.CoreV1Api(api)
        self._about = {"apiVersion": "v1", "namespace": namespace}
        self._about |= (
            {"kind": "Pod", "name": pod, "uid": uid or ""} if pod else {"kind": "Namespace", "name": namespace}
        )

    async def record(self, notice: KubeEvent) -> None:
        """Create an Event about the operator."""
        body = event(self._about, notice)
        await call(self._core.create_namespaced_event, body["metadata"]["namespace"], body, _request_timeout=TIMEOUT)


async def call(method: Any, *args: Any, **kwargs: Any) -> Any:
    """Call a method of the client, and map every error.

    Raises:
        StoreError: The request failed.
    """
    try:
        return await method(*args, **kwargs)
    except ApiException as error:
        raise _mapped(error) from error
    except NO_ANSWER as error:
        raise StoreUnavailable(unanswered(error, None)) from error
    except (ValueError, RecursionError) as error:
        raise StoreUnavailable(f"the answer of the Kubernetes API can't be read: {str(error)[:200]}") from error


def event(about: Mapping[str, Any], notice: KubeEvent) -> dict[str, Any]:
    """A Kubernetes Event. Events about cluster-scoped objects are in namespace default."""
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "metadata": {
            "name": f"{about['name']}.{uuid.uuid4().hex[:16]}",
            "namespace": about.get("namespace", "default"),
        },
        "involvedObject": dict(about),
        "type": notice.type,
        "reason": notice.reason,
        "message": notice.message,
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "firstTimestamp": stamp,
        "lastTimestamp": stamp,
        "count": 1,
    }


def decoded(data: Mapping[str, str] | None) -> dict[str, str]:
    """The data of a Secret as text."""
    return {key: base64.b64decode(value).decode(errors="replace") for key, value in (data or {}).items()}


def in_cluster() -> bool:
    """Whether to use the pod's ServiceAccount. If KUBECONFIG names a kubeconfig, that file takes precedence, even in a pod."""
    return not os.environ.get("KUBECONFIG") and SERVICE_ACCOUNT.exists()


def credentials_advice(namespace: str) -> str:
    """Advice for the case that the Kubernetes API refuses the operator's credentials.

    Args:
        namespace: The operator's namespace.
    """
    if in_cluster():
        return (
            f"Check that the operator's ServiceAccount is in namespace {namespace}, and was not made again since the Pod was: its token counts no more "
            "then, and a Pod that you delete comes back with a new one"
        )
    return f"Check the user and the token in {os.environ.get('KUBECONFIG') or '~/.kube/config'}"


def server_in_cluster() -> str:
    """The URL of the Kubernetes API inside a pod."""
    host = os.environ["KUBERNETES_SERVICE_HOST"]
    return f"https://{f'[{host}]' if ':' in host else host}:{os.environ['KUBERNETES_SERVICE_PORT']}"


def observed(api: client.ApiClient, answered: Callable[[int], None]) -> client.ApiClient:
    """The same client, which calls ``answered`` with the status of each answer."""
    ask: Callable[..., Awaitable[Any]] = api.rest_client.request

    async def request(*args: Any, **kwargs: Any) -> Any:
        answer = await ask(*args, **kwargs)
        answered(answer.status)
        return answer

    api.rest_client.request = request  # type: ignore[method-assign]
    return api


def _through(proxy: str, request: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """The client's ``request``, whose errors name the proxy."""

    async def through(*args: Any, **kwargs: Any) -> Any:
        try:
            return await request(*args, **kwargs)
        except NO_ANSWER as error:
            raise StoreUnavailable(unanswered(error, proxy)) from error

    return through


def unanswered(error: BaseException, proxy: str | None) -> str:
    """The message for a request without an answer, with the proxy in use."""
    if isinstance(error, aiohttp.ClientHttpProxyError):
        # The text of the error has the proxy's URL with user and password.
        cause = f"the proxy answered {error.status} {error.message}"
    else:
        cause = str(error) or type(error).__name__
    way = f" through the proxy {shown(proxy)} (HTTPS_PROXY, HTTP_PROXY, NO_PROXY)" if proxy else ""
    return f"the Kubernetes API did not answer{way}: {cause}"


def read(body: Mapping[str, Any]) -> Job | None:
    """An MLJob; None, with a line in the log, where it can't be read at all.

    What doesn't fit the API is in ``Job.parsed.problem``.
    """
    return read_or_log(KIND, Job.from_object, body)


def read_or_log(kind: str, from_object: Callable[[Mapping[str, Any]], T], body: Mapping[str, Any]) -> T | None:
    """An object read by ``from_object``; None, with a line in the log, where ``from_object`` raises."""
    try:
        return from_object(body)
    except Exception:
        # Whatever is wrong with one object, the others of the list are read.
        meta = body.get("metadata") or {}
        name = "/".join(str(meta[part]) for part in ("namespace", "name") if meta.get(part))
        log.exception("%s %s can't be read and is left alone", kind, name)
        return None


def _first_line(error: StoreError) -> str:
    return cut(str(error).partition("\n")[0], 200)


def explanation(status: int, reason: str | None, body: str) -> str:
    """One line about an answer with an error status.

    It has the message of a Status object or the beginning of plain text, and nothing of HTML or
    other JSON.
    """
    message = _json(body).get("message") or ("" if body.lstrip()[:1] in ("<", "{", "[") else body)
    return f"the Kubernetes API answered {status} {reason}: {cut(' '.join(str(message).split()), 300)}".rstrip(": ")


def _json(text: str | bytes) -> dict[str, Any]:
    """A JSON object; an empty one for anything else."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _is_ending(answer: Mapping[str, Any]) -> bool:
    """Whether the refusal says that the namespace is being deleted, so that nothing can be created there."""
    details = answer.get("details")
    causes = details.get("causes") if isinstance(details, Mapping) else None
    return any(isinstance(cause, Mapping) and cause.get("reason") == "NamespaceTerminating" for cause in causes or ())


def _mapped(error: ApiException) -> StoreError:
    status, body = error.status or 0, str(error.body or "")
    text = explanation(status, error.reason, body)
    if status == 404:
        # A 404 of a proxy, or of an API server without the CRDs, says nothing about the object.
        return Gone(text) if _json(body).get("reason") == "NotFound" else StoreUnavailable(text)
    if status == 409:
        return Gone(text) if "uid" in body and "Precondition" in body else Conflict(text)
    if status == 403 and _is_ending(_json(body)):
        return Gone(text)
    if status in (429, 0) or status >= 500:
        return StoreUnavailable(text)
    if status in (400, 413, 422):
        return Refused(text)
    return StoreError(text)
