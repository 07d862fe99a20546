"""The composition root: settings, adapters, and kopf around them."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

import kopf
from pydantic import ValidationError

from . import logs
from .adapters.airflow import Airflow
from .adapters.kafka import KafkaEvents
from .adapters.kubernetes import Jobs
from .adapters.metrics import Endpoints, Metrics
from .errors import StoreError, backoff
from .handlers import registry
from .job_queue import JobQueue
from .reconciler import Reconciler
from .resync import Resync
from .settings import Settings
from .status_pipeline import StatusPipeline

log = logging.getLogger(__name__)


def now() -> datetime:
    """The time in UTC."""
    return datetime.now(UTC)


class Operator:
    """Everything that runs beside kopf's watch, wired together."""

    queue: JobQueue

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
        self._jobs = await Jobs.connect(settings.namespaces)
        self._airflow = Airflow(
            settings.airflow_url,
            self._metrics,
            user=settings.airflow_user,
            password=settings.airflow_password.get_secret_value() if settings.airflow_password else None,
            token=settings.airflow_token.get_secret_value() if settings.airflow_token else None,
            ca_file=settings.airflow_ca_file,
            prefix=settings.run_id_prefix,
            cancel_dag_id=settings.cancel_dag_id,
        )
        reconciler = Reconciler(
            self._airflow,
            self._jobs,
            now,
            prefix=settings.run_id_prefix,
            cancel_fallback=timedelta(seconds=settings.cancel_fallback_seconds),
        )
        self.queue = JobQueue(
            reconciler,
            self._jobs,
            now,
            self._metrics,
            ui_url=settings.ui_url,
            min_interval=settings.status_interval_seconds,
        )
        resync = Resync(
            self._airflow,
            self.queue,
            now,
            self._metrics,
            prefix=settings.run_id_prefix,
            interval=settings.resync_interval_seconds,
        )
        await self._endpoints.start(settings.http_host, settings.http_port)
        await self._learn_all()
        self._do(resync.run(), "resync")
        self._do(self._heartbeat(), "heartbeat")
        if settings.kafka_bootstrap_servers:
            source = KafkaEvents(
                settings.kafka(),
                topic=settings.events_topic,
                group_id=settings.kafka_group_id,
                dead_letter_topic=settings.dead_letter_topic,
            )
            pipeline = StatusPipeline(source, self.queue, now, self._metrics, prefix=settings.run_id_prefix)
            self._do(pipeline.run(), "status pipeline")
        else:
            log.warning("MLJOB_KAFKA_BOOTSTRAP_SERVERS is not set: statuses come from Airflow's REST API alone")
        self._ready = True

    async def stop(self) -> None:
        """End in the reverse sequence: no more input, then the steps under way, then the connections."""
        self._ready = False
        for task in reversed(self._duties):
            task.cancel()
        await asyncio.gather(*self._duties, return_exceptions=True)
        await self.queue.close()
        await self._airflow.close()
        await self._jobs.close()
        await self._endpoints.stop()

    async def _learn_all(self) -> None:
        """Know every MLJob before the first event is read, so that none is taken for a stranger's."""
        failures = 0
        while True:
            try:
                jobs = await self._jobs.list()
            except StoreError as error:
                failures += 1
                delay = backoff(error, failures)
                log.warning("MLJobs can't be listed: %s; again in %.1f s", error, delay)
                await asyncio.sleep(delay)
                continue
            for job in jobs:
                self.queue.observe(job)
            log.info("watching MLJobs: %d there, %d of them not finished", len(jobs), len(self.queue.live()))
            return

    def _do(self, duty: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(duty, name=name)
        task.add_done_callback(self._ended)
        self._duties.append(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A duty that ends by itself is a defect: without it statuses go stale, so the process should be restarted."""
        if not task.cancelled() and (error := task.exception()) is not None:
            log.critical("%s has ended", task.get_name(), exc_info=error)
            self._beat = float("-inf")

    async def _heartbeat(self) -> None:
        while True:
            if self._beat > float("-inf"):
                self._beat = time.monotonic()
            self._metrics.live(len(self.queue.live()))
            await asyncio.sleep(1)

    def _alive(self) -> bool:
        return time.monotonic() - self._beat < 30


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
    asyncio.run(
        kopf.operator(
            registry=registry(operator),
            standalone=True,
            clusterwide=not settings.namespaces,
            namespaces=settings.namespaces,
        )
    )
    return 0
