"""The controller of AirflowInstances: probes each Airflow, and writes the AirflowInstance's status.

Each AirflowInstance has its own task. The task reads the Secret, creates an adapter and probes the
Airflow every ``PROBE_INTERVAL`` seconds, or sooner after a failed request. So an Airflow that is
down delays only its own MLJobs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from traceback import format_tb
from typing import Any

from ...core.airflow_instance.admission import AdmissionQueue
from ...core.airflow_instance.instance import Instance
from ...core.run.run_key import Key
from ...core.run.vanishing import REASON as RUNS_VANISHED
from ...core.run.vanishing import MissingRuns, vanished_report
from ...core.status.airflow_instance import Readiness, View, events_of, report
from ...core.status.events import KubeEvent
from ...core.status.patches import merge_patch
from ...errors import AirflowError, Conflict, Gone, OperatorError, ReferenceMissing, StoreError, backoff
from ...ports import Clock, InstanceStore, Meter
from .event_links import EventLinks
from .logins import reason
from .registry import AirflowRegistry, Changed, RegisteredInstance

log = logging.getLogger(__name__)

PROBE_INTERVAL = 15.0
"""Seconds between two probes of an AirflowInstance that is ready."""
PROBE_AT_MOST_EVERY = 1.0
"""The shortest time in seconds between two probes of an AirflowInstance."""


class AirflowInstanceController:
    """Reconciles all AirflowInstances. Everything runs in the event loop's thread.

    Args:
        registry: The Airflows. This controller keeps the AirflowInstances in it up to date.
        store: The AirflowInstances in the Kubernetes API.
        links: The connections to the brokers of each topic.
        admission: The MLJobs that have a run in each Airflow, and those that wait for admission.
        missing_runs: The missing runs of each Airflow.
        users: The MLJobs that still need an Airflow, by the Airflow's name.
        changed: Called when MLJobs that wait may be able to continue.
    """

    def __init__(
        self,
        registry: AirflowRegistry,
        store: InstanceStore,
        clock: Clock,
        meter: Meter,
        *,
        links: EventLinks,
        admission: AdmissionQueue,
        missing_runs: MissingRuns,
        users: Callable[[str], Sequence[Key]],
        changed: Changed,
    ) -> None:
        self._registry = registry
        self._store = store
        self._clock = clock
        self._meter = meter
        self._links = links
        self._admission, self._missing_runs = admission, missing_runs
        self._users, self._changed = users, changed
        self._background: set[asyncio.Task[None]] = set()
        self._started = False

    def start(self) -> None:
        """Start the tasks of all AirflowInstances."""
        self._started = True
        for member in self._registry.instances:
            self._look_after(member)

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        """The tasks of all AirflowInstances, and Kubernetes Events that are being recorded."""
        started = [member.task for member in self._registry.instances if member.task is not None]
        return [*started, *self._background]

    async def close(self) -> None:
        """Stop the tasks."""
        tasks = [member.task for member in self._registry.instances if member.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # Input

    def observe(self, instance: Instance) -> None:
        """Handle a version of an AirflowInstance from the watch."""
        member = self._registry.find(instance.name)
        if member is not None and member.instance.uid != instance.uid:
            self.observe_deletion(instance.name, member.instance.uid)
            member = None
        if member is None:
            member = self._registry.add(instance)
            self._recall(instance)
            self._changed()
            if self._started:
                self._look_after(member)
            return
        known = member.instance
        if not instance.newer_than(known):
            return
        has_changed = self._registry.update(member, instance)
        if instance.accepts != known.accepts:
            member.wanted.set()
        if has_changed:
            self._changed()
            # The status of each AirflowInstance with the default annotation names the default.
            for other in self._registry.instances:
                if other is member or other.instance.annotated:
                    other.wanted.set()

    def observe_deletion(self, name: str, uid: str) -> None:
        """Handle the deletion of the AirflowInstance with this uid, which the watch has
        reported.
        """
        member = self._registry.find(name)
        if member is None or member.instance.uid != uid:
            return
        self._registry.remove(member)
        if member.task is not None:
            member.task.cancel()
        self._meter.airflow_ready(name, None)
        log.info("AirflowInstance %s is gone", name)
        self._changed()
        for other in self._registry.instances:
            if other.instance.annotated:
                other.wanted.set()

    def observe_namespace(self, name: str, labels: Mapping[str, str]) -> None:
        """Handle a namespace from the watch: remember its labels."""
        if self._registry.set_namespace(name, labels):
            self._changed(namespace=name)

    def observe_namespace_deletion(self, name: str) -> None:
        """Handle the deletion of a namespace, which the watch has reported."""
        self._registry.remove_namespace(name)

    def _recall(self, instance: Instance) -> None:
        """If the stored status reports vanished runs, remember that runs have vanished."""
        if any(condition.reason == RUNS_VANISHED for condition in instance.status.conditions or ()):
            self._missing_runs.assume_vanished(instance.name)

    def _learn(self, member: RegisteredInstance, answer: Instance) -> None:
        """Keep the version of an AirflowInstance in an answer of the API server.

        The answer is dropped if the watch has delivered a later version or another object.
        """
        if answer.uid == member.instance.uid and answer.newer_than(member.instance):
            self._registry.update(member, answer)

    # Tasks

    def _look_after(self, member: RegisteredInstance) -> None:
        member.task = asyncio.create_task(self._tend(member), name=f"AirflowInstance {member.instance.name}")

    async def _tend(self, member: RegisteredInstance) -> None:
        """Reconcile an AirflowInstance repeatedly, until the task is cancelled.

        The function also returns when the AirflowInstance is deleted, because Python 3.11 may lose
        a cancellation while it waits with a timeout (gh-86296 in CPython).
        """
        while True:
            member.wanted.clear()
            delay = await self._guarded_look(member)
            if self._registry.find(member.instance.name) is not member:
                return
            member.asked_at = asyncio.get_running_loop().time()
            try:
                async with asyncio.timeout(delay):
                    await member.wanted.wait()
                await asyncio.sleep(member.asked_at + PROBE_AT_MOST_EVERY - asyncio.get_running_loop().time())
            except TimeoutError:
                pass

    async def _guarded_look(self, member: RegisteredInstance) -> float:
        """Reconcile an AirflowInstance once, and return the seconds until the next time."""
        name = member.instance.name
        try:
            await self.look(name)
        except StoreError as error:
            member.failures += 1
            if not isinstance(error, Conflict | Gone):
                # Conflict and Gone are not logged, because the watch delivers the change soon.
                log.warning("AirflowInstance %s: %s", name, error)
            return backoff(error, member.failures)
        except Exception:
            # A defect must not stop the task, so it is logged and the next reconciliation follows.
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
        member = self._registry.find(name)
        if member is None:
            return
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
        if self._registry.find(name) is not member or member.instance.generation != generation:
            # The AirflowInstance was deleted, or its spec has changed during the probe. After a
            # change, the next reconciliation is due already and handles the new spec.
            return
        self._accept_vanished_runs(member)
        self._conclude(member, self._unless_runs_vanished(member.instance, readiness))
        # Without a readable address and readable rules, no login may happen.
        if member.instance.problem is None and await self._registry.refresh_logins(member, ask=readiness.ready):
            self._changed(airflow=name)
        if member.instance.generation == generation:
            await self._tell(member)

    async def _ask(self, member: RegisteredInstance) -> Readiness:
        instance, member.pulse = member.instance, None
        if instance.problem is not None:
            return Readiness(False, "ValidationFailed", f"{instance.problem}. Change the spec to have it used.")
        try:
            airflow = await self._registry.connect(member)
            member.pulse = await airflow.probe()
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

    def _accept_vanished_runs(self, member: RegisteredInstance) -> None:
        """Count vanished runs as deleted if an administrator accepts their loss by the annotation.

        Each value of the annotation has an effect only once.
        """
        instance = member.instance
        known = instance.accepts in (None, member.accepted, instance.status.last_accepted_vanished_runs)
        if known or not self._missing_runs.knows_missing(instance.name):
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
        return Readiness(False, "RunsVanished", vanished_report(instance.name, vanished, instance.spec.url))

    def _conclude(self, member: RegisteredInstance, readiness: Readiness) -> None:
        name, before = member.instance.name, member.readiness
        self._registry.set_readiness(member, readiness)
        self._meter.airflow_ready(name, readiness.ready)
        if (before.ready, before.reason) != (readiness.ready, readiness.reason):
            level = logging.INFO if readiness.ready else logging.WARNING
            log.log(level, "AirflowInstance %s: %s: %s", name, readiness.reason, readiness.message)
            self._changed(airflow=name)

    async def _tell(self, member: RegisteredInstance) -> None:
        """Store the AirflowInstance's status if it has changed, and record Events about the
        change.
        """
        instance, pulse = member.instance, member.pulse
        active, waiting = len(self._admission.active(instance.name)), self._admission.waiting(instance.name)
        self._meter.reservations(instance.name, active, waiting)
        status = report(
            View(
                instance,
                member.readiness,
                pulse.version if pulse is not None else None,
                pulse.health if pulse is not None else None,
                self._registry.defaults,
                active,
                waiting,
                self._users(instance.name) if instance.deleting else (),
                self._clock(),
                member.logins.problems,
                self._registry.namespaces,
                member.accepted,
                self._links.of(self._registry.topic_of(instance)),
            )
        )
        patch: dict[str, Any] = merge_patch(instance.stored_status, status)
        if not patch:
            return
        written = await self._store.write_status(instance, patch)
        for event in events_of(instance.status, written.status):
            self._record(written, event)
        self._learn(member, written)

    def _record(self, instance: Instance, event: KubeEvent) -> None:
        """Create a Kubernetes Event about an AirflowInstance in the background."""

        async def record() -> None:
            try:
                await self._store.record(instance, event)
            except OperatorError as error:
                log.warning("AirflowInstance %s: event %s was not recorded: %s", instance.name, event.reason, error)

        task = asyncio.create_task(record())
        self._background.add(task)
        task.add_done_callback(self._background.discard)
