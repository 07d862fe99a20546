"""Serves a simulated Airflow over HTTP on loopback."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar
from urllib.parse import parse_qs

from aiohttp import web

from devstack.ports import HOST

from . import backfill_routes, control_routes, dag_routes, run_routes, task_routes
from .airflow import SimulatedAirflow
from .faults import RequestFault
from .requests import Answer, Refused, Request

MAX_BODY = 4 * 1024 * 1024
"""The maximum size of a request's body, in bytes."""
PREFIX = "/api/v2"
_RUNS = "/dags/{dag_id}/dagRuns"
_RUN = _RUNS + "/{run_id}"
_TASK = _RUN + "/taskInstances/{task_id}"

Route = Callable[[SimulatedAirflow, Request], Answer]
T = TypeVar("T")

ROUTES: list[tuple[str, str, Route]] = [
    ("GET", "/version", dag_routes.get_version),
    ("GET", "/monitor/health", dag_routes.get_health),
    ("GET", "/importErrors", dag_routes.list_import_errors),
    ("GET", "/dags", dag_routes.list_dags),
    ("GET", "/dags/{dag_id}", dag_routes.get_dag),
    ("PATCH", "/dags/{dag_id}", dag_routes.patch_dag),
    ("GET", "/dags/{dag_id}/details", dag_routes.get_details),
    ("GET", "/dags/{dag_id}/tasks", dag_routes.list_tasks),
    ("POST", _RUNS, run_routes.trigger),
    ("GET", _RUNS, run_routes.list_runs),
    ("GET", _RUN, run_routes.get_run),
    ("PATCH", _RUN, run_routes.patch_run),
    ("DELETE", _RUN, run_routes.delete_run),
    ("POST", _RUN + "/clear", run_routes.clear_run),
    ("GET", _RUN + "/taskInstances", task_routes.list_task_instances),
    ("PATCH", _RUN + "/taskInstances", task_routes.set_task_instances),
    ("GET", _RUN + "/hitlDetails", task_routes.list_questions),
    ("GET", _TASK + "/logs/{try_number}", task_routes.get_log),
    ("GET", _TASK + "/xcomEntries", task_routes.list_xcoms),
    ("GET", _TASK + "/xcomEntries/{key}", task_routes.get_xcom),
    # After the routes with a fixed last part, because {map_index} matches any text.
    ("GET", _TASK + "/{map_index}", task_routes.get_mapped_task_instance),
    ("GET", "/backfills", backfill_routes.list_backfills),
    ("POST", "/backfills", backfill_routes.create_backfill),
    ("PUT", "/backfills/{backfill_id}/pause", backfill_routes.pause_backfill),
    ("PUT", "/backfills/{backfill_id}/unpause", backfill_routes.unpause_backfill),
    ("PUT", "/backfills/{backfill_id}/cancel", backfill_routes.cancel_backfill),
]
CONTROL: list[tuple[str, str, Route]] = [
    ("GET", "/simulation", control_routes.get_counts),
    ("PUT", "/simulation/faults", control_routes.put_faults),
    ("GET", "/simulation/ends", control_routes.get_ends),
    ("GET", "/simulation/task-ends", control_routes.get_task_ends),
]
_FOR_EVERYBODY = {dag_routes.get_version, dag_routes.get_health, dag_routes.log_in}


def application(airflow: SimulatedAirflow) -> web.Application:
    """Return the web application of a simulated Airflow. The simulated runs advance only while the
    application runs. Requests whose path begins with ``/simulation`` read counts and times
    of the simulation, or set the simulated faults (:mod:`.control_routes`).
    """

    async def at_work(_: web.Application) -> AsyncIterator[None]:
        work = asyncio.create_task(airflow.work())
        yield
        work.cancel()
        await asyncio.wait([work])

    app = web.Application(client_max_size=MAX_BODY)
    app.cleanup_ctx.append(at_work)
    for method, path, route in ROUTES:
        app.router.add_route(method, PREFIX + path, _handler(airflow, f"{method} {PREFIX}{path}", route))
    app.router.add_route("POST", "/auth/token", _handler(airflow, "POST /auth/token", dag_routes.log_in))
    for method, path, route in CONTROL:
        app.router.add_route(method, path, _handler(airflow, f"{method} {path}", route, faulty=False))
    return app


async def serve(airflow: SimulatedAirflow, port: int = 0) -> tuple[web.AppRunner, int]:
    """Serve a simulated Airflow on loopback. Return the aiohttp runner and the port. The runner's
    method ``cleanup`` ends the server. With ``port`` 0, choose a free port.
    """
    runner = web.AppRunner(application(airflow), access_log=None, handle_signals=False)
    await runner.setup()
    site = web.TCPSite(runner, HOST, port, backlog=1024)
    await site.start()
    return runner, runner.addresses[0][1]


class Served:
    """A simulated Airflow that another thread of this process serves over HTTP.

    Attributes:
        airflow: The simulated Airflow. Other threads may use this object only through :meth:`do`.
        url: The URL of the simulated Airflow.
    """

    def __init__(self, airflow: SimulatedAirflow, url: str, loop: asyncio.AbstractEventLoop) -> None:
        self.airflow = airflow
        self.url = url
        self._loop = loop

    def do(self, what: Callable[[SimulatedAirflow], T]) -> T:
        """Call the function ``what`` in the thread of the server, and return its result. The
        argument of ``what`` is the simulated Airflow.

        Raises:
            TimeoutError: ``what`` has not returned within 30 seconds.
        """

        async def call() -> T:
            return what(self.airflow)

        return asyncio.run_coroutine_threadsafe(call(), self._loop).result(30)


@contextmanager
def served(airflow: SimulatedAirflow) -> Iterator[Served]:
    """Serve a simulated Airflow during the ``with`` block, on a free port of loopback."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="simulated Airflow", daemon=True)
    thread.start()
    runner, port = asyncio.run_coroutine_threadsafe(serve(airflow), loop).result(30)
    try:
        yield Served(airflow, f"http://{HOST}:{port}", loop)
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _handler(
    airflow: SimulatedAirflow, name: str, route: Route, *, faulty: bool = True
) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        delay, fault = airflow.plan.of_request(f"{request.method} {request.path}") if faulty else (0.0, None)
        if delay:
            await asyncio.sleep(delay)
        if fault is RequestFault.RESET:
            return _reset(request)
        if fault is RequestFault.ERROR:
            return _counted(airflow, name, 503, {"detail": "The database is locked"})
        if fault is RequestFault.THROTTLED:
            wait = {"Retry-After": str(airflow.plan.faults.retry_after_seconds)}
            return _counted(airflow, name, 429, {"detail": "Too many requests"}, wait)
        try:
            status, content = await _answer(airflow, route, request)
        except Refused as refused:
            status, content = refused.status, {"detail": str(refused)}
        if fault is RequestFault.LOST_ANSWER:
            return _reset(request)
        return _counted(airflow, name, status, content)

    return handle


async def _answer(airflow: SimulatedAirflow, route: Route, request: web.Request) -> Answer:
    if route not in _FOR_EVERYBODY:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer":
            raise Refused(401, "Not authenticated")
        if airflow.locked or not airflow.knows(token):
            raise Refused(403, "Invalid JWT token")
    raw = await request.read()
    try:
        body = json.loads(raw) if raw else None
    except (ValueError, RecursionError):
        raise Refused(422, "body: is no JSON") from None
    return route(airflow, Request(request.match_info, parse_qs(request.query_string, keep_blank_values=True), body))


def _counted(
    airflow: SimulatedAirflow, name: str, status: int, content: object, headers: dict[str, str] | None = None
) -> web.Response:
    airflow.requests[name, status] += 1
    body = None if content is None else json.dumps(content).encode()
    return web.Response(status=status, body=body, content_type="application/json", headers=headers)


def _reset(request: web.Request) -> web.Response:
    transport = request.transport
    if transport is not None:
        # Without lingering the kernel sends RST, and the client sees a reset rather than an end.
        connection: socket.socket = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    # aiohttp requires a response, but cannot send it any more.
    return web.Response(status=503)
