"""The controller of AirflowInstances: the state of each Airflow, and the adapter for its REST API.

Each AirflowInstance has its own task. The task reads the Secret, creates an adapter and probes the
Airflow every ``PROBE_INTERVAL`` seconds, or sooner after a failed request. So an Airflow that is
down delays only its own MLJobs. A changed address or Secret leads to a new adapter. Callers ask for
the adapter before each use, and don't keep it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from traceback import format_tb
from typing import Any, Protocol

from mljob_contract.airflow_instance import AccessRule, Credentials

from ...core.airflow_instance.access import OUR_DAGS, Namespace
from ...core.airflow_instance.admission import AdmissionQueue, Limits
from ...core.airflow_instance.catalog import NO_AIRFLOW, AirflowCatalog
from ...core.airflow_instance.credentials import Login
from ...core.airflow_instance.instance import Instance, defaults
from ...core.run.run_key import SETTINGS_AIRFLOW, Key
from ...core.run.vanishing import REASON as RUNS_VANISHED
from ...core.run.vanishing import MissingRuns, reported
from ...core.status.airflow_instance import Readiness, View, events_of, report
from ...core.status.events import KubeEvent
from ...core.status.patches import merge_patch
from ...errors import (
    AirflowError,
    AirflowInstanceNotFound,
    AirflowInstanceNotReady,
    Conflict,
    Gone,
    OperatorError,
    ReferenceMissing,
    StoreError,
    backoff,
)
from ...ports import Airflow, Clock, DagRuns, InstanceStore, Meter, Pulse, User
from .event_links import EventLinks
from .logins import AccessLogins, Logins, reason
from .own_probe import OwnProbe

log = logging.getLogger(__name__)

PROBE_INTERVAL = 15.0
"""Seconds between two probes of an AirflowInstance that is ready."""
PROBE_AT_MOST_EVERY = 1.0
"""The shortest time in seconds between two probes of an AirflowInstance."""

_NOT_ASKED = Readiness(False, "NotAskedYet", "The operator has not asked it yet.")


class Changed(Protocol):
    """Called when Airflows, access rules or namespaces have changed."""

    def __call__(self, *, namespace: str | None = None, airflow: str | None = None) -> None:
        """Reconsider MLJobs.

        Args:
            namespace: Only MLJobs of this namespace are concerned; None: of all namespaces.
            airflow: Only MLJobs of this Airflow are concerned; None: of all Airflows.
        """
        ...


@dataclass(frozen=True, slots=True)
class OwnAirflow:
    """The Airflow of the operator's settings.

    Attributes:
        ui_url: The Airflow's base URL for people.
        access: The access rules; None: the settings have no access rules.
        connect: Creates an adapter for the credentials of an access rule.
    """

    airflow: Airflow
    ui_url: str
    access: Sequence[AccessRule] | None = None
    connect: Callable[[Login], Airflow] | None = None


@dataclass(slots=True)
class _Member:
    """An AirflowInstance with its adapter, its logins and the result of the last probe."""

    instance: Instance
    logins: AccessLogins
    airflow: Airflow | None = None
    made_of: object = None
    readiness: Readiness = _NOT_ASKED
    pulse: Pulse | None = None
    accepted: str | None = None
    failures: int = 0
    asked_at: float = 0.0
    wanted: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None


class AirflowInstanceController:
    """All Airflows. Everything runs in the event loop's thread.

    Args:
        store: The AirflowInstances in the Kubernetes API.
        connect: Creates the adapter of an AirflowInstance.
        own: The Airflow of the settings; None: the settings have no Airflow.
        topic: The topic of the settings.
        reserved: Globs of DAG ids that no MLJob may run, besides the DAGs of the Airflow provider.
        watches_namespaces: Whether namespaces are watched. Otherwise access rules can select
            namespaces by name only.
        token_files: The folder of token files; None: credentials can't name token files.
        links: The connections to the brokers of each topic; None: Kafka is not configured.
    """

    def __init__(
        self,
        store: InstanceStore,
        connect: Callable[[Instance, Login], Airflow],
        clock: Clock,
        meter: Meter,
        *,
        own: OwnAirflow | None,
        topic: str,
        reserved: Sequence[str] = (),
        watches_namespaces: bool = True,
        token_files: str | None = None,
        links: EventLinks | None = None,
    ) -> None:
        self._links = links
        if links is not None:
            links.serve(self._link_changed)
        self._store = store
        self._login_reader = Logins(store, token_files)
        self._connect = connect
        self._clock = clock
        self._meter = meter
        self._own = own
        self._topic = topic
        self._reserved = (*OUR_DAGS, *reserved)
        self._watches_namespaces = watches_namespaces
        self._members: dict[str, _Member] = {}
        self._known: dict[str, Instance] = {}
        self._not_ready: dict[str, str] = {}
        self._namespaces: dict[str, Namespace] = {}
        self._logins: dict[tuple[str, Credentials], str | None] = {}
        self._own_logins = self._new_logins()
        self._own_wanted = asyncio.Event()
        self._own_task: asyncio.Task[None] | None = None
        self._own_probe: asyncio.Task[None] | None = None
        self._defaults: list[str] = []
        self._origins: dict[tuple[str, str | None], frozenset[str]] = {}
        self._background: set[asyncio.Task[None]] = set()
        self._changed: Changed = lambda **_: None
        self._users: Callable[[str], Sequence[Key]] = lambda _: ()
        self._admission = AdmissionQueue()
        self._missing_runs = MissingRuns()
        self._started = False

    def serve(
        self,
        admission: AdmissionQueue,
        missing_runs: MissingRuns,
        users: Callable[[str], Sequence[Key]],
        changed: Changed,
    ) -> None:
        """Connect this controller with the controller of MLJobs.

        Args:
            admission: The MLJobs that have a run in each Airflow, and those that wait for
                admission.
            missing_runs: The missing runs of each Airflow.
            users: The MLJobs that still need an Airflow, by the Airflow's name.
            changed: Called when MLJobs that wait may be able to continue.
        """
        self._admission, self._missing_runs = admission, missing_runs
        self._users, self._changed = users, changed
        for member in self._members.values():
            self._recall(member.instance)

    def start(self) -> None:
        """Start the tasks of all AirflowInstances and of the Airflow of the settings."""
        self._started = True
        for member in self._members.values():
            self._look_after(member)
        if self._own is not None:
            probe = OwnProbe(
                self._own.airflow, self._meter, lambda: self._missing_runs.vanished(SETTINGS_AIRFLOW) is not None
            )
            self._own_probe = asyncio.create_task(probe.run(), name="Airflow of the settings")
        if any(rule.credentials is not None for rule in self._rules(SETTINGS_AIRFLOW)):
            self._own_task = asyncio.create_task(self._tend_own(), name="access rules of the settings")

    async def close(self) -> None:
        """Stop the tasks and close the adapters. Requests that are being sent end first."""
        started = (self._own_task, self._own_probe, *(member.task for member in self._members.values()))
        tasks = [task for task in started if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        airflows = [member.airflow for member in self._members.values() if member.airflow is not None]
        if self._own is not None:
            airflows.append(self._own.airflow)
        logins = [self._own_logins, *(member.logins for member in self._members.values())]
        await asyncio.gather(*(airflow.close() for airflow in airflows), *(login.close() for login in logins))

    # What arrives

    def observe(self, instance: Instance) -> None:
        """The watch delivered a version of an AirflowInstance."""
        member = self._members.get(instance.name)
        if member is not None and member.instance.uid != instance.uid:
            self.vanished(instance.name, member.instance.uid)
            member = None
        if member is None:
            member = self._members[instance.name] = _Member(instance, self._new_logins())
            self._not_ready[instance.name] = _NOT_ASKED.message
            self._take(member, instance)
            self._recall(instance)
            self._reckon()
            if self._started:
                self._look_after(member)
            return
        known = member.instance
        if not instance.newer_than(known):
            return
        self._take(member, instance)
        if instance.accepts != known.accepts:
            member.wanted.set()
        if (known.generation, known.annotated, known.deleting) != (
            instance.generation,
            instance.annotated,
            instance.deleting,
        ):
            self._reckon()
            # The status of each AirflowInstance with the default annotation names the default.
            for other in self._members.values():
                if other is member or other.instance.annotated:
                    other.wanted.set()

    def vanished(self, name: str, uid: str) -> None:
        """The watch says that an AirflowInstance is gone."""
        member = self._members.get(name)
        if member is None or member.instance.uid != uid:
            return
        del self._members[name], self._known[name]
        self._not_ready.pop(name, None)
        self._forget_logins(name)
        if member.task is not None:
            member.task.cancel()
        self._meter.airflow_ready(name, None)
        log.info("AirflowInstance %s is gone", name)
        self._reckon()
        for other in self._members.values():
            if other.instance.annotated:
                other.wanted.set()

    def namespace_seen(self, name: str, labels: Mapping[str, str]) -> None:
        """The watch delivered a namespace."""
        namespace = Namespace(name, dict(labels))
        if self._namespaces.get(name) != namespace:
            self._namespaces[name] = namespace
            self._changed(namespace=name)

    def namespace_gone(self, name: str) -> None:
        """The watch says that a namespace is gone."""
        self._namespaces.pop(name, None)

    def _recall(self, instance: Instance) -> None:
        """Continue with vanished runs that the previous process recorded in the status."""
        if any(condition.reason == RUNS_VANISHED for condition in instance.status.conditions or ()):
            self._missing_runs.hold(instance.name)

    def _take(self, member: _Member, instance: Instance) -> None:
        member.instance = self._known[instance.name] = instance

    def _learn(self, member: _Member, answer: Instance) -> None:
        """Keep the version in an answer, unless the watch has delivered a later version or another
        object.
        """
        if answer.uid == member.instance.uid and answer.newer_than(member.instance):
            self._take(member, answer)

    def _reckon(self) -> None:
        """Recompute the default and the event sources, and tell the MLJobs."""
        self._defaults = defaults(self._known.values())
        self._origins.clear()
        self._changed()

    # Airflows

    def dag_runs(self, name: str, user: User | None = None, *, cancelling: bool = False) -> DagRuns:
        """The dag runs of an Airflow.

        The requests use the credentials of the access rule that admits the user. If the rule has no
        credentials, they use the Airflow's own.

        Args:
            name: The Airflow's name.
            user: The user; None: the operator itself.
            cancelling: Whether the requests are for an MLJob that is being cancelled.

        Raises:
            AirflowInstanceNotFound: No AirflowInstance has this name.
            AirflowInstanceNotReady: The operator has no credentials for the Airflow.
            AirflowUnauthorized: The access rule's credentials can't be used.
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
        member = self._members.get(name)
        if member is None:
            raise AirflowInstanceNotFound(
                f"The run's AirflowInstance {name!r} does not exist. Create it again, and the operator follows the run again."
            )
        if member.airflow is None:
            raise AirflowInstanceNotReady(f"AirflowInstance {name} is not ready. {member.readiness.message}")
        return member.airflow

    def _access_logins(self, name: str) -> AccessLogins:
        return self._own_logins if name == SETTINGS_AIRFLOW else self._members[name].logins

    def _rules(self, name: str) -> Sequence[AccessRule]:
        return self._around(Namespace("")).access(name)

    def _credentials(self, name: str, user: User | None) -> Credentials | None:
        """The credentials of the access rule that admits the user; None: the Airflow's own.

        If no rule admits the user any more, runs in progress continue with the Airflow's own
        credentials.
        """
        return self.catalog(user.namespace).credentials(name, user.dag_id) if user is not None else None

    def ui_url(self, name: str) -> str | None:
        """An Airflow's base URL for people."""
        if name == SETTINGS_AIRFLOW:
            return self._own.ui_url if self._own is not None else None
        instance = self._known.get(name)
        return instance.ui_url if instance is not None else None

    def limits(self, name: str) -> Limits:
        """How many runs of MLJobs may be active in an Airflow."""
        return self._around(Namespace("")).limits(name)

    def catalog(self, namespace: str) -> AirflowCatalog:
        """The Airflows, access rules and logins for MLJobs in this namespace."""
        known = self._namespaces.get(namespace)
        return self._around(known or Namespace.known_by_name(namespace, pending=self._watches_namespaces))

    def _around(self, namespace: Namespace) -> AirflowCatalog:
        own = self._own
        return AirflowCatalog(
            self._known,
            self._not_ready,
            own is not None,
            own.access if own is not None else None,
            self._defaults[0] if self._defaults else SETTINGS_AIRFLOW if own is not None else NO_AIRFLOW,
            namespace,
            self._reserved,
            self._logins,
        )

    def doubt(self, name: str, user: User | None = None) -> None:
        """Probe an Airflow soon, and try the user's credentials."""
        member = self._members.get(name)
        if name != SETTINGS_AIRFLOW and member is None:
            return
        if (credentials := self._credentials(name, user)) is not None:
            self._access_logins(name).doubt(credentials)
        (self._own_wanted if member is None else member.wanted).set()

    def names(self) -> list[str]:
        """The names of the Airflows that have an adapter."""
        own = [SETTINGS_AIRFLOW] if self._own is not None else []
        return [*own, *sorted(name for name, member in self._members.items() if member.airflow is not None)]

    def topics(self) -> set[str]:
        """The topics of all Airflows' events."""
        return {self._topic} | {self._topic_of(instance) for instance in self._known.values()}

    def origins(self, topic: str, source: str | None) -> frozenset[str]:
        """The Airflows that an event on this topic with this source may have come from."""
        found = self._origins.get((topic, source))
        if found is None:
            here = [instance for instance in self._known.values() if self._topic_of(instance) == topic]
            named = [instance.name for instance in here if source is not None and instance.spec.kafka.source == source]
            others = [instance.name for instance in here if instance.spec.kafka.source is None]
            if self._own is not None and topic == self._topic:
                others.append(SETTINGS_AIRFLOW)
            if len(self._origins) > 1000:
                # Producers choose the source, and may send another source with each event.
                self._origins.clear()
            found = self._origins[topic, source] = frozenset(named or others)
        return found

    def _link_changed(self, topic: str) -> None:
        """Update the status of each AirflowInstance whose events are on this topic."""
        for member in self._members.values():
            if self._topic_of(member.instance) == topic:
                member.wanted.set()

    def _topic_of(self, instance: Instance) -> str:
        return instance.spec.kafka.topic or self._topic

    # Looking after them

    def _look_after(self, member: _Member) -> None:
        member.task = asyncio.create_task(self._tend(member), name=f"AirflowInstance {member.instance.name}")

    async def _tend(self, member: _Member) -> None:
        """Probe repeatedly, until cancelled or the AirflowInstance is gone.

        The second condition is needed because Python 3.11 may lose a cancellation while it waits
        with a timeout (gh-86296).
        """
        while True:
            member.wanted.clear()
            delay = await self._guarded_look(member)
            if self._members.get(member.instance.name) is not member:
                return
            member.asked_at = asyncio.get_running_loop().time()
            try:
                async with asyncio.timeout(delay):
                    await member.wanted.wait()
                await asyncio.sleep(member.asked_at + PROBE_AT_MOST_EVERY - asyncio.get_running_loop().time())
            except TimeoutError:
                pass

    async def _guarded_look(self, member: _Member) -> float:
        """Reconcile once; seconds until the next time."""
        name = member.instance.name
        try:
            await self.look(name)
        except StoreError as error:
            member.failures += 1
            if not isinstance(error, Conflict | Gone):
                # After a Conflict or Gone, the watch delivers the change.
                log.warning("AirflowInstance %s: %s", name, error)
            return backoff(error, member.failures)
        except Exception:
            # A defect must not stop the task, and must be logged.
            member.failures += 1
            log.exception("AirflowInstance %s: unexpected error", name)
            return PROBE_INTERVAL
        if member.readiness.ready and not member.instance.deleting:
            member.failures = 0
            return PROBE_INTERVAL
        member.failures += 1
        return min(PROBE_INTERVAL, 2.0 ** min(member.failures - 1, 6))

    async def look(self, name: str) -> None:
        """Reconcile one AirflowInstance: its finalizer, its Secrets, its readiness and its status.

        Raises:
            StoreError: The Kubernetes API fails.
        """
        member = self._members[name]
        if member.instance.deleting and not self._users(name):
            if member.instance.has_finalizer:
                await self._store.set_finalizer(member.instance, present=False)
            return
        if not member.instance.deleting and not member.instance.has_finalizer:
            held = await self._store.set_finalizer(member.instance, present=True)
            if held is None:
                return
            self._learn(member, held)
        generation = member.instance.generation
        readiness = await self._ask(member)
        if self._members.get(name) is not member or member.instance.generation != generation:
            # The AirflowInstance is gone, or its spec has changed: then the next reconciliation,
            # which is due already, handles the new spec.
            return
        self._accept_vanished_runs(member)
        self._conclude(member, self._unless_runs_vanished(member.instance, readiness))
        instance = member.instance
        if instance.problem is None:
            # Without a readable address and readable rules, no login may happen.
            address = instance.spec.url, instance.spec.tls
            await self._refresh_logins(name, partial(self._connect, instance), address, ask=readiness.ready)
        if member.instance.generation == generation:
            await self._tell(member)

    async def _tend_own(self) -> None:
        """Refresh the logins of the settings' access rules repeatedly, until cancelled."""
        while True:
            self._own_wanted.clear()
            try:
                await self.look_at_own()
            except StoreError as error:
                log.warning("access rules of the settings: %s", error)
            except Exception:
                # A defect must not stop the task, and must be logged.
                log.exception("access rules of the settings: unexpected error")
            await asyncio.sleep(PROBE_AT_MOST_EVERY)
            with suppress(TimeoutError):
                async with asyncio.timeout(PROBE_INTERVAL):
                    await self._own_wanted.wait()

    async def look_at_own(self) -> None:
        """Read the Secrets that the settings' access rules name.

        Raises:
            StoreError: The Kubernetes API fails.
        """
        own = self._own
        if own is not None and own.connect is not None:
            await self._refresh_logins(SETTINGS_AIRFLOW, own.connect, None, ask=True)

    def _new_logins(self) -> AccessLogins:
        return AccessLogins(self._login_reader.read)

    async def _refresh_logins(
        self, name: str, connect: Callable[[Login], Airflow], address: object, *, ask: bool
    ) -> None:
        """Read the Secrets of an Airflow's access rules, and wake its MLJobs if a login has
        changed.
        """
        wanted = [rule.credentials for rule in self._rules(name) if rule.credentials is not None]
        logins = self._access_logins(name)
        await logins.refresh(wanted, connect, address, ask=ask)
        if name != SETTINGS_AIRFLOW and (self._members.get(name) is None or self._members[name].logins is not logins):
            # The AirflowInstance was deleted meanwhile.
            return
        problems = {(name, found): problem for found, problem in logins.problems.items()}
        told = {key: problem.message if problem is not None else None for key, problem in problems.items()}
        before = {key: why for key, why in self._logins.items() if key[0] == name}
        if told == before:
            return
        self._forget_logins(name)
        self._logins.update(told)
        for (_, credentials), problem in problems.items():
            if problem is not None and before.get((name, credentials)) != problem.message:
                log.warning("%s: %s", f"AirflowInstance {name}" if name else "Airflow", problem.message)
        self._changed(airflow=name)

    def _forget_logins(self, name: str) -> None:
        for key in [key for key in self._logins if key[0] == name]:
            del self._logins[key]

    async def _ask(self, member: _Member) -> Readiness:
        instance, member.pulse = member.instance, None
        if instance.problem is not None:
            return Readiness(False, "ValidationFailed", f"{instance.problem}. Change the spec to have it used.")
        try:
            login = await self._login_reader.read(instance.spec.credentials)
            made_of = (instance.spec.url, instance.spec.tls, login)
            if member.airflow is None or member.made_of != made_of:
                # The old adapter stays open for callers that wait for its answers.
                member.airflow, member.made_of = self._connect(instance, login), made_of
            member.pulse = await member.airflow.probe()
        except (AirflowError, ReferenceMissing) as error:
            return Readiness(False, reason(error), str(error))
        except StoreError:
            raise
        except Exception as error:
            # The exception's message may quote the Secret, so only the traceback is logged.
            if member.readiness.reason != AirflowError.reason:
                log.error(
                    "AirflowInstance %s: unexpected error\n%s", instance.name, "".join(format_tb(error.__traceback__))
                )
            return Readiness(
                False, AirflowError.reason, f"It can't be used ({type(error).__name__}); the operator's log has more."
            )
        return Readiness(True, "Ready", f"Airflow {member.pulse.version} at {instance.spec.url} lets the operator in.")

    def _accept_vanished_runs(self, member: _Member) -> None:
        """Count missing runs as deleted if an administrator accepts that by the annotation.

        Each value of the annotation has an effect once.
        """
        instance = member.instance
        known = instance.accepts in (None, member.accepted, instance.status.last_accepted_vanished_runs)
        if known or not self._missing_runs.surveyed(instance.name):
            return
        member.accepted = instance.accepts
        if self._missing_runs.vanished(instance.name) is None:
            log.info("AirflowInstance %s: the annotation has no effect, because no runs have vanished", instance.name)
            return
        lost = self._missing_runs.accept(instance.name)
        log.warning("AirflowInstance %s: %d vanished runs count as deleted from now on", instance.name, lost)
        self._changed(airflow=instance.name)

    def _unless_runs_vanished(self, instance: Instance, readiness: Readiness) -> Readiness:
        vanished = self._missing_runs.vanished(instance.name)
        if not readiness.ready or vanished is None:
            return readiness
        return Readiness(False, "RunsVanished", reported(instance.name, vanished, instance.spec.url))

    def _conclude(self, member: _Member, readiness: Readiness) -> None:
        name, before = member.instance.name, member.readiness
        member.readiness = readiness
        self._meter.airflow_ready(name, readiness.ready)
        if readiness.ready:
            self._not_ready.pop(name, None)
        else:
            self._not_ready[name] = readiness.message
        if (before.ready, before.reason) != (readiness.ready, readiness.reason):
            level = logging.INFO if readiness.ready else logging.WARNING
            log.log(level, "AirflowInstance %s: %s: %s", name, readiness.reason, readiness.message)
            self._changed(airflow=name)

    async def _tell(self, member: _Member) -> None:
        """Store the status if it has changed, and record the Events."""
        instance, pulse = member.instance, member.pulse
        active, waiting = len(self._admission.active(instance.name)), self._admission.waiting(instance.name)
        self._meter.places(instance.name, active, waiting)
        status = report(
            View(
                instance,
                member.readiness,
                pulse.version if pulse is not None else None,
                pulse.health if pulse is not None else None,
                self._defaults,
                active,
                waiting,
                self._users(instance.name) if instance.deleting else (),
                self._clock(),
                member.logins.problems,
                self._namespaces,
                member.accepted,
                self._links.of(self._topic_of(instance)) if self._links is not None else None,
            )
        )
        patch: dict[str, Any] = merge_patch(instance.stored_status, status)
        if not patch:
            return
        written = await self._store.write_status(instance, patch)
        for notice in events_of(instance.status, written.status):
            self._record(written, notice)
        self._learn(member, written)

    def _record(self, instance: Instance, notice: KubeEvent) -> None:
        """Create a Kubernetes Event in the background."""

        async def record() -> None:
            try:
                await self._store.record(instance, notice)
            except OperatorError as error:
                log.warning("AirflowInstance %s: event %s was not recorded: %s", instance.name, notice.reason, error)

        task = asyncio.create_task(record())
        self._background.add(task)
        task.add_done_callback(self._background.discard)
