"""The composition root: settings, adapters, and kopf around them."""

from __future__ import annotations

import asyncio
import gc
import logging
import secrets
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import kopf
from pydantic import ValidationError

from . import logs
from .adapters.airflow.client import Airflow
from .adapters.instances import InstanceObjects
from .adapters.kafka import KafkaEvents
from .adapters.kubernetes import Jobs, connect
from .adapters.metrics import Endpoints, Metrics
from .core.instance import OWN, Instance
from .errors import StoreError, backoff
from .handlers import registry
from .instances import Instances, Login, OwnAirflow
from .job_queue import JobQueue
from .readers import Readers
from .reconciler import Reconciler
from .settings import Settings

log = logging.getLogger(__name__)

T = TypeVar("T")


def now() -> datetime:
    """The time in UTC."""
    return datetime.now(UTC)


class Operator:
    """Everything that runs beside kopf's watch, wired together."""

    queue: JobQueue
    instances: Instances

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._metrics = Metrics()
        self._duties: list[asyncio.Task[None]] = []
        self._ready = False
        self._beat = time.monotonic()
        self._endpoints = Endpoints(self._metrics, alive=self._alive, ready=lambda: self._ready)

    async def start(self) -> None:
        """Connect, learn of all MLJobs, then begin to read events and the change feed."""
        settings = self._settings
        self._api = await connect()
        self._jobs = Jobs(self._api, settings.namespaces)
        self._instance_objects = InstanceObjects(self._api, settings.credentials_namespace)
        self.instances = Instances(
            self._instance_objects,
            self._connect,
            now,
            self._metrics,
            own=self._own_airflow(),
            topic=settings.events_topic,
        )
        reconciler = Reconciler(
            self.instances,
            self._jobs,
            now,
            prefix=settings.run_id_prefix,
            cancel_fallback=timedelta(seconds=settings.cancel_fallback_seconds),
            process=f"{socket.gethostname()}-{secrets.token_hex(3)}",
        )
        self.queue = JobQueue(reconciler, self._jobs, now, self._metrics, min_interval=settings.status_interval_seconds)
        if not settings.kafka_bootstrap_servers:
            log.warning("MLJOB_KAFKA_BOOTSTRAP_SERVERS is not set: statuses come from Airflow's REST API alone")
        readers = Readers(
            self.instances,
            self.queue,
            now,
            self._metrics,
            subscribe=self._subscribe if settings.kafka_bootstrap_servers else None,
            do=self._do,
            prefix=settings.run_id_prefix,
            interval=settings.resync_interval_seconds,
        )
        await self._endpoints.start(settings.http_host, settings.http_port)
        await self._learn_all()

        def changed(*, namespace: str | None = None, airflow: str | None = None) -> None:
            readers.follow()
            self.queue.reconsider(namespace=namespace, airflow=airflow)

        self._do(self._heartbeat(), "heartbeat")
        readers.follow()
        self.instances.serve(reconciler.places, self.queue.users, changed)
        self.instances.start()
        self._ready = True

    async def stop(self) -> None:
        """End in the reverse sequence: no more input, then the steps under way, then the connections."""
        self._ready = False
        duties = list(self._duties)
        for task in reversed(duties):
            task.cancel()
        await asyncio.gather(*duties, return_exceptions=True)
        await self.queue.close()
        await self.instances.close()
        await self._api.close()  # type: ignore[no-untyped-call]
        await self._endpoints.stop()

    def _own_airflow(self) -> OwnAirflow | None:
        settings = self._settings
        if settings.airflow_url is None:
            return None
        airflow = Airflow(
            OWN,
            settings.airflow_url,
            self._metrics,
            user=settings.airflow_user,
            password=settings.airflow_password.get_secret_value() if settings.airflow_password else None,
            token=settings.airflow_token.get_secret_value() if settings.airflow_token else None,
            ca_file=settings.airflow_ca_file,
            prefix=settings.run_id_prefix,
            cancel_dag_id=settings.cancel_dag_id,
        )
        return OwnAirflow(airflow, settings.airflow_ui_url or settings.airflow_url)

    def _connect(self, instance: Instance, login: Login) -> Airflow:
        return Airflow(
            instance.name,
            instance.spec.url,
            self._metrics,
            user=login.user,
            password=login.password.get_secret_value() if login.password else None,
            token=login.token.get_secret_value() if login.token else None,
            ca_bundle=instance.spec.tls.ca_bundle if instance.spec.tls else None,
            prefix=self._settings.run_id_prefix,
            cancel_dag_id=self._settings.cancel_dag_id,
        )

    def _subscribe(self, topic: str) -> KafkaEvents:
        settings = self._settings
        own = topic == settings.events_topic
        return KafkaEvents(
            settings.kafka(),
            topic=topic,
            # A group for each topic: a reader that comes or goes stops no other.
            group_id=settings.kafka_group_id if own else f"{settings.kafka_group_id}.{topic}",
            dead_letter_topic=settings.dead_letter_topic,
        )

    async def _learn_all(self) -> None:
        """Know every Airflow before the first MLJob, and every MLJob before the first event is read, so that none is taken for a stranger's."""
        if self._settings.airflow_instances:
            for instance in await _patiently(self._instance_objects.list, "AirflowInstances"):
                self.instances.observe(instance)
            for name, labels in (await _patiently(self._instance_objects.namespaces, "Namespaces")).items():
                self.instances.namespace_seen(name, labels)
        jobs = await _patiently(self._jobs.list, "MLJobs")
        for job in jobs:
            self.queue.observe(job)
        log.info("watching MLJobs: %d there, %d of them not finished", len(jobs), self.queue.count())

    def _do(self, duty: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(duty, name=name)
        task.add_done_callback(self._ended)
        self._duties.append(task)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A duty that ends by itself is a defect: without it statuses go stale, so the process should be restarted."""
        self._duties.remove(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.critical("%s has ended", task.get_name(), exc_info=error)
            self._beat = float("-inf")

    async def _heartbeat(self) -> None:
        while True:
            if self._beat > float("-inf"):
                self._beat = time.monotonic()
            self._metrics.live(self.queue.count())
            await asyncio.sleep(1)

    def _alive(self) -> bool:
        return time.monotonic() - self._beat < 30


async def _patiently(ask: Callable[[], Awaitable[T]], what: str) -> T:
    """Ask the Kubernetes API until it answers."""
    failures = 0
    while True:
        try:
            return await ask()
        except StoreError as error:
            failures += 1
            delay = backoff(error, failures)
            log.warning("%s can't be listed: %s; again in %.1f s", what, error, delay)
            await asyncio.sleep(delay)


def main() -> int:
    """Run the operator until it is told to stop. Exit code 2: the settings are wrong."""
    try:
        settings = Settings()
    except ValidationError as error:
        print("The operator's settings are wrong:", file=sys.stderr)  # noqa: T201
        for problem in error.errors(include_url=False, include_input=False):
            name = "_".join(str(part) for part in problem["loc"])
            print(f"  {f'MLJOB_{name.upper()}: ' if name else ''}{problem['msg']}", file=sys.stderr)  # noqa: T201
        return 2
    logs.configure(settings.log_format, settings.log_level)
    operator = Operator(settings)
    # What the imports have made stays. Looked through by every full garbage collection, it would hold up whatever status is due by a tenth of a
    # second or two.
    gc.collect()
    gc.freeze()
    asyncio.run(
        kopf.operator(
            registry=registry(operator, with_instances=settings.airflow_instances),
            standalone=True,
            clusterwide=not settings.namespaces,
            namespaces=settings.namespaces,
        )
    )
    return 0
