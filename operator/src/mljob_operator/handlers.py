"""kopf's handlers: what the operator does when it starts, when it ends, and when an MLJob, an AirflowInstance or a namespace is seen.

Only the low-level event handler is used. The operator is level-triggered: it needs to know what an MLJob is now, not what changed, so
kopf has nothing to remember for it, and no annotation of anybody's is put on a user's object.
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
from mljob_contract.mljob import GROUP, PLURAL, VERSION

from .adapters import instances as instance_objects
from .adapters.kubernetes import PAGE, read
from .adapters.watch import Patience, Watch, credentials
from .controllers.airflow_instance.controller import AirflowInstanceController
from .controllers.mljob.controller import MLJobController

log = logging.getLogger(__name__)
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Operator(Protocol):
    """What the handlers need of :mod:`.main`."""

    queue: MLJobController
    instances: AirflowInstanceController
    watch: Watch

    async def start(self) -> None:
        """Begin the work beside the watch."""
        ...

    async def stop(self) -> None:
        """End it."""
        ...


def registry(operator: Operator, stop: Callable[[], None], *, with_instances: bool) -> kopf.OperatorRegistry:
    """The handlers, bound to an operator.

    Args:
        operator: What they tell of what they see.
        stop: Tells kopf to end.
        with_instances: Whether it watches AirflowInstances, and the namespaces that their rules select.
    """
    registry = kopf.OperatorRegistry()

    # What fails in here is a defect. kopf would try again each minute, in a process that is half started.
    @kopf.on.startup(registry=registry, errors=kopf.ErrorsMode.PERMANENT)
    async def begin(settings: kopf.OperatorSettings, **_: Any) -> None:
        configure(settings)
        await _take_signals(stop)
        try:
            await operator.start()
        except BaseException:
            # kopf's cleanup is for an operator that has started.
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
    async def seen(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002  # kopf's name
        with _by_itself(body):
            job = read(dict(body))
            if job is None:
                return
            if type == "DELETED":
                operator.queue.vanished(job.key, job.uid)
            else:
                operator.queue.observe(job)

    if with_instances:
        _watch_instances(registry, operator)
    return registry


def _watch_instances(registry: kopf.OperatorRegistry, operator: Operator) -> None:
    @kopf.on.event(GROUP, VERSION, airflow_instance.PLURAL, registry=registry)
    async def instance_seen(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002  # kopf's name
        with _by_itself(body):
            instance = instance_objects.read(dict(body))
            if instance is None:
                return
            if type == "DELETED":
                operator.instances.vanished(instance.name, instance.uid)
            else:
                operator.instances.observe(instance)

    @kopf.on.event("v1", "namespaces", registry=registry)
    async def namespace_seen(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002  # kopf's name
        with _by_itself(body):
            if type == "DELETED":
                operator.instances.namespace_gone(body.metadata["name"])
            else:
                operator.instances.namespace_seen(body.metadata["name"], dict(body.metadata.labels))


@contextmanager
def _by_itself(body: kopf.Body) -> Iterator[None]:
    """What goes wrong with one object is logged, and is none of kopf's business: it would deliver the same again."""
    try:
        yield
    except Exception:
        meta = body.metadata
        log.exception("%s %s/%s: unexpected error", body.get("kind"), meta.get("namespace"), meta.get("name"))


async def _take_signals(stop: Callable[[], None]) -> None:
    """Be told to end by signals. kopf's own handler of them fails on the second one."""
    # kopf sets its handlers when it has begun this task.
    await asyncio.sleep(0)
    for number in SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, stop)


def ignore_signals() -> None:
    """The process ends: one more signal would end it at once, as the signal's default does, and without its exit code."""
    for number in SIGNALS:
        asyncio.get_running_loop().remove_signal_handler(number)
        signal.signal(number, signal.SIG_IGN)


def configure(settings: kopf.OperatorSettings) -> None:
    """Kopf's settings, where its defaults are not ours."""
    # Our Events come from the status queue; kopf would post its own log lines as Events.
    settings.posting.enabled = False
    # The resource is known; looking for others costs a permission on all CRDs.
    settings.scanning.disabled = True
    # A worker keeps the last version of its object until it ends, and there is one for each object of the first list.
    settings.queueing.idle_timeout = 0.1
    settings.watching.chunk_size = PAGE
    settings.watching.reconnect_backoff = 0.5
    # A watch that the network has dropped silently is noticed.
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 330
    settings.watching.connect_timeout = 10
    settings.networking.request_timeout = 30
    settings.networking.error_backoffs = Patience()
    settings.persistence.diffbase_storage = _NothingKept()


class _NothingKept(kopf.DiffBaseStorage):
    """kopf keeps no last-seen version to compare with.

    Only handlers of changes would ask for one, and there are none. The default storage copies every object that the watch delivers,
    status and all, to find it: that was a third of what an event costs the operator.
    """

    def build(self, *, body: kopf.Body, extra_fields: Iterable[Any] | None = None) -> kopf.BodyEssence:
        """Nothing of an object counts for a comparison."""
        return kopf.BodyEssence()

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:
        """Nothing was kept."""
        return None

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        """Keep nothing."""
