"""Observes kopf's requests to the Kubernetes API, and shortens the answers: the operator has listed
all objects before, and knows the versions that it has written itself.

kopf does not report when a list is complete. But kopf starts a watch only after the list is
complete. So a successful answer to a watch shows that the list is complete.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Iterable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit
from weakref import WeakSet

import aiohttp
import kopf

from mljob_contract import airflow_instance
from mljob_contract.mljob import PLURAL

from .authentication import Authentication
from .known_versions import ObserveKnown, leave_out_known_versions
from .kubernetes.client import in_cluster, server_in_cluster
from .kubernetes.lists import list_path
from .kubernetes.requests import explanation, unanswered
from .proxies import proxy_for

log = logging.getLogger(__name__)

LONGEST_DELAY = 10.0
"""The maximum number of seconds between two tries of a request."""


class EndlessBackoff:
    """The delays between kopf's tries of a failed request, in seconds.

    With kopf's default delays, the process would end after about a minute of server errors.
    """

    def __iter__(self) -> Iterator[float]:
        """Yield 1, 2, 4, 8, and then 10 seconds without an end."""
        return itertools.chain((1.0, 2.0, 4.0, 8.0), itertools.repeat(LONGEST_DELAY))


def credentials(**kwargs: Any) -> kopf.ConnectionInfo | None:
    """Return kopf's credentials from the pod's ServiceAccount or a kubeconfig. None if neither
    exists.

    In a pod, the API server's address is KUBERNETES_SERVICE_HOST. With kopf's default address,
    kubernetes.default.svc, requests could go through an HTTP proxy, because NO_PROXY may lack this
    name.
    """
    if not in_cluster():
        return kopf.login_with_kubeconfig(**kwargs)
    info = kopf.login_with_service_account(**kwargs)
    return replace(info, server=server_in_cluster()) if info is not None else None


class Watch:
    """Observes kopf's requests, to find out whether kopf has listed all watched resources.

    Args:
        namespaces: The namespaces whose MLJobs are watched. If empty, all namespaces are watched.
        authentication: Tracks whether the Kubernetes API accepts the operator's credentials.
        with_instances: Whether AirflowInstances and namespaces are watched as well.
        observe_known: Takes the versions of MLJobs that the operator knows already. kopf gets only
            the other versions.
    """

    def __init__(
        self,
        namespaces: Iterable[str],
        authentication: Authentication,
        *,
        with_instances: bool,
        observe_known: ObserveKnown,
    ) -> None:
        self._unlisted = {list_path(PLURAL, name) for name in namespaces} or {list_path(PLURAL)}
        if with_instances:
            self._unlisted |= {list_path(airflow_instance.PLURAL), "/api/v1/namespaces"}
        self._observe_known = observe_known
        self._versions: dict[str, str] = {}
        self._authentication = authentication
        self._problems: dict[str, str] = {}
        self._refusals = 0
        self._proxy: str | None = None

    @property
    def listed(self) -> bool:
        """Whether kopf has listed all watched resources. Once True, the value stays True."""
        return not self._unlisted

    def continue_list(self, path: str, resource_version: str) -> None:
        """Let kopf watch a resource from ``resource_version``, without a list of its own. Call this
        method after all objects of the resource were read. kopf lists the resource only if the API
        server does not know the changes since this version any more.

        Without this, kopf would read all MLJobs a second time when the operator starts.

        Args:
            path: The path of the list in the Kubernetes API.
            resource_version: The resourceVersion of the list.
        """
        self._versions[path] = resource_version

    async def session(self, info: kopf.ConnectionInfo) -> kopf.AiohttpSession:
        """Return an HTTP session for kopf that reports answers and errors to this object.

        After repeated 401 answers, the method first waits 1 to 10 seconds.
        """
        if self._refusals > 1:
            await asyncio.sleep(min(LONGEST_DELAY, 2.0 ** min(self._refusals - 2, 8)))
        self._proxy = info.proxy_url or proxy_for(info.server)
        trace = aiohttp.TraceConfig()
        answers: WeakSet[aiohttp.ClientResponse] = WeakSet()

        async def note(of: aiohttp.ClientSession, _: object, request: aiohttp.TraceRequestEndParams) -> None:
            answers.add(request.response)
            if of.closed:
                request.response.close()

        trace.on_request_end.append(note)
        trace.on_request_end.append(self._answered)
        trace.on_request_exception.append(self._failed)
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=info.as_ssl_context()),
            headers=info.as_http_headers(),
            proxy=self._proxy,
            trust_env=False,
            trace_configs=[trace],
        )
        _close_answers_with(session, answers)
        self._shorten_answers(session)
        return kopf.AiohttpSession(
            server=info.server,
            aiohttp_session=session,
            default_namespace=info.default_namespace,
            priority=info.priority,
            expiration=info.expiration,
        )

    def _shorten_answers(self, session: aiohttp.ClientSession) -> None:
        """Make ``session.request`` answer kopf's first list request about each resource of
        :meth:`continue_list`, and remove the known versions from watches of MLJobs.
        """
        send = session.request

        async def request(method: str, url: str, **options: Any) -> aiohttp.ClientResponse | _ContinuedList:
            to = urlsplit(url)
            parameters = parse_qs(to.query).keys()
            if not parameters & {"watch", "continue"}:
                for path in [path for path in self._versions if to.path.endswith(path)]:
                    return _ContinuedList(self._versions.pop(path))
            answer = await send(method=method, url=url, **options)
            if "watch" in parameters and to.path.endswith(f"/{PLURAL}"):
                leave_out_known_versions(answer, self._observe_known)
            return answer

        session.request = request  # type: ignore[method-assign, assignment]

    async def _answered(
        self, _: aiohttp.ClientSession, __: SimpleNamespace, request: aiohttp.TraceRequestEndParams
    ) -> None:
        path, answer = request.url.path, request.response
        self._authentication.answered(answer.status)
        if answer.status == 401:
            self._refusals += 1
        if answer.status >= 400:
            # The body of a 401 has no further information, and kopf may close the session while the
            # body is being read.
            body = await answer.text(errors="replace") if answer.status != 401 else ""
            self._log_problem(path, explanation(answer.status, answer.reason, body))
            return
        self._refusals = 0
        if self._problems.pop(path, None) is not None:
            log.info("%s is answered again", path)
        if "watch" in request.url.query:
            self._unlisted -= {unlisted for unlisted in self._unlisted if path.endswith(unlisted)}

    async def _failed(
        self, session: aiohttp.ClientSession, __: SimpleNamespace, request: aiohttp.TraceRequestExceptionParams
    ) -> None:
        error = request.exception
        # After a refused request, kopf closes the session. The errors of the other requests in the
        # closed session say nothing about the API.
        if isinstance(error, Exception) and not session.closed:
            self._log_problem(request.url.path, unanswered(error, self._proxy))

    def _log_problem(self, path: str, why: str) -> None:
        if self._problems.get(path) != why:
            self._problems[path] = why
            log.warning("%s can't be read: %s; it is tried again until it can", path, why)


class _ContinuedList:
    """The answer to a list request whose objects the operator has read already: a list without
    objects. It has those attributes of aiohttp's response that kopf uses.
    """

    status = 200

    def __init__(self, resource_version: str) -> None:
        self._resource_version = resource_version

    async def __aenter__(self) -> _ContinuedList:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def json(self) -> dict[str, Any]:
        return {"items": [], "metadata": {"resourceVersion": self._resource_version}}


def _close_answers_with(session: aiohttp.ClientSession, answers: Iterable[aiohttp.ClientResponse]) -> None:
    """Make ``session.close`` also close all open answers of the session.

    Otherwise, a later read of an open answer could raise RuntimeError, and kopf would end the
    process.
    """
    close = session.close

    async def closing() -> None:
        for answer in list(answers):
            answer.close()
        await close()

    session.close = closing  # type: ignore[method-assign]
