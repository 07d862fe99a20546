"""A process of the operator: its HTTP endpoints, its part in the election of the leader, and a
heartbeat, which shows whether the event loop is blocked.

A term is a period for which the process is the leader. Each term has a new :class:`.Operator`.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import time
from typing import Any

import kopf

from mljob_contract.airflow_instance import LabelSelector

from .adapters.authentication import Authentication
from .adapters.endpoints import Endpoints
from .adapters.kubernetes.client import connect, credentials_advice, observed
from .adapters.kubernetes.leases import Leases
from .adapters.metrics import Metrics
from .adapters.traces import Traces, exporter
from .controllers.candidate import Candidate
from .controllers.leadership import Election, Term
from .core.labels import query
from .handlers import handle_signals, ignore_signals, registry
from .operator import Operator
from .settings import Settings

STUCK_AFTER = 30.0
"""Seconds without a heartbeat after which the process counts as stuck."""


async def run(settings: Settings) -> None:
    """Run a :class:`Process` until a signal tells the process to end, or until kopf ends by itself.

    Raises:
        CannotStart: One of these causes:

            - The operator can't listen on the port.
            - The operator finds no valid configuration for the Kubernetes API.
            - Another running operator uses some of the same MLJobs, dag run ids or events.
            - The settings enable traces, and the SDK for traces is not installed.
    """
    process = Process(settings)
    try:
        await process.run()
    finally:
        await process.close()
        ignore_signals()


class Process:
    """A process of the operator. While the process holds the operator's Lease, it runs an
    :class:`.Operator`.

    Args:
        settings: The operator's settings.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._authentication = Authentication(credentials_advice(settings.credentials_namespace))
        self._metrics = Metrics()
        self._traces = Traces(exporter(settings.traces_endpoint)) if settings.traces_endpoint is not None else None
        self._endpoints = Endpoints(self._metrics.registry, alive=self.is_alive, ready=self.is_ready)
        self._stop = asyncio.Event()
        self._host = settings.pod_name or socket.gethostname()
        self._operator: Operator | None = None
        self._election: Election | None = None
        self._heartbeat: asyncio.Task[None] | None = None
        self._lease_api: Any = None
        self._last_beat = time.monotonic()

    async def run(self) -> None:
        """Compete for the operator's Lease. Each time this process gets the Lease, run a new
        :class:`.Operator` until the process loses the Lease. Return when a signal tells the process
        to end, or when kopf ends by itself.

        Raises:
            CannotStart: One of these causes:

                - The operator can't listen on the port.
                - The operator finds no valid configuration for the Kubernetes API.
                - Another running operator uses some of the same MLJobs, dag run ids or events.
        """
        handle_signals(self._stop.set)
        await self.listen()
        self._election = await self._enter()
        await Candidate(self._election, self._stop, self._act).run()

    async def listen(self) -> None:
        """Start the HTTP endpoints, which say at first that the process is alive but not ready.

        Raises:
            CannotStart: The operator can't listen on the port.
        """
        self._heartbeat = asyncio.create_task(self._beat(), name="heartbeat")
        await self._endpoints.start(self._settings.http_host, self._settings.http_port)

    async def close(self) -> None:
        """Stop the HTTP endpoints, and close the connections for the Lease and for traces. This
        method also works if :meth:`listen` has failed or was not called.
        """
        self._stop.set()
        if self._heartbeat is not None:
            self._heartbeat.cancel()
            await asyncio.gather(self._heartbeat, return_exceptions=True)
        if self._lease_api is not None:
            await self._lease_api.close()
        await self._endpoints.stop()
        if self._traces is not None:
            await self._traces.close()

    async def make_operator(self, term: Term) -> Operator:
        """Return a new :class:`.Operator` for ``term``, a period for which this process is the
        leader.

        Raises:
            CannotStart: The operator finds no valid configuration for the Kubernetes API.
        """
        assert term.lease.holder is not None
        self._operator = Operator(
            self._settings,
            await connect(),
            await connect(for_watches=True),
            authentication=self._authentication,
            metrics=self._metrics,
            tracer=self._traces,
            gate=term,
            name=term.lease.holder,
        )
        return self._operator

    def is_alive(self) -> bool:
        """Return the answer of ``/livez``. False if one of these is true:

        - A background task has ended by itself.
        - The Kubernetes API keeps refusing the operator's credentials.
        - The event loop has been blocked for ``STUCK_AFTER`` (30 seconds).
        """
        return (
            not (self._operator is not None and self._operator.has_defect)
            and not self._authentication.must_restart
            and time.monotonic() - self._last_beat < STUCK_AFTER
        )

    def is_ready(self) -> bool:
        """Return the answer of ``/readyz``. The leader is ready when :attr:`.Operator.ready` is
        true. Any other process is ready when it has seen that another process holds the Lease. A
        process that was told to end is not ready.
        """
        if self._stop.is_set() or self._election is None:
            return False
        return self._operator.ready if self._operator is not None else self._election.stands_by

    async def _enter(self) -> Election:
        settings = self._settings
        self._lease_api = observed(await connect(), self._authentication.answered)
        leases = Leases(
            self._lease_api,
            settings.credentials_namespace,
            settings.lease_name,
            seconds=settings.lease_seconds,
        )
        return Election(leases, settings.claims(), self._metrics, name=self._identity, seconds=settings.lease_seconds)

    def _identity(self) -> str:
        return f"{self._host}-{secrets.token_hex(3)}"

    async def _act(self, term: Term, over: asyncio.Event) -> None:
        assert self._election is not None
        election, operator = self._election, await self.make_operator(term)

        async def leave() -> None:
            await over.wait()
            await operator.settle()
            # Closing the connections may take seconds, so another process gets the Lease first.
            await election.release(term)
            await operator.stop()

        # When kopf ends, kopf cancels the tasks that were created after its start. So this task is
        # created before kopf starts.
        leaving = asyncio.create_task(leave(), name="leave")
        try:
            await kopf.operator(
                registry=registry(
                    operator,
                    self._stop.set,
                    with_instances=self._settings.airflow_instances,
                    prefix=self._settings.run_id_prefix,
                    selector=query(self._settings.selector or LabelSelector()),
                ),
                standalone=True,
                # By default kopf uses the name of the current user as its identity. In a Pod, the
                # current user may have no name.
                identity=self._host,  # type: ignore[arg-type]  # kopf's type for it is private, and is a str
                clusterwide=not self._settings.namespaces,
                namespaces=self._settings.namespaces,
                stop_flag=over,
            )
        finally:
            if not over.is_set():
                # kopf has failed, or has received a signal before the operator set its own handler.
                self._stop.set()
                over.set()
            await leaving
            self._operator = None
            self._metrics.stand_by()

    async def _beat(self) -> None:
        while True:
            self._last_beat = time.monotonic()
            await asyncio.sleep(1)
