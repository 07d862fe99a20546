"""The Airflows from which mljob-api reads. The access rules and the credentials are the same as in
the operator.

mljob-api does not watch AirflowInstances, namespaces and Secrets. When a request needs such an
object, mljob-api reads the object. Later requests use the same object for at most
``INSTANCES_SECONDS`` or, if the object is a Secret, ``LOGIN_SECONDS``.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from functools import partial
from weakref import WeakValueDictionary

from ..controllers.airflow_instance.registry import AirflowRegistry
from ..core.airflow_instance.catalog import AIRFLOW_GONE, find_refusal
from ..core.run.run_key import SETTINGS_AIRFLOW
from ..errors import AirflowInstanceNotFound, AirflowInstanceNotReady
from ..ports import DagRuns, InstanceStore, User
from .errors import Refusal
from .refreshed import Refreshed

INSTANCES_SECONDS = 5.0
"""The time, in seconds, for which a list of AirflowInstances or the labels of a namespace are used.
After this time, the next request reads them again.
"""
LOGIN_SECONDS = 60.0
"""The time, in seconds, for which the Secrets of an Airflow are used. After this time, the next
request reads them again.
"""
LOGIN_AT_MOST_EVERY = 5.0
"""The shortest time between two readings of the Secrets of an Airflow, in seconds."""
LOGS_OF_A_NAMESPACE = 3
"""The maximum number of requests for logs of one namespace in one Airflow at the same time. The
adapter of an Airflow has 8 threads for logs.
"""
MAX_NAMESPACES = 1_000
"""The maximum number of namespaces whose labels are remembered."""


class ApiAirflows:
    """The Airflows of the AirflowInstances and, if ``MLJOB_AIRFLOW_URL`` is set, the Airflow with
    this URL (the Airflow of the settings).

    Args:
        registry: Has the adapters and access rules of the Airflows. :class:`ApiAirflows` adds
            AirflowInstances and namespaces to the registry.
        store: Reads AirflowInstances, namespaces and Secrets.
        topic: The Kafka topic for the Airflow of the settings.
        with_instances: Whether mljob-api uses AirflowInstances (``MLJOB_AIRFLOW_INSTANCES``).
    """

    def __init__(self, registry: AirflowRegistry, store: InstanceStore, *, topic: str, with_instances: bool) -> None:
        self._topic = topic
        self._registry = registry
        self._store = store
        self._with_instances = with_instances
        self._instances = Refreshed(self._read_instances, seconds=INSTANCES_SECONDS)
        self._namespaces: OrderedDict[str, Refreshed] = OrderedDict()
        self._logins: dict[str, Refreshed] = {}
        self._turns: WeakValueDictionary[tuple[str, str], asyncio.Semaphore] = WeakValueDictionary()

    async def dag_runs(self, namespace: str, airflow: str, dag_id: str) -> DagRuns:
        """Return a :class:`.DagRuns`, which sends requests about dag runs to an Airflow.

        Callers must not keep the :class:`.DagRuns` for later requests of a client, because access
        rules and credentials may change.

        Raises:
            Refusal: No access rule lets the namespace run the DAG, or the Airflow does not exist.
            OperatorError: The Kubernetes API fails, or the Airflow can't be used.
        """
        if self._with_instances:
            await self._instances.ensure()
            await self._labels(namespace).ensure()
        refusal = find_refusal(self._registry.catalog(namespace), airflow, dag_id)
        if refusal is not None:
            raise Refusal(404 if refusal.reason == AIRFLOW_GONE else 403, refusal.message)
        await self._login(airflow).ensure()
        return self._registry.dag_runs(airflow, User(namespace, dag_id))

    def refused(self, airflow: str) -> None:
        """Record that an Airflow has refused the credentials.

        The first request that comes at least ``LOGIN_AT_MOST_EVERY`` seconds after the last reading
        of this Airflow's Secrets then reads these Secrets again.
        """
        if (login := self._logins.get(airflow)) is not None:
            login.expire(at_most_every=LOGIN_AT_MOST_EVERY)

    def topic(self, airflow: str) -> str:
        """Return the Kafka topic of an Airflow's events."""
        registered = self._registry.find(airflow)
        return self._registry.topic_of(registered.instance) if registered is not None else self._topic

    def may_have_sent(self, airflow: str, source: str | None) -> bool:
        """Return whether an event in this Airflow's topic may come from this Airflow.

        Args:
            airflow: The name of the Airflow.
            source: The source that the event names, or None. An AirflowInstance has the source of
                its events in ``spec.kafka.source``.
        """
        return airflow in self._registry.origins(self.topic(airflow), source)

    def turn(self, airflow: str, namespace: str) -> asyncio.Semaphore:
        """Return the semaphore that limits a namespace's concurrent requests for logs from an
        Airflow. The limit keeps threads of the Airflow's adapter free for other namespaces.
        """
        found = self._turns.get((airflow, namespace))
        if found is None:
            found = self._turns[airflow, namespace] = asyncio.Semaphore(LOGS_OF_A_NAMESPACE)
        return found

    async def close(self) -> None:
        """Close the adapters. Wait for requests that are being sent, and drop queued requests."""
        await self._registry.close()

    async def _read_instances(self) -> None:
        registry, found = self._registry, {instance.name: instance for instance in await self._store.list()}
        for known in list(registry.instances):
            if known.instance.name not in found:
                registry.remove(known)
                self._logins.pop(known.instance.name, None)
        for name, instance in found.items():
            registered = registry.find(name)
            if registered is None or registered.instance.uid != instance.uid:
                if registered is not None:
                    registry.remove(registered)
                registry.add(instance)
                self._logins.pop(name, None)
            elif registry.update(registered, instance):
                self._logins.pop(name, None)

    def _labels(self, namespace: str) -> Refreshed:
        found = self._namespaces.pop(namespace, None)
        if found is None:
            found = Refreshed(partial(self._read_labels, namespace), seconds=INSTANCES_SECONDS)
        self._namespaces[namespace] = found
        if len(self._namespaces) > MAX_NAMESPACES:
            oldest, _ = self._namespaces.popitem(last=False)
            self._registry.remove_namespace(oldest)
        return found

    async def _read_labels(self, namespace: str) -> None:
        labels = await self._store.namespace(namespace)
        if labels is None:
            self._registry.remove_namespace(namespace)
        else:
            self._registry.set_namespace(namespace, labels)

    def _login(self, airflow: str) -> Refreshed:
        found = self._logins.get(airflow)
        if found is None:
            own = airflow == SETTINGS_AIRFLOW
            read: Callable[[], Awaitable[object]] = (
                self._registry.refresh_own_logins if own else partial(self._connect, airflow)
            )
            found = self._logins[airflow] = Refreshed(read, seconds=LOGIN_SECONDS)
        return found

    async def _connect(self, airflow: str) -> None:
        registered = self._registry.find(airflow)
        if registered is None:
            raise AirflowInstanceNotFound(f"AirflowInstance {airflow!r} of the run does not exist.")
        if registered.instance.problem is not None:
            raise AirflowInstanceNotReady(f"AirflowInstance {airflow} is not ready. {registered.instance.problem}.")
        await self._registry.connect(registered)
        await self._registry.refresh_logins(registered, ask=False)
