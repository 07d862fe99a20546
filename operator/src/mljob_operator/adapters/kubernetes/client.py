"""Clients of the Kubernetes API: where it is, and how requests reach it."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from kubernetes.aio import client, config

from ...controllers.mljob.conf_sources import MAX_WATCHES
from ...errors import CannotStart, StoreUnavailable
from ..proxies import proxy_for
from .requests import NO_ANSWER, unanswered

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")


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
