"""The parts of the operator that run only while this process is the leader."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from kubernetes.aio.client import ApiClient

from .adapters.authentication import Authentication
from .adapters.kafka import KafkaEvents
from .adapters.kubernetes.client import gated, observed
from .adapters.kubernetes.instances import InstanceObjects
from .adapters.kubernetes.jobs import Jobs
from .adapters.kubernetes.kube_events import OperatorEvents
from .adapters.kubernetes.source_watches import WatchedSources
from .adapters.metrics import Metrics
from .adapters.watch import Watch
from .connections import AirflowConnections, kafka
from .errors import StoreError, backoff
from .ports import Gate, Link, Tracer
from .settings import Settings
from .wiring import Ports, wire

log = logging.getLogger(__name__)

T = TypeVar("T")


def now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


class Operator:
    """Starts and stops the controllers and the readers of Kafka topics and change feeds. An object
    of this class serves one period of leadership.

    Args:
        settings: The operator's settings.
        api: The client of the Kubernetes API.
        watches: The client for the watches of single ConfigMaps and Secrets.
        authentication: Tracks whether the Kubernetes API accepts the operator's credentials.
        metrics: The metrics of the process.
        tracer: Exports the traces of attempts. None if traces are off.
        gate: While the process is not the leader, blocks requests that change something.
        name: A unique name for this process and this period of leadership.
    """

    def __init__(
        self,
        settings: Settings,
        api: ApiClient,
        watches: ApiClient,
        *,
        authentication: Authentication,
        metrics: Metrics,
        tracer: Tracer | None,
        gate: Gate,
        name: str,
    ) -> None:
        self._settings = settings
        self._api = gated(observed(api, authentication.answered), gate)
        self._watches = gated(observed(watches, authentication.answered), gate)
        self._jobs = Jobs(api, settings.namespaces, settings.selector, prefix=settings.run_id_prefix)
        self._instance_objects = InstanceObjects(api, settings.credentials_namespace)
        self._kafka = kafka(settings)
        self._metrics = metrics
        airflows = AirflowConnections(settings, metrics, gate)
        ports = Ports(
            jobs=self._jobs,
            instances=self._instance_objects,
            operator=OperatorEvents(api, settings.credentials_namespace, settings.pod_name, settings.pod_uid),
            changes=WatchedSources(self._watches),
            own=airflows.own(),
            connect=airflows.connect,
            subscribe=self._subscribe,
            clock=now,
            meter=metrics,
            tracer=tracer,
        )
        self._parts = wire(settings, ports, run_in_background=self.run_in_background, process=name)
        self.job_controller, self.instances = self._parts.job_controller, self._parts.instances
        self.watch = Watch(
            settings.namespaces,
            authentication,
            with_instances=settings.airflow_instances,
            observe_known=self.job_controller.observe_known,
        )
        self._tasks: list[asyncio.Task[None]] = []
        self._started = self._settled = self._stopped = False
        self._stopping = asyncio.Lock()
        self.has_defect = False
        """Whether a background task has ended by itself."""

    async def start(self) -> None:
        """Pass all MLJobs to the controllers, and also all AirflowInstances and namespaces if the
        operator manages AirflowInstances. Then start the readers of Kafka topics and change feeds.

        A failed list request is repeated until it succeeds. If :meth:`settle` is called before all
        lists are complete, no reader is started.
        """
        if not self._settings.kafka_bootstrap_servers:
            log.warning("MLJOB_KAFKA_BOOTSTRAP_SERVERS is not set: statuses come from Airflow's REST API alone")
        await self._list_all()
        if self._settled:
            # The term has ended during the lists. Nobody would cancel readers that begin now, and
            # :meth:`stop` would wait for them without an end.
            return
        self._parts.start()
        self._started = True

    async def settle(self) -> None:
        """Start no more reconciliations. Wait at most about a second until the MLJobs'
        reconciliations in progress end, and cancel those that have not ended by then. Also cancel
        the readers of Kafka topics and change feeds, without waiting for the readers to end.

        This method may be called in any state. Further calls have no effect.
        """
        async with self._stopping:
            if self._settled:
                return
            self._settled = True
            self.job_controller.workers.stop()
            for task in reversed(self._tasks):
                task.cancel()
            await self._parts.settle()

    async def stop(self) -> None:
        """Call :meth:`settle`, wait until the readers of Kafka topics and change feeds have ended,
        and close the connections to the Airflows and to the Kubernetes API.

        This method may be called in any state. Further calls have no effect.
        """
        await self.settle()
        async with self._stopping:
            if self._stopped:
                return
            self._stopped = True
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self._parts.close()
            await self._watches.close()  # type: ignore[no-untyped-call]
            await self._api.close()  # type: ignore[no-untyped-call]

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
            lag_changed=partial(self._metrics.kafka_lag, topic),
        )

    async def _list_all(self) -> None:
        """List all MLJobs, and also all AirflowInstances and namespaces if the operator manages
        AirflowInstances.

        All MLJobs must be listed before events are read. Otherwise the operator would drop the
        events of backfills whose MLJobs are not listed yet. For an event of any other MLJob that is
        not listed yet, the operator would request the MLJob from the Kubernetes API.
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
        count = 0
        async for job in self._jobs.list(self.watch.continue_list):
            self.job_controller.observe(job)
            count += 1
        return count

    def run_in_background(self, coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Start a background task. If the task ends without being cancelled, ``/livez`` fails."""
        task = asyncio.create_task(coroutine, name=name)
        task.add_done_callback(self._ended)
        self._tasks.append(task)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Make ``/livez`` fail if the task has ended without being cancelled. Such an end is a
        defect: statuses may no longer be updated, so the kubelet must restart the process.
        """
        self._tasks.remove(task)
        if task.cancelled():
            return
        log.critical(
            "%s has ended by itself, which is a defect: /livez answers 503 from now on, for the kubelet to restart the operator",
            task.get_name(),
            exc_info=task.exception(),
        )
        self.has_defect = True

    @property
    def ready(self) -> bool:
        """Whether :meth:`start` is complete, all watches have begun, and :meth:`settle` was not
        called.
        """
        return self._started and self.watch.listed and not self._settled


async def _until_answered(ask: Callable[[], Awaitable[T]], noun: str) -> T:
    """Call ``ask`` until it raises no StoreError, with growing pauses, and return the result.
    ``noun`` names the requested objects in the log.
    """
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
