"""The registry of all Airflows: the Airflow of each AirflowInstance, and the Airflow of the
operator's settings. The registry has their adapters, access rules, logins and readiness. An adapter
is a client of an Airflow's REST API.

Callers ask the registry for the adapter before each use, because the registry may create a new
adapter at any time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from mljob_contract.airflow_instance import AccessRule, Credentials

from ...core.airflow_instance.access import OUR_DAGS, Namespace
from ...core.airflow_instance.admission import Limits
from ...core.airflow_instance.catalog import NO_AIRFLOW, AirflowCatalog
from ...core.airflow_instance.credentials import Login
from ...core.airflow_instance.instance import Instance, defaults
from ...core.frozen import frozen
from ...core.run.run_key import SETTINGS_AIRFLOW
from ...core.status.airflow_instance import Readiness
from ...errors import AirflowInstanceNotFound, AirflowInstanceNotReady
from ...ports import Airflow, DagRuns, ProbeResult, User
from .logins import AccessLogins, Logins

log = logging.getLogger(__name__)

NOT_ASKED = Readiness(False, "NotAskedYet", "Waiting for its first answer to the operator.")


class Changed(Protocol):
    """A function that is called when Airflows, access rules, logins or namespaces have changed."""

    def __call__(self, *, namespace: str | None = None, airflow: str | None = None) -> None:
        """Wake the MLJobs that wait for an Airflow, an access rule, a login or a change of the
        limits on active runs.

        Args:
            namespace: Wake only the MLJobs of this namespace. None for all namespaces.
            airflow: Wake only the MLJobs whose run is, or will be, in this Airflow. None for all
                Airflows.
        """
        ...


@frozen
class OwnAirflow:
    """The Airflow of the operator's settings.

    Attributes:
        airflow: The adapter.
        ui_url: The base URL of the Airflow's UI.
        access: The access rules. None if the settings have no access rules.
        connect: Creates an adapter for an access rule's credentials. None if no access rule may
            have credentials.
    """

    airflow: Airflow
    ui_url: str
    access: Sequence[AccessRule] | None = None
    connect: Callable[[Login], Airflow] | None = None


@dataclass(slots=True)
class RegisteredInstance:
    """An AirflowInstance in the registry.

    Attributes:
        instance: The latest version of the AirflowInstance.
        logins: The logins of the access rules.
        airflow: The adapter. None until the credentials were read for the first time.
        adapter_inputs: The URL, the TLS settings and the login of the adapter. None without an
            adapter.
        readiness: Whether the Airflow can be used, and why not.
        probe_result: Airflow's answer to the last probe. None before the first probe, during a
            probe, and after a failed probe.
        failures: The number of reconciliations in a row that have failed. A reconciliation also
            counts as failed if the Airflow is not ready, or if the AirflowInstance is being
            deleted.
        probe_requested: Set when an early probe is needed.
        task: The asyncio task that reconciles the AirflowInstance. None before the start.
    """

    instance: Instance
    logins: AccessLogins
    airflow: Airflow | None = None
    adapter_inputs: object = None
    readiness: Readiness = NOT_ASKED
    probe_result: ProbeResult | None = None
    failures: int = 0
    probe_requested: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None


class AirflowRegistry:
    """The registry of all Airflows. All methods run in the event loop's thread.

    Args:
        logins: Reads logins from Secrets.
        connect: Creates the adapter of an AirflowInstance.
        own: The Airflow of the operator's settings. None if the settings name no Airflow.
        topic: The Kafka topic of the settings' Airflow, and of each AirflowInstance without
            ``spec.kafka.topic``.
        reserved: Globs for the ids of DAGs that MLJobs may not run. MLJobs may not run the DAGs
            that come with this project's Airflow provider (``OUR_DAGS``) either. Exception: an
            MLJob may run a monitoring DAG (``MONITORING_DAGS``) if the MLJob's access rule has the
            DAG's id itself, not a glob.
        watches_namespaces: Whether the labels of namespaces are read. If false, access rules can
            select namespaces only by name.
    """

    def __init__(
        self,
        logins: Logins,
        connect: Callable[[Instance, Login], Airflow],
        *,
        own: OwnAirflow | None,
        topic: str,
        reserved: Sequence[str] = (),
        watches_namespaces: bool = True,
    ) -> None:
        self._login_reader = logins
        self._connect = connect
        self._own = own
        self._topic = topic
        self._reserved = (*OUR_DAGS, *reserved)
        self._watches_namespaces = watches_namespaces
        self._registered: dict[str, RegisteredInstance] = {}
        self._instances: dict[str, Instance] = {}
        self._not_ready: dict[str, str] = {}
        self._namespaces: dict[str, Namespace] = {}
        self._logins: dict[tuple[str, Credentials], str | None] = {}
        self._own_logins = self._new_logins()
        self.own_refresh_requested = asyncio.Event()
        """Set when the logins of the settings' access rules should be refreshed early."""
        self.own_probe_requested = asyncio.Event()
        """Set when the settings' Airflow should be probed early."""
        self._defaults: list[str] = []
        self._origins: dict[tuple[str, str | None], frozenset[str]] = {}

    # AirflowInstances

    @property
    def instances(self) -> Collection[RegisteredInstance]:
        """The RegisteredInstance of each AirflowInstance."""
        return self._registered.values()

    def find(self, name: str) -> RegisteredInstance | None:
        """Return the RegisteredInstance of the AirflowInstance with this name, or None."""
        return self._registered.get(name)

    def add(self, instance: Instance) -> RegisteredInstance:
        """Add an AirflowInstance, and return its RegisteredInstance. The AirflowInstance is not
        ready yet.
        """
        registered = self._registered[instance.name] = RegisteredInstance(instance, self._new_logins())
        self._instances[instance.name] = instance
        self._not_ready[instance.name] = NOT_ASKED.message
        self._recompute()
        return registered

    def update(self, registered: RegisteredInstance, instance: Instance) -> bool:
        """Replace an AirflowInstance with a later version.

        Returns:
            Whether the spec or the annotation ``mljob.dev/is-default-instance`` has changed, or the
            deletion has begun.
        """
        before = registered.instance
        registered.instance = self._instances[instance.name] = instance
        if (before.generation, before.annotated, before.deleting) == (
            instance.generation,
            instance.annotated,
            instance.deleting,
        ):
            return False
        self._recompute()
        return True

    def remove(self, registered: RegisteredInstance) -> None:
        """Remove a deleted AirflowInstance. Its adapter is not closed, because callers may still
        wait for answers.
        """
        name = registered.instance.name
        del self._registered[name], self._instances[name]
        self._not_ready.pop(name, None)
        self._forget_logins(name)
        self._recompute()

    def set_readiness(self, registered: RegisteredInstance, readiness: Readiness) -> None:
        """Set whether an AirflowInstance can be used."""
        registered.readiness = readiness
        if readiness.ready:
            self._not_ready.pop(registered.instance.name, None)
        else:
            self._not_ready[registered.instance.name] = readiness.message

    @property
    def defaults(self) -> Sequence[str]:
        """The names of the AirflowInstances whose annotation ``mljob.dev/is-default-instance`` is
        "true". The first is the default.

        AirflowInstances that are being deleted are left out.
        """
        return self._defaults

    def _recompute(self) -> None:
        self._defaults = defaults(self._instances.values())
        self._origins.clear()

    # Namespaces

    @property
    def namespaces(self) -> Mapping[str, Namespace]:
        """The namespaces with their labels, by name."""
        return self._namespaces

    def set_namespace(self, name: str, labels: Mapping[str, str]) -> bool:
        """Store the labels of a namespace, and return whether the labels have changed."""
        namespace = Namespace(name, dict(labels))
        if self._namespaces.get(name) == namespace:
            return False
        self._namespaces[name] = namespace
        return True

    def remove_namespace(self, name: str) -> None:
        """Forget the labels of a deleted namespace."""
        self._namespaces.pop(name, None)

    # Airflows

    def dag_runs(self, name: str, user: User | None = None, *, cancelling: bool = False) -> DagRuns:
        """Return a :class:`.DagRuns` that sends requests to an Airflow.

        The requests use the credentials of the MLJob's access rule, or else the Airflow's own
        credentials.

        Args:
            name: The name of an AirflowInstance, or ``SETTINGS_AIRFLOW`` for the Airflow of the
                settings.
            user: The namespace and the DAG of the MLJob. None for requests of the operator itself.
            cancelling: Whether the requests are for an MLJob that is being cancelled.

        Raises:
            AirflowInstanceNotFound: No AirflowInstance has this name.
            AirflowInstanceNotReady: The operator does not have the Airflow's own credentials yet,
                or has not tried to read the access rule's credentials yet. Or ``name`` is
                ``SETTINGS_AIRFLOW``, and the settings name no Airflow any more.
            AirflowUnauthorized: The operator has tried to read the access rule's credentials, but
                without success so far.
        """
        airflow = self._own_airflow() if name == SETTINGS_AIRFLOW else self._airflow_of(name)
        credentials = self._credentials(name, user)
        if credentials is not None:
            airflow = self._access_logins(name).airflow(credentials)
        return airflow.cancelling if cancelling else airflow

    def _own_airflow(self) -> Airflow:
        if self._own is None:
            raise AirflowInstanceNotReady(
                "The run is in the Airflow of the operator's settings, and MLJOB_AIRFLOW_URL is not set any more."
            )
        return self._own.airflow

    def _airflow_of(self, name: str) -> Airflow:
        registered = self._registered.get(name)
        if registered is None:
            raise AirflowInstanceNotFound(
                f"The run's AirflowInstance {name!r} does not exist. Create it again, and the operator follows the run again."
            )
        if registered.airflow is None:
            raise AirflowInstanceNotReady(f"AirflowInstance {name} is not ready. {registered.readiness.message}")
        return registered.airflow

    def _access_logins(self, name: str) -> AccessLogins:
        return self._own_logins if name == SETTINGS_AIRFLOW else self._registered[name].logins

    def _rules(self, name: str) -> Sequence[AccessRule]:
        return self._catalog(Namespace("")).access(name)

    def _credentials(self, name: str, user: User | None) -> Credentials | None:
        """Return the credentials of the access rule for an MLJob. Return None if requests for the
        MLJob use the Airflow's own credentials.

        If no access rule admits an MLJob any more, the operator uses the Airflow's own credentials
        for the MLJob's runs.
        """
        return self.catalog(user.namespace).credentials(name, user.dag_id) if user is not None else None

    def ui_url(self, name: str) -> str | None:
        """Return the base URL of an Airflow's UI, or None if no Airflow has this name."""
        if name == SETTINGS_AIRFLOW:
            return self._own.ui_url if self._own is not None else None
        instance = self._instances.get(name)
        return instance.ui_url if instance is not None else None

    def limits(self, name: str) -> Limits:
        """Return the limits for active runs of MLJobs in an Airflow."""
        return self._catalog(Namespace("")).limits(name)

    def catalog(self, namespace: str) -> AirflowCatalog:
        """Return the :class:`.AirflowCatalog` for a namespace: all Airflows, and what the MLJobs of
        the namespace may do with the Airflows.
        """
        found = self._namespaces.get(namespace)
        return self._catalog(found or Namespace.known_by_name(namespace, pending=self._watches_namespaces))

    def _catalog(self, namespace: Namespace) -> AirflowCatalog:
        own = self._own
        return AirflowCatalog(
            self._instances,
            self._not_ready,
            own is not None,
            own.access if own is not None else None,
            self._defaults[0] if self._defaults else SETTINGS_AIRFLOW if own is not None else NO_AIRFLOW,
            namespace,
            self._reserved,
            self._logins,
        )

    def request_probe(self, name: str, user: User | None = None) -> None:
        """Request an early probe of an Airflow, and let the logins of the Airflow's access rules be
        read again soon. Unknown names are ignored.

        Args:
            name: The Airflow's name.
            user: The namespace and the DAG of an MLJob. If given, the credentials of the access
                rule for this MLJob are tried too.
        """
        registered = self._registered.get(name)
        if name != SETTINGS_AIRFLOW and registered is None:
            return
        if (credentials := self._credentials(name, user)) is not None:
            self._access_logins(name).mark_suspect(credentials)
        if registered is not None:
            registered.probe_requested.set()
        else:
            self.own_refresh_requested.set()
            self.own_probe_requested.set()

    def resume(self, name: str) -> None:
        """Let requests to an Airflow be sent at once. Call this method when the Airflow answers
        again. Unknown names are ignored.
        """
        if name in self.names():
            main = self._own_airflow() if name == SETTINGS_AIRFLOW else self._airflow_of(name)
            for airflow in (main, *self._access_logins(name).airflows):
                airflow.resume()

    def names(self) -> list[str]:
        """Return the names of the Airflows that have an adapter."""
        own = [SETTINGS_AIRFLOW] if self._own is not None else []
        return [*own, *sorted(name for name, registered in self._registered.items() if registered.airflow is not None)]

    def topics(self) -> set[str]:
        """Return the Kafka topics of all Airflows, including the topic of the settings."""
        return {self._topic} | {self.topic_of(instance) for instance in self._instances.values()}

    def origins(self, topic: str, source: str | None) -> frozenset[str]:
        """Return the names of the Airflows that may have sent an event.

        Only Airflows on the topic count. The result has the AirflowInstances that name the source.
        If there are none, the result has the AirflowInstances that name no source, and the Airflow
        of the settings.

        Args:
            topic: The Kafka topic of the event.
            source: The event's name for its Airflow (``spec.kafka.source`` of an AirflowInstance),
                or None.
        """
        found = self._origins.get((topic, source))
        if found is None:
            on_topic = [instance for instance in self._instances.values() if self.topic_of(instance) == topic]
            with_source = [
                instance.name for instance in on_topic if source is not None and instance.spec.kafka.source == source
            ]
            without_source = [instance.name for instance in on_topic if instance.spec.kafka.source is None]
            if self._own is not None and topic == self._topic:
                without_source.append(SETTINGS_AIRFLOW)
            if len(self._origins) > 1000:
                # Producers choose the source, and may use a new source for each event. So the cache
                # needs a limit.
                self._origins.clear()
            found = self._origins[topic, source] = frozenset(with_source or without_source)
        return found

    def topic_changed(self, topic: str) -> None:
        """Request early probes, because the operator's connection to the brokers of a Kafka topic
        was made or lost. So the statuses show the change.

        Args:
            topic: The topic. Only AirflowInstances on this topic are probed.
        """
        for registered in self._registered.values():
            if self.topic_of(registered.instance) == topic:
                registered.probe_requested.set()

    def topic_of(self, instance: Instance) -> str:
        """Return the Kafka topic of an AirflowInstance's events."""
        return instance.spec.kafka.topic or self._topic

    # Adapters

    async def connect(self, registered: RegisteredInstance) -> Airflow:
        """Read the login of an AirflowInstance, and return the adapter with this login. This method
        creates a new adapter only if there is no adapter yet, or if the URL, the TLS settings or
        the login has changed.

        Raises:
            ReferenceMissing: A Secret can't be read, lacks the label for Airflow's credentials, or
                lacks a key.
            InvalidCredentials: A value can't be sent in an HTTP header. Or the credentials name a
                token file, but the operator has no folder of token files.
            StoreError: The Kubernetes API fails.
        """
        instance = registered.instance
        login = await self._login_reader.read(instance.spec.credentials)
        adapter_inputs = (instance.spec.url, instance.spec.tls, login)
        if registered.airflow is None or registered.adapter_inputs != adapter_inputs:
            # The old adapter stays open for callers that still wait for answers.
            registered.airflow, registered.adapter_inputs = self._connect(instance, login), adapter_inputs
        return registered.airflow

    async def refresh_logins(self, registered: RegisteredInstance, *, ask: bool) -> bool:
        """Read the logins of an AirflowInstance's access rules again.

        Args:
            registered: The AirflowInstance.
            ask: Whether to try the logins that have failed in a request. Pass False if the Airflow
                is not reachable.

        Returns:
            Whether the access rules have other credentials than at the last refresh, or the problem
            of a login has changed. A new value in a Secret alone does not count. False if the
            AirflowInstance was deleted meanwhile.

        Raises:
            StoreError: The Kubernetes API fails.
        """
        instance = registered.instance
        address = instance.spec.url, instance.spec.tls
        return await self._refresh_logins(instance.name, partial(self._connect, instance), address, ask=ask)

    async def refresh_own_logins(self) -> bool:
        """Read the logins of the settings' access rules again, and try the logins that have failed
        in a request.

        Returns:
            Whether this is the first refresh, or the problem of a login has changed. A new value in
            a Secret alone does not count. False if no access rule has credentials.

        Raises:
            StoreError: The Kubernetes API fails.
        """
        if self._own is None or self._own.connect is None:
            return False
        return await self._refresh_logins(SETTINGS_AIRFLOW, self._own.connect, None, ask=True)

    async def close(self) -> None:
        """Close the adapters. Wait for requests that are being sent, and drop queued requests."""
        airflows = [registered.airflow for registered in self._registered.values() if registered.airflow is not None]
        if self._own is not None:
            airflows.append(self._own.airflow)
        logins = [self._own_logins, *(registered.logins for registered in self._registered.values())]
        await asyncio.gather(*(airflow.close() for airflow in airflows), *(login.close() for login in logins))

    def _new_logins(self) -> AccessLogins:
        return AccessLogins(self._login_reader.read)

    async def _refresh_logins(
        self, name: str, connect: Callable[[Login], Airflow], address: object, *, ask: bool
    ) -> bool:
        all_credentials = [rule.credentials for rule in self._rules(name) if rule.credentials is not None]
        logins = self._access_logins(name)
        await logins.refresh(all_credentials, connect, address, ask=ask)
        if name != SETTINGS_AIRFLOW and (
            self._registered.get(name) is None or self._registered[name].logins is not logins
        ):
            # The AirflowInstance was deleted during the refresh.
            return False
        problems = {(name, found): problem for found, problem in logins.problems.items()}
        problem_messages = {key: problem.message if problem is not None else None for key, problem in problems.items()}
        before = {key: why for key, why in self._logins.items() if key[0] == name}
        if problem_messages == before:
            return False
        self._forget_logins(name)
        self._logins.update(problem_messages)
        for (_, credentials), problem in problems.items():
            if problem is not None and before.get((name, credentials)) != problem.message:
                log.warning("%s: %s", f"AirflowInstance {name}" if name else "Airflow", problem.message)
        return True

    def _forget_logins(self, name: str) -> None:
        for key in [key for key in self._logins if key[0] == name]:
            del self._logins[key]
