"""kopf's way to the Kubernetes API: a session that tells what becomes of kopf's requests.

kopf has no word for "the watch has listed": an empty list makes no event. But it asks for a watch only after it has read the whole list and
handed its objects on, so the answer 200 to the watch says that. An ``aiohttp`` session of our own, which kopf takes from the login handler,
sees the answers; nothing of kopf's inside is touched.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Iterable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from weakref import WeakSet

import aiohttp
import kopf

from mljob_contract import airflow_instance
from mljob_contract.mljob import GROUP, PLURAL, VERSION

from .authentication import Authentication
from .kubernetes import explanation, in_cluster, server_in_cluster, unanswered
from .proxies import proxy_for

log = logging.getLogger(__name__)

LONGEST_DELAY = 10.0
"""Seconds between two tries."""


class Patience:
    """Seconds between tries of a request, without an end: by default kopf gives up after a minute, and with that the process."""

    def __iter__(self) -> Iterator[float]:
        """One, two, four, eight, and then ten for ever."""
        return itertools.chain((1.0, 2.0, 4.0, 8.0), itertools.repeat(LONGEST_DELAY))


def credentials(**kwargs: Any) -> kopf.ConnectionInfo | None:
    """What kopf logs in with: the pod's ServiceAccount, or a kubeconfig.

    In a pod kopf asks for ``kubernetes.default.svc``, the client for the address in the environment, as client-go does. It has to be one address: NO_PROXY
    may have the one and not the other.
    """
    if not in_cluster():
        return kopf.login_with_kubeconfig(**kwargs)
    info = kopf.login_with_service_account(**kwargs)
    return replace(info, server=server_in_cluster()) if info is not None else None


class Watch:
    """What kopf watches, and how that goes.

    Args:
        namespaces: Whose MLJobs; empty: all.
        authentication: Is told of each answer.
        with_instances: Whether AirflowInstances and namespaces are watched as well.
    """

    def __init__(self, namespaces: Iterable[str], authentication: Authentication, *, with_instances: bool) -> None:
        root = f"/apis/{GROUP}/{VERSION}"
        self._unlisted = {f"{root}/namespaces/{name}/{PLURAL}" for name in namespaces} or {f"{root}/{PLURAL}"}
        if with_instances:
            self._unlisted |= {f"{root}/{airflow_instance.PLURAL}", "/api/v1/namespaces"}
        self._authentication = authentication
        self._complaints: dict[str, str] = {}
        self._refusals = 0
        self._proxy: str | None = None

    @property
    def listed(self) -> bool:
        """Whether everything that is to be watched was listed, and the watches have begun."""
        return not self._unlisted

    async def session(self, info: kopf.ConnectionInfo) -> kopf.AiohttpSession:
        """A session as kopf would make it, with us looking on.

        kopf asks for another one when its credentials are refused. A ServiceAccount's token is renewed in its file, so the second try is at
        once; those after it are not, for they are likely to be refused as well.
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
        _end_what_is_read_with(session, answers)
        return kopf.AiohttpSession(
            server=info.server,
            aiohttp_session=session,
            default_namespace=info.default_namespace,
            priority=info.priority,
            expiration=info.expiration,
        )

    async def _answered(
        self, _: aiohttp.ClientSession, __: SimpleNamespace, request: aiohttp.TraceRequestEndParams
    ) -> None:
        path, answer = request.url.path, request.response
        self._authentication.answered(answer.status)
        if answer.status == 401:
            self._refusals += 1
        if answer.status >= 400:
            # What Kubernetes says beside 401 is that word again, and kopf may close the session before that is read.
            body = await answer.text(errors="replace") if answer.status != 401 else ""
            self._complain(path, explanation(answer.status, answer.reason, body))
            return
        self._refusals = 0
        if self._complaints.pop(path, None) is not None:
            log.info("%s is answered again", path)
        if "watch" in request.url.query:
            self._unlisted -= {known for known in self._unlisted if path.endswith(known)}

    async def _failed(
        self, session: aiohttp.ClientSession, __: SimpleNamespace, request: aiohttp.TraceRequestExceptionParams
    ) -> None:
        error = request.exception
        # kopf closes the session when one of its requests is refused, and with that ends the others.
        if isinstance(error, Exception) and not session.closed:
            self._complain(request.url.path, unanswered(error, self._proxy))

    def _complain(self, path: str, why: str) -> None:
        """Once for each cause; kopf would repeat it with each try."""
        if self._complaints.get(path) != why:
            self._complaints[path] = why
            log.warning("%s can't be read: %s; it is tried again until it can", path, why)


def _end_what_is_read_with(session: aiohttp.ClientSession, answers: Iterable[aiohttp.ClientResponse]) -> None:
    """Have the session's end tell whoever still reads an answer.

    kopf closes the session when one of its watches is refused (401). It ends the answers that it knows, and does not know one that comes in at that moment: the
    reader of that gets a RuntimeError of aiohttp's instead of a ClientConnectionError, and kopf ends with it.
    """
    close = session.close

    async def closing() -> None:
        for answer in list(answers):
            answer.close()
        await close()

    session.close = closing  # type: ignore[method-assign]
