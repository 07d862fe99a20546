"""The operator's handlers for kopf: startup, cleanup, login, and the watch events of MLJobs,
AirflowInstances and namespaces.

For watch events, the operator uses only kopf's low-level event handlers (``kopf.on.event``), so
kopf adds no annotation to users' objects.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import kopf

from mljob_contract import airflow_instance
from mljob_contract.mljob import KIND, PLURAL
from mljob_contract.resource import GROUP, VERSION

from .adapters.kubernetes import instances as instance_objects
from .adapters.kubernetes.jobs import read
from .adapters.kubernetes.lists import PAGE
from .adapters.watch import EndlessBackoff, Watch, credentials
from .controllers.airflow_instance.controller import AirflowInstanceController
from .controllers.mljob.controller import MLJobController
from .controllers.mljob.status_writer import extra

log = logging.getLogger(__name__)
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class ControllerManager(Protocol):
    """The part of :class:`.operator.Operator` that the handlers use."""

    job_controller: MLJobController
    instances: AirflowInstanceController
    watch: Watch

    async def start(self) -> None:
        """List all MLJobs. If the operator manages AirflowInstances, also list all AirflowInstances
        and namespaces. Then start the background tasks.
        """
        ...

    async def stop(self) -> None:
        """Stop the background tasks and close the connections."""
        ...


def registry(
    operator: ControllerManager, stop: Callable[[], None], *, with_instances: bool, prefix: str, selector: str = ""
) -> kopf.OperatorRegistry:
    """Return kopf's registry with the operator's handlers.

    Args:
        operator: The operator that receives the watched objects.
        stop: A function that is called at SIGINT and SIGTERM, and tells the process to end.
        with_instances: Whether to watch AirflowInstances and namespaces. Access rules of
            AirflowInstances select namespaces by labels.
        prefix: The prefix of this operator's dag run ids.
        selector: The label selector of the watched MLJobs. An empty text selects all MLJobs.
    """
    registry = kopf.OperatorRegistry()

    # An error in this handler is a defect, so kopf must end the process. By default kopf would call
    # the handler again each minute, although the operator is already half started.
    @kopf.on.startup(registry=registry, errors=kopf.ErrorsMode.PERMANENT)
    async def begin(settings: kopf.OperatorSettings, **_: Any) -> None:
        configure(settings, selector)
        # Let kopf set its signal handlers first, so that the operator's replace them.
        await asyncio.sleep(0)
        handle_signals(stop)
        try:
            await operator.start()
        except BaseException:
            # kopf calls its cleanup handlers only after a complete startup.
            await operator.stop()
            raise

    @kopf.on.login(registry=registry)
    async def log_in(**kwargs: Any) -> kopf.AiohttpSession | None:
        info = credentials(**kwargs)
        return await operator.watch.session(info) if info is not None else None

    @kopf.on.cleanup(registry=registry)
    async def end(**_: Any) -> None:
        await operator.stop()

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)
    async def mljob_event(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002  # kopf's name
        with _isolated(body):
            # This process itself has written most versions, so the latest known version has most
            # parts of the object.
            job = read(
                dict(body),
                prefix,
                operator.job_controller.latest((body["metadata"]["namespace"], body["metadata"]["name"])),
            )
            if job is None:
                return
            if type == "DELETED":
                operator.job_controller.observe_deletion(job.key, job.uid, job.resource_version)
            else:
                operator.job_controller.observe(job)

    if with_instances:
        _watch_instances(registry, operator)
    return registry


def _watch_instances(registry: kopf.OperatorRegistry, operator: ControllerManager) -> None:
    @kopf.on.event(GROUP, VERSION, airflow_instance.PLURAL, registry=registry)
    async def airflow_instance_event(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002  # kopf's name
        with _isolated(body):
            instance = instance_objects.read(dict(body))
            if instance is None:
                return
            if type == "DELETED":
                operator.instances.observe_deletion(instance.name, instance.uid)
            else:
                operator.instances.observe(instance)

    @kopf.on.event("v1", "namespaces", registry=registry)
    async def namespace_event(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002  # kopf's name
        with _isolated(body):
            if type == "DELETED":
                operator.instances.observe_namespace_deletion(body.metadata["name"])
            else:
                operator.instances.observe_namespace(body.metadata["name"], dict(body.metadata.labels))


@contextmanager
def _isolated(body: kopf.Body) -> Iterator[None]:
    """Log an unexpected error of the ``with`` block, and continue after the block. kopf would log
    the error in another format.
    """
    try:
        yield
    except Exception:
        kind, namespace, name = body.get("kind"), body.metadata.get("namespace"), body.metadata.get("name")
        of_job = extra((str(namespace), str(name))) if kind == KIND else None
        log.exception("%s %s/%s: unexpected error", kind, namespace, name, extra=of_job)


def handle_signals(stop: Callable[[], None]) -> None:
    """Call ``stop`` at SIGINT and SIGTERM. kopf's own signal handler would fail at the second
    signal.
    """
    for number in SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, stop)


def ignore_signals() -> None:
    """Ignore further SIGINTs and SIGTERMs while the process ends. Otherwise the exit status would
    show the signal instead of the operator's exit code.
    """
    for number in SIGNALS:
        asyncio.get_running_loop().remove_signal_handler(number)
        signal.signal(number, signal.SIG_IGN)


def configure(settings: kopf.OperatorSettings, selector: str = "") -> None:
    """Set kopf's timeouts and the label selector of MLJobs, and turn off the functions of kopf that
    the operator does not use.

    Args:
        settings: The settings of kopf, which are changed in place.
        selector: The label selector of the watched MLJobs. An empty text selects all MLJobs.
    """
    if selector:
        settings.watching.label_selectors[f"{PLURAL}.{GROUP}"] = selector
    # The operator creates its own Events. kopf would create an Event for each of its log lines.
    settings.posting.enabled = False
    # The operator names its resources, so kopf need not look for resources. Such a scan needs a
    # permission on all CRDs.
    settings.scanning.disabled = True
    # kopf starts a worker for each object of the first list. A worker keeps the last version of its
    # object in memory until the worker has been idle for this many seconds.
    settings.queueing.idle_timeout = 0.1
    settings.watching.chunk_size = PAGE
    settings.watching.reconnect_backoff = 0.5
    # The timeouts end watches whose connection the network has dropped silently.
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 330
    settings.watching.connect_timeout = 10
    settings.networking.request_timeout = 30
    settings.networking.error_backoffs = EndlessBackoff()
    settings.persistence.diffbase_storage = _NoDiffBase()


class _NoDiffBase(kopf.DiffBaseStorage):
    """Copies and stores nothing. kopf's default storage copies every received object for change
    handlers, and the operator has no change handlers. The copies took a third of the operator's
    time per event.
    """

    def build(self, *, body: kopf.Body, extra_fields: Iterable[Any] | None = None) -> kopf.BodyEssence:
        return kopf.BodyEssence()

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:
        return None

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None: ...
