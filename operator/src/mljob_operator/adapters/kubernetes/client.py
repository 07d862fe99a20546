"""Makes clients for the Kubernetes API."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from kubernetes.aio import client, config

from ...controllers.mljob.conf_sources import MAX_WATCHES
from ...errors import CannotStart, StoreUnavailable
from ...ports import Gate
from ..proxies import proxy_for
from .requests import NO_ANSWER, unanswered

READING = frozenset({"GET", "HEAD", "OPTIONS"})
"""The methods of requests that change nothing (RFC 9110, section 9.2.1)."""
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")


async def connect(*, for_watches: bool = False) -> client.ApiClient:
    """Make a client for the Kubernetes API.

    The environment variable KUBECONFIG names the kubeconfig. Without this variable, the client uses
    the pod's ServiceAccount. Without a ServiceAccount, the client uses ``~/.kube/config``.

    Args:
        for_watches: Make a client for ``MAX_WATCHES`` concurrent watches. The client has small read
            buffers.

    Raises:
        CannotStart: The kubeconfig or the ServiceAccount is missing or invalid.
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
        # The Kubernetes client raises exceptions of many classes if the file does not exist or is
        # not a kubeconfig.
        source = "the pod's ServiceAccount" if in_cluster() else os.environ.get("KUBECONFIG") or "~/.kube/config"
        raise CannotStart(
            f"KUBECONFIG: {source} does not say how to reach the Kubernetes API: {type(error).__name__}: {' '.join(str(error).split())}",
            code=2,
        ) from error


async def _configure(configuration: client.Configuration) -> None:
    if in_cluster():
        config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    else:
        # The path is passed explicitly, because the Kubernetes client reads KUBECONFIG only once,
        # when the client is imported.
        named = os.environ.get("KUBECONFIG") or None
        await config.load_kube_config(named, client_configuration=configuration)  # type: ignore[no-untyped-call]
    # With trust_env, aiohttp would look for a proxy and a .netrc before every request, in another
    # thread, and this would delay every status. The environment does not change, so the operator
    # looks for the proxy once.
    configuration.client_session_kwargs = {"trust_env": False}
    configuration.proxy = configuration.proxy or proxy_for(configuration.host)


def in_cluster() -> bool:
    """Return whether the operator authenticates with the pod's ServiceAccount. If the environment
    variable KUBECONFIG is set, the result is False, also in a pod.
    """
    return not os.environ.get("KUBECONFIG") and SERVICE_ACCOUNT.exists()


def credentials_advice(namespace: str) -> str:
    """Return a log text that helps when the Kubernetes API refuses the operator's credentials.

    Args:
        namespace: The operator's namespace.
    """
    if in_cluster():
        return (
            f"Check that the operator's ServiceAccount exists in namespace {namespace}. If the ServiceAccount was "
            "deleted and created again, the Pod's token is no longer valid: delete the Pod, and its Deployment "
            "creates a Pod with a new token"
        )
    return f"Check the user and the token in {os.environ.get('KUBECONFIG') or '~/.kube/config'}"


def server_in_cluster() -> str:
    """Return the URL of the Kubernetes API, from the environment variables of the pod."""
    host = os.environ["KUBERNETES_SERVICE_HOST"]
    return f"https://{f'[{host}]' if ':' in host else host}:{os.environ['KUBERNETES_SERVICE_PORT']}"


def observed(api: client.ApiClient, answered: Callable[[int], None]) -> client.ApiClient:
    """Make the client call ``answered`` with the HTTP status of each answer. Return the client."""
    ask: Callable[..., Awaitable[Any]] = api.rest_client.request

    async def request(*args: Any, **kwargs: Any) -> Any:
        answer = await ask(*args, **kwargs)
        answered(answer.status)
        return answer

    api.rest_client.request = request  # type: ignore[method-assign]
    return api


def gated(api: client.ApiClient, gate: Gate) -> client.ApiClient:
    """Make the client call ``gate.check`` before each write. Return the client.

    If this process is not the leader, each write raises NotLeading.
    """
    ask: Callable[..., Awaitable[Any]] = api.rest_client.request

    async def request(method: str, *args: Any, **kwargs: Any) -> Any:
        if method.upper() not in READING:
            gate.check()
        return await ask(method, *args, **kwargs)

    api.rest_client.request = request  # type: ignore[method-assign]
    return api


def _through(proxy: str, request: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """Wrap ``request``, which sends requests through the HTTP proxy ``proxy``. If the Kubernetes API
    does not answer, the wrapper raises StoreUnavailable, with a message that names the proxy.
    """

    async def through(*args: Any, **kwargs: Any) -> Any:
        try:
            return await request(*args, **kwargs)
        except NO_ANSWER as error:
            raise StoreUnavailable(unanswered(error, proxy)) from error

    return through
