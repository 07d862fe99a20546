"""The entry point of the operator: reads the settings, connects all parts of the operator, and runs
kopf.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import secrets
import socket
import time
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime
from typing import Any, TypeVar

import kopf
from kubernetes.aio.client import ApiClient
from pydantic import ValidationError

from . import logs
from .adapters import proxies
from .adapters.authentication import Authentication
from .adapters.endpoints import Endpoints
from .adapters.kafka import KafkaEvents
from .adapters.kubernetes.client import connect, credentials_advice, observed
from .adapters.kubernetes.instances import InstanceObjects
from .adapters.kubernetes.jobs import Jobs
from .adapters.kubernetes.kube_events import OperatorEvents
from .adapters.kubernetes.source_watches import WatchedSources
from .adapters.metrics import Metrics
from .adapters.watch import Watch
from .connections import AirflowConnections, kafka, print_problems, refused_by_kafka
from .errors import CannotStart, StoreError, backoff
from .handlers import ignore_signals, registry
from .json_depth import allow_deep_json
from .kafka_properties import secrets as kafka_secrets
from .ports import Link
from .settings import Settings, explained, unusable_files
from .wiring import Ports, wire

log = logging.getLogger(__name__)

T = TypeVar("T")


def now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


class Operator:
    """All parts of the operator except kopf.

    Args:
        settings: The operator's settings.
        api: The client of the Kubernetes API.
        watches: The client for watches of single objects.
    """

    def __init__(self, settings: Settings, api: ApiClient, watches: ApiClient) -> None:
        self._settings = settings
        self._authentication = Authentication(credentials_advice(settings.credentials_namespace))
        self._api = observed(api, self._authentication.answered)
        self._watches = observed(watches, self._authentication.answered)
        self._metrics = Metrics()
        self._jobs = Jobs(api, settings.namespaces)
        self._instance_objects = InstanceObjects(api, settings.credentials_namespace)
        self._kafka = kafka(settings)
        airflows = AirflowConnections(settings, self._metrics)
        ports = Ports(
            jobs=self._jobs,
            instances=self._instance_objects,
            operator=OperatorEvents(api, settings.credentials_namespace, settings.pod_name, settings.pod_uid),
            changes=WatchedSources(self._watches),
            own=airflows.own(),
            connect=airflows.connect,
            subscribe=self._subscribe,
            clock=now,
            meter=self._metrics,
        )
        process = f"{socket.gethostname()}-{secrets.token_hex(3)}"
        self._parts = wire(settings, ports, run_in_background=self.run_in_background, process=process)
        self.job_controller, self.instances = self._parts.job_controller, self._parts.instances
        self.watch = Watch(settings.namespaces, self._authentication, with_instances=settings.airflow_instances)
        self._endpoints = Endpoints(self._metrics.registry, alive=self._alive, ready=self._ready)
        self._tasks: list[asyncio.Task[None]] = []
        self._started = self._stopped = self._task_failed = False
        self._last_heartbeat = time.monotonic()

    async def listen(self) -> None:
        """Start the HTTP endpoints. They report that the operator is alive, but not ready yet.

        Raises:
            CannotStart: The operator can't listen on the port.
        """
        self.run_in_background(self._heartbeat(), "heartbeat")
        await self._endpoints.start(self._settings.http_host, self._settings.http_port)

    async def start(self) -> None:
        """List all AirflowInstances and MLJobs, and then start to read the events and the change
        feeds.

        The requests for the lists are repeated until the Kubernetes API answers.
        """
        if not self._settings.kafka_bootstrap_servers:
            log.warning("MLJOB_KAFKA_BOOTSTRAP_SERVERS is not set: statuses come from Airflow's REST API alone")
        await self._list_all()
        self._parts.start()
        self._started = True

    async def stop(self) -> None:
        """Stop the parts in reverse order: the sources, then the workers' steps, then the
        connections.

        This method may be called in any state. Further calls have no effect.
        """
        if self._stopped:
            return
        self._stopped = True
        tasks = list(self._tasks)
        for task in reversed(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._parts.close()
        await self._watches.close()  # type: ignore[no-untyped-call]
        await self._api.close()  # type: ignore[no-untyped-call]
        await self._endpoints.stop()

    def _subscribe(self, topic: str, link_changed: Callable[[Link | None], None]) -> KafkaEvents:
        settings = self._settings
        own = topic == settings.events_topic
        return KafkaEvents(
            self._kafka,
            topic=topic,
            # Each topic has its own consumer group, so that a reader that starts or stops does not
            # rebalance the other readers.
            group_id=settings.kafka_group_id if own else f"{settings.kafka_group_id}.{topic}",
            dead_letter_topic=settings.dead_letter_topic,
            link_changed=link_changed,
        )

    async def _list_all(self) -> None:
        """List the AirflowInstances before the MLJobs, and the MLJobs before any event is read.

        The operator drops events of MLJobs that it does not know, so it must know all MLJobs before
        it reads events.
        """
        if self._settings.airflow_instances:
            for instance in await _until_answered(self._instance_objects.list, "AirflowInstances"):
                self.instances.observe(instance)
            for name, labels in (await _until_answered(self._instance_objects.namespaces, "Namespaces")).items():
                self.instances.observe_namespace(name, labels)
        with self.job_controller.workers.hold_steps():
            count = await _until_answered(self._observe_all, "MLJobs")
        log.info("watching MLJobs: %d there, %d of them not finished", count, self.job_controller.lister.count())

    async def _observe_all(self) -> int:
        """Pass every MLJob to the controller. Return the number of MLJobs."""
        count = 0
        async for job in self._jobs.list():
            self.job_controller.observe(job)
            count += 1
        return count

    def run_in_background(self, coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Start a background task that must not end by itself."""
        task = asyncio.create_task(coroutine, name=name)
        task.add_done_callback(self._ended)
        self._tasks.append(task)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Make ``/livez`` fail when a background task ends by itself.

        Only a defect makes a background task end by itself. Without the task, statuses may no
        longer be updated, so the kubelet has to restart the process.
        """
        self._tasks.remove(task)
        if task.cancelled():
            return
        log.critical(
            "%s has ended by itself, which is a defect: /livez answers 503 from now on, for the kubelet to restart the operator",
            task.get_name(),
            exc_info=task.exception(),
        )
        self._task_failed = True

    async def _heartbeat(self) -> None:
        while True:
            self._last_heartbeat = time.monotonic()
            self._metrics.unfinished_jobs(self.job_controller.lister.count())
            await asyncio.sleep(1)

    def _alive(self) -> bool:
        return (
            not self._task_failed
            and not self._authentication.must_restart
            and time.monotonic() - self._last_heartbeat < 30
        )

    def _ready(self) -> bool:
        return self._started and self.watch.listed and not self._stopped


async def _until_answered(ask: Callable[[], Awaitable[T]], noun: str) -> T:
    """Repeat a request until the Kubernetes API answers. Each cause of a failure is logged once."""
    failures, cause = 0, ""
    while True:
        try:
            return await ask()
        except StoreError as error:
            failures += 1
            if str(error) != cause:
                cause = str(error)
                log.warning("%s can't be listed: %s; the operator is not ready, and repeats the request", noun, cause)
            await asyncio.sleep(backoff(error, failures))


async def run(settings: Settings) -> None:
    """Run the operator until a signal tells it to end.

    Raises:
        CannotStart: The operator can't listen on the port, or has no address of the Kubernetes API.
    """
    operator = Operator(settings, await connect(), await connect(for_watches=True))
    stop = asyncio.Event()
    try:
        await operator.listen()
        await kopf.operator(
            registry=registry(operator, stop.set, with_instances=settings.airflow_instances),
            standalone=True,
            # By default kopf uses the name of the current user as its identity. In a Pod, the
            # current user may have no name.
            identity=settings.pod_name or socket.gethostname(),  # type: ignore[arg-type]  # kopf's type for it is private, and is a str
            clusterwide=not settings.namespaces,
            namespaces=settings.namespaces,
            stop_flag=stop,
        )
    finally:
        # Usually kopf's cleanup handler has stopped the operator already, and this call has no
        # effect. If kopf is told to stop during its startup, kopf skips the cleanup handler, and
        # this call stops the operator.
        await operator.stop()
        ignore_signals()


def main() -> int:
    """Run the operator until a signal stops it.

    Returns:
        The exit code: 2 if the settings are wrong, 1 if the operator can't run for another reason,
        otherwise 0.
    """
    try:
        settings = Settings()
    except ValidationError as error:
        return print_problems(explained(error))
    if problems := proxies.problems() or unusable_files(settings) or refused_by_kafka(settings):
        return print_problems(problems)
    logs.hide("settings", *settings.airflow_login().secrets(), *kafka_secrets(settings.kafka()), *proxies.passwords())
    logs.configure(settings.log_format, settings.log_level)
    allow_deep_json()
    # The imports have created many objects that are never freed. Without the freeze, every full
    # garbage collection would visit these objects, and would delay statuses by 0.1 to 0.2 seconds.
    gc.collect()
    gc.freeze()
    try:
        asyncio.run(run(settings))
    except CannotStart as error:
        log.critical("the operator can't start: %s", error)
        return error.code
    except Exception as error:
        log.critical("the operator ends after an unexpected error: %s", error, exc_info=error)
        return 1
    return 0
