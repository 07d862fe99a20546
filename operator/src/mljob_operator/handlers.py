"""kopf's handlers: what the operator does when it starts, when it ends, and when an MLJob, an AirflowInstance or a namespace is seen.

Only the low-level event handler is used. The operator is level-triggered: it needs to know what an MLJob is now, not what changed, so
kopf has nothing to remember for it, and no annotation of anybody's is put on a user's object.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import kopf

from mljob_contract import airflow_instance
from mljob_contract.mljob import GROUP, PLURAL, VERSION

from .adapters import instances as instance_objects
from .adapters.kubernetes import in_cluster, read
from .instances import Instances
from .job_queue import JobQueue

log = logging.getLogger(__name__)


class Operator(Protocol):
    """What the handlers need of :mod:`.main`."""

    queue: JobQueue
    instances: Instances

    async def start(self) -> None:
        """Begin the work beside the watch."""
        ...

    async def stop(self) -> None:
        """End it."""
        ...


def registry(operator: Operator, *, with_instances: bool) -> kopf.OperatorRegistry:
    """The handlers, bound to an operator; ``with_instances`` it watches AirflowInstances, and the namespaces that their rules select."""
    registry = kopf.OperatorRegistry()

    @kopf.on.startup(registry=registry)
    async def begin(settings: kopf.OperatorSettings, **_: Any) -> None:
        configure(settings)
        await operator.start()

    @kopf.on.login(registry=registry)
    def log_in(**kwargs: Any) -> kopf.ConnectionInfo | None:
        return kopf.login_with_service_account(**kwargs) if in_cluster() else kopf.login_with_kubeconfig(**kwargs)

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


def configure(settings: kopf.OperatorSettings) -> None:
    """Kopf's settings, where its defaults are not ours."""
    # Our Events come from the status queue; kopf would post its own log lines as Events.
    settings.posting.enabled = False
    # The resource is known; looking for others costs a permission on all CRDs.
    settings.scanning.disabled = True
    # An MLJob is acted on at once; bursts are coalesced by the queue.
    settings.queueing.batch_window = 0.0
    settings.watching.reconnect_backoff = 0.5
    # A watch that the network has dropped silently is noticed.
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 330
    settings.watching.connect_timeout = 10
    settings.networking.request_timeout = 30
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
