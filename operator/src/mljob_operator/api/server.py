"""Runs mljob-api, the aggregated API server from which clients read the log, the events and the
graph of an MLJob's run.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from contextlib import suppress

from aiohttp import web
from kubernetes.aio.client import ApiClient

from ..adapters.endpoints import Endpoints
from ..adapters.kafka_history import KafkaHistory
from ..adapters.kubernetes.client import connect
from ..adapters.kubernetes.instances import InstanceObjects
from ..adapters.kubernetes.jobs import Jobs
from ..connections import AirflowConnections, kafka
from ..controllers.airflow_instance.logins import Logins
from ..controllers.airflow_instance.registry import AirflowRegistry
from ..errors import StoreError, backoff
from .airflows import ApiAirflows
from .application import Application
from .front_proxy import FrontProxyConfig
from .handlers import Handlers
from .listener import KEEP_ALIVE_SECONDS, Certificate, Listener, TlsConnection
from .metrics import ApiMetrics
from .request_limits import RequestLimits
from .runs import Runs
from .settings import ApiSettings

log = logging.getLogger(__name__)

REFRESH_SECONDS = 60.0
"""The time between two readings of the front proxy's ConfigMap, in seconds."""
MAX_HEADER = 8190
"""The maximum number of bytes of a line of a request, and of a header. The Kubernetes API server
sends one header for each group of the user.
"""
STOP_SECONDS = 10.0
"""The time that open responses have after the signal to end, in seconds."""


class ApiServer:
    """mljob-api, the aggregated API server from which clients read the log, the events and the
    graph of an MLJob's run.

    Args:
        settings: The settings.
        api: The client for the Kubernetes API.
    """

    def __init__(self, settings: ApiSettings, api: ApiClient) -> None:
        self._settings = settings
        self._api = api
        metrics = self._metrics = ApiMetrics()
        store = InstanceObjects(api, settings.credentials_namespace)
        connections = AirflowConnections(settings, metrics)
        registry = AirflowRegistry(
            Logins(store, settings.airflow_token_files),
            connections.connect,
            own=connections.own(),
            topic=settings.events_topic,
            reserved=(settings.cancel_dag_id, *settings.reserved_dags),
            watches_namespaces=settings.airflow_instances,
        )
        self._airflows = ApiAirflows(
            registry, store, topic=settings.events_topic, with_instances=settings.airflow_instances
        )
        self._history = _history(settings)
        runs = Runs(Jobs(api, settings.namespaces), self._airflows, prefix=settings.run_id_prefix)
        readers = RequestLimits(settings.api_event_readers, "readers of events")
        handlers = Handlers(runs, self._airflows, self._history, readers, follow_seconds=settings.api_follow_seconds)
        self._front_proxy = FrontProxyConfig(api, allow_any_name=settings.api_allow_any_front_proxy_name)
        self._limits = RequestLimits(settings.api_streams)
        self._listener: Listener | None = None
        application = Application(handlers, lambda: self._front_proxy.current, self._connection, self._limits, metrics)
        self._runner = web.AppRunner(
            application.app,
            access_log=None,
            # If a client closes its connection, its handler is cancelled, so that no run is
            # followed in vain.
            handler_cancellation=True,
            keepalive_timeout=KEEP_ALIVE_SECONDS,
            max_line_size=MAX_HEADER,
            max_field_size=MAX_HEADER,
            shutdown_timeout=STOP_SECONDS,
        )
        self._endpoints = Endpoints(metrics.registry, alive=self._alive, ready=self._ready, settings="MLJOB_API_PROBE")
        self._heartbeat_at = time.monotonic()
        self._stopping = False

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until ``stop`` is set.

        Raises:
            CannotStart: A port can't be used, or the front proxy's ConfigMap does not exist or
                describes no valid front proxy.
        """
        settings = self._settings
        await self._endpoints.start(settings.api_probe_host, settings.api_probe_port)
        heartbeat = asyncio.create_task(self._heartbeat())
        refresh: asyncio.Task[None] | None = None
        try:
            await self._read_front_proxy()
            await self._runner.setup()
            assert self._runner.server is not None
            self._listener = Listener(
                self._runner.server,
                Certificate(settings.api_cert_file, settings.api_key_file),
                lambda: self._front_proxy.current,
                connections=settings.api_connections,
            )
            self._metrics.watch(
                streams=lambda: self._limits.open,
                connections=lambda: self._listener.count if self._listener is not None else 0,
                readers=lambda: self._history.open_readers if self._history is not None else 0,
            )
            self._listener.start(settings.api_host, settings.api_port)
            refresh = asyncio.create_task(self._refresh())
            await stop.wait()
        finally:
            self._stopping = True
            heartbeat.cancel()
            if refresh is not None:
                refresh.cancel()
            await self._close()

    async def _read_front_proxy(self) -> None:
        """Read the front proxy's ConfigMap. While the Kubernetes API fails or denies access to the
        ConfigMap, repeat the request.

        Raises:
            NoFrontProxy: The ConfigMap does not exist or describes no valid front proxy.
        """
        failures = 0
        while True:
            try:
                return await self._front_proxy.read()
            except StoreError as error:
                failures += 1
                log.warning("the front proxy's ConfigMap can't be read: %s", error)
                await asyncio.sleep(backoff(error, failures))

    async def _refresh(self) -> None:
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            try:
                await self._front_proxy.refresh()
            except Exception:
                # A defect must not stop the task, because the CA may be renewed.
                log.exception("the front proxy's ConfigMap can't be read: unexpected error")

    async def _heartbeat(self) -> None:
        while True:
            self._heartbeat_at = time.monotonic()
            await asyncio.sleep(1)

    async def _close(self) -> None:
        if self._listener is not None:
            await self._listener.refuse()
        await self._runner.cleanup()
        if self._listener is not None:
            await self._listener.stop()
        if self._history is not None:
            self._history.close()
        await self._airflows.close()
        await self._endpoints.stop()
        await self._api.close()  # type: ignore[no-untyped-call]

    def _connection(self, request: web.Request) -> TlsConnection | None:
        return self._listener.of(request.transport) if self._listener is not None else None

    def _alive(self) -> bool:
        return time.monotonic() - self._heartbeat_at < 30

    def _ready(self) -> bool:
        return not self._stopping and self._listener is not None and self._front_proxy.current is not None


def _history(settings: ApiSettings) -> KafkaHistory | None:
    if settings.kafka_bootstrap_servers is None:
        return None
    return KafkaHistory(
        kafka(settings),
        group_id=f"{settings.kafka_group_id}.api",
        readers=settings.api_event_readers,
        any_partition=settings.api_events_in_any_partition,
    )


async def serve(settings: ApiSettings) -> None:
    """Run mljob-api until SIGTERM or SIGINT.

    Raises:
        CannotStart: No configuration says how to reach the Kubernetes API, a port can't be used, or
            there is no valid front proxy.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        with suppress(NotImplementedError):
            loop.add_signal_handler(number, stop.set)
    server = ApiServer(settings, await connect())
    running = asyncio.create_task(server.run(stop))
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait({running, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if not running.done():
        with suppress(TimeoutError):
            await asyncio.wait_for(running, 3 * STOP_SECONDS)
    else:
        running.result()
