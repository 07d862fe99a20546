"""The HTTP application of mljob-api."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from mljob_contract.mljob import PLURAL
from mljob_contract.run_api import RUN_API_VERSION, RUN_GROUP, RunSubresource

from ..errors import OperatorError
from .discovery import GROUP, GROUP_LIST, RESOURCE_LIST
from .errors import Refusal, refusal_of, response
from .front_proxy import FrontProxy
from .handlers import Handlers, routes
from .listener import TlsConnection
from .metrics import ApiMetrics
from .output import HAS_BEGUN, ClientGone
from .queries import job_of
from .request_limits import USER, RequestLimits

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_JOB = f"namespaces/{{namespace}}/{PLURAL}/{{name}}"
_BASE = f"/apis/{RUN_API_VERSION}"


class Application:
    """The HTTP application of mljob-api, with authentication, limits and error responses.

    Args:
        handlers: Answer the requests for subresources.
        proxy: Returns the :class:`.FrontProxy`, which describes the only client that may send
            requests. Returns None if no client may send requests.
        connection: Returns the connection of a request, or None if the connection is closed.
        limits: Limits the number of concurrent requests.
        metrics: Records the requests.
    """

    def __init__(
        self,
        handlers: Handlers,
        proxy: Callable[[], FrontProxy | None],
        connection: Callable[[web.Request], TlsConnection | None],
        limits: RequestLimits,
        metrics: ApiMetrics,
    ) -> None:
        self._proxy = proxy
        self._connection = connection
        self._limits = limits
        self._metrics = metrics
        self.app = web.Application(middlewares=[self._answer], client_max_size=1024)
        self.app.on_response_prepare.append(_without_version)
        for path, content in (("/apis", GROUP_LIST), (f"/apis/{RUN_GROUP}", GROUP), (_BASE, RESOURCE_LIST)):
            self.app.router.add_get(path, _json(content), allow_head=False)
        for subresource, handler in routes(handlers).items():
            self.app.router.add_get(
                f"{_BASE}/{_JOB}/{subresource}", self._in_a_place(handler), name=subresource, allow_head=False
            )
        watched = f"{_BASE}/watch/{_JOB}/{RunSubresource.EVENTS}"
        self.app.router.add_get(watched, self._in_a_place(handlers.watch_events), name="watch", allow_head=False)

    @web.middleware
    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        began = time.monotonic()
        subresource = _subresource(request)
        answer: web.StreamResponse | None = None
        try:
            request[USER] = self._user(request)
            answer = await handler(request)
        except (Refusal, OperatorError, TimeoutError, web.HTTPException) as error:
            answer = response(_refusal(error))
        except ClientGone:
            answer = web.Response(status=499)
        except Exception:
            log.exception("a request for %s failed: unexpected error", subresource)
            answer = response(Refusal(500, "mljob-api has failed. Its log has the cause."))
            if request.get(HAS_BEGUN) and request.transport is not None:
                # The client must not mistake the received part for the whole response.
                request.transport.abort()
        finally:
            code = answer.status if answer is not None else 499  # as nginx logs a client that left
            seconds = time.monotonic() - began
            self._metrics.request(subresource, code, seconds)
            # The API server asks for the list of resources many times a minute.
            level = logging.DEBUG if subresource == "other" and code < 500 else logging.INFO
            log.log(level, "%s %s: %d after %.1f s", request.method, request.path[:500], code, seconds)
        if answer.status in (400, 401, 413) and not answer.prepared:
            answer.force_close()
        return answer

    def _user(self, request: web.Request) -> str:
        """Return the name of the user.

        Raises:
            Refusal: The client is not the front proxy, the request names no user, or the request
                has a body.
        """
        connection, proxy = self._connection(request), self._proxy()
        if connection is not None:
            connection.has_asked.set()
        if connection is None or proxy is None or not connection.is_front_proxy:
            raise Refusal(
                401,
                "Only the Kubernetes API server may call mljob-api. Ask the Kubernetes API server for the same path, "
                f"for example with kubectl get --raw {_BASE}/...",
            )
        user = proxy.user(request.headers)
        if user is None:
            raise Refusal(401, f"The request names no user in the header {' or '.join(proxy.user_headers)}.")
        if request.body_exists:
            raise Refusal(413, "A request has no body here.")
        return user

    def _in_a_place(self, handler: Handler) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            namespace, _ = job_of(request)
            with self._limits.admit(request[USER], namespace):
                return await handler(request)

        return handle


async def _without_version(_: web.Request, answer: web.StreamResponse) -> None:
    # aiohttp's own header has the versions of Python and aiohttp.
    answer.headers["Server"] = "mljob-api"


def _json(content: Mapping[str, Any]) -> Handler:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.json_response(content)

    return answer


def _subresource(request: web.Request) -> str:
    """Return the name of a request's subresource in metrics: ``log``, ``events``, ``graph``,
    ``watch`` or ``other``.
    """
    name = request.match_info.route.name
    return name if name is not None and (name == "watch" or name in list(RunSubresource)) else "other"


def _refusal(error: Refusal | OperatorError | TimeoutError | web.HTTPException) -> Refusal:
    match error:
        case Refusal():
            return error
        case OperatorError():
            return refusal_of(error)
        case TimeoutError():
            return Refusal(504, "Airflow took too long to answer mljob-api. Try again later.")
        case web.HTTPNotFound():
            return Refusal(404, f"mljob-api has no such path. {_BASE} lists what there is.")
        case web.HTTPMethodNotAllowed():
            return Refusal(405, "mljob-api only reads: GET is the only method.")
    return Refusal(error.status, error.reason or "The request can't be answered.")
