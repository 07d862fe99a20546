"""The controller of AirflowInstances probes the Airflow of each AirflowInstance, and writes the
status of each AirflowInstance.

Each AirflowInstance has its own asyncio task, so an Airflow that does not answer delays only its
own MLJobs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from traceback import format_tb
from typing import Any

from ...core.airflow_instance.admission import AdmissionQueue
from ...core.airflow_instance.instance import Instance
from ...core.run.accepted_loss import AcceptedLoss
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
from .probe_times import PROBE_INTERVAL, seconds_to_next_probe, until_next_probe
from .registry import AirflowRegistry, Changed, RegisteredInstance

log = logging.getLogger(__name__)


class AirflowInstanceController:
    """Updates the adapter, the readiness and the status of each AirflowInstance. The adapter sends
    the requests to the AirflowInstance's Airflow.

    Args:
        registry: The registry of all Airflows.
        store: Reads and writes AirflowInstances in the Kubernetes API.
        clock: Returns the current time.
        meter: Records metrics.
        links: The state of the Kafka connection of each topic.
        admission: Counts the active and the waiting MLJobs of each Airflow.
        missing_runs: Knows which runs of MLJobs are missing in their Airflow.
        users: Called with the name of an Airflow. Returns the keys of the MLJobs that still need
            this Airflow.
        changed: Called when waiting MLJobs may be able to continue.
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
        """Start an asyncio task for each AirflowInstance, now and whenever an AirflowInstance is
        created.
        """
        self._started = True
        for registered in self._registry.instances:
            self._start_task(registered)

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        """The asyncio tasks of all AirflowInstances and of all Kubernetes Events that are being
        recorded.
        """
        started = [registered.task for registered in self._registry.instances if registered.task is not None]
        return [*started, *self._background]

    async def close(self) -> None:
        """Cancel the asyncio tasks of all AirflowInstances, and wait until the tasks have ended."""
        tasks = [registered.task for registered in self._registry.instances if registered.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # Input

    def observe(self, instance: Instance) -> None:
        """Store the version of an AirflowInstance that the watch has reported. Ignore a version that
        is not newer than the stored version.

        Wake the waiting MLJobs in each of these cases:

        - The AirflowInstance is new. If :meth:`start` was called, also start an asyncio task for the
          AirflowInstance. If the annotation ``mljob.dev/is-default-instance`` is "true", also
          request an early probe of each AirflowInstance on which this annotation is "true".
        - The spec or the annotation ``mljob.dev/is-default-instance`` has changed, or the deletion
          has begun. Also request an early probe of this AirflowInstance, and of each
          AirflowInstance whose annotation ``mljob.dev/is-default-instance`` is "true".

        If the annotation ``mljob.dev/accept-vanished-runs`` has changed, request an early probe of
        this AirflowInstance.
        """
        registered = self._registry.find(instance.name)
        if registered is not None and registered.instance.uid != instance.uid:
            self.observe_deletion(instance.name, registered.instance.uid)
            registered = None
        if registered is None:
            registered = self._registry.add(instance)
            self._meter.jobs.airflow_exists(instance.name)
            self._restore_vanished(instance)
            self._changed()
            if self._started:
                self._start_task(registered)
            if instance.annotated:
                self._probe_annotated()
            return
        current = registered.instance
        if not instance.newer_than(current):
            return
        has_changed = self._registry.update(registered, instance)
        if instance.accepts != current.accepts:
            registered.probe_requested.set()
        if has_changed:
            self._changed()
            registered.probe_requested.set()
            self._probe_annotated()

    def observe_deletion(self, name: str, uid: str) -> None:
        """Forget an AirflowInstance that the watch has reported as deleted. If the stored
        AirflowInstance has another uid, do nothing.
        """
        registered = self._registry.find(name)
        if registered is None or registered.instance.uid != uid:
            return
        self._registry.remove(registered)
        if registered.task is not None:
            registered.task.cancel()
        self._meter.airflow_ready(name, None)
        log.info("AirflowInstance %s is gone", name)
        self._changed()
        self._probe_annotated()

    def _probe_annotated(self) -> None:
        # The status of each AirflowInstance with the default annotation names the effective default,
        # so each of these statuses may change.
        for registered in self._registry.instances:
            if registered.instance.annotated:
                registered.probe_requested.set()

    def observe_namespace(self, name: str, labels: Mapping[str, str]) -> None:
        """Store the labels of a namespace that the watch has reported."""
        if self._registry.set_namespace(name, labels):
            self._changed(namespace=name)

    def observe_namespace_deletion(self, name: str) -> None:
        """Forget the labels of a namespace that the watch has reported as deleted, and remove the
        metrics of the namespace.
        """
        self._registry.remove_namespace(name)
        self._meter.jobs.namespace_deleted(name)

    def _restore_vanished(self, instance: Instance) -> None:
        if any(condition.reason == RUNS_VANISHED for condition in instance.status.conditions or ()):
            self._missing_runs.assume_vanished(instance.name)

    def _accept(self, registered: RegisteredInstance, answer: Instance) -> None:
        """Store the AirflowInstance in the answer to a write, unless the watch has reported a later
        version.
        """
        if answer.uid == registered.instance.uid and answer.newer_than(registered.instance):
            self._registry.update(registered, answer)

    # Tasks

    def _start_task(self, registered: RegisteredInstance) -> None:
        registered.task = asyncio.create_task(
            self._reconcile_repeatedly(registered), name=f"AirflowInstance {registered.instance.name}"
        )

    async def _reconcile_repeatedly(self, registered: RegisteredInstance) -> None:
        while True:
            registered.probe_requested.clear()
            delay = await self._guarded_reconcile(registered)
            if self._registry.find(registered.instance.name) is not registered:
                return
            await until_next_probe(delay, registered.probe_requested)

    async def _guarded_reconcile(self, registered: RegisteredInstance) -> float:
        """Reconcile an AirflowInstance once. Raise no error. Log all errors except Conflict and Gone.
        Return the seconds until the next reconciliation.
        """
        name = registered.instance.name
        try:
            await self.reconcile(name)
        except StoreError as error:
            registered.failures += 1
            if not isinstance(error, Conflict | Gone):
                # Conflict and Gone are not logged, because the watch delivers the change or the
                # deletion without further help.
                log.warning("AirflowInstance %s: %s", name, error)
            return backoff(error, registered.failures)
        except Exception:
            # A defect must not stop the task, so it is logged and the next reconciliation follows.
            registered.failures += 1
            log.exception("AirflowInstance %s: unexpected error", name)
            return PROBE_INTERVAL
        readiness = registered.readiness
        if readiness.ready and not registered.instance.deleting:
            registered.failures = 0
            return PROBE_INTERVAL
        registered.failures += 1
        return seconds_to_next_probe(readiness.reason, registered.failures)

    async def reconcile(self, name: str) -> None:
        """Reconcile one AirflowInstance: its finalizer, its Secrets, its readiness and its status.

        Raises:
            StoreError: The Kubernetes API fails.
        """
        registered = self._registry.find(name)
        if registered is None:
            return
        if registered.instance.deleting and not self._users(name):
            if registered.instance.has_finalizer:
                await self._store.set_finalizer(registered.instance, present=False)
            return
        if not registered.instance.deleting and not registered.instance.has_finalizer:
            answer = await self._store.set_finalizer(registered.instance, present=True)
            if answer is None:
                return
            self._accept(registered, answer)
        generation = registered.instance.generation
        readiness = await self._probe(registered)
        if self._registry.find(name) is not registered or registered.instance.generation != generation:
            # The AirflowInstance was deleted, or its spec has changed during the probe. After a
            # change, the next reconciliation is due already and handles the new spec.
            return
        self._accept_vanished_runs(registered.instance)
        self._set_readiness(registered, self._unless_runs_vanished(registered.instance, readiness))
        # If the spec can't be read, its URL and its access rules may be wrong, so no login is
        # tried.
        if registered.instance.problem is None and await self._registry.refresh_logins(registered, ask=readiness.ready):
            self._changed(airflow=name)
        if registered.instance.generation == generation:
            await self._write_status(registered)

    async def _probe(self, registered: RegisteredInstance) -> Readiness:
        instance, registered.probe_result = registered.instance, None
        if instance.problem is not None:
            return Readiness(False, "ValidationFailed", f"{instance.problem}. Change the spec to have it used.")
        try:
            airflow = await self._registry.connect(registered)
            registered.probe_result = await airflow.probe()
        except (AirflowError, ReferenceMissing) as error:
            return Readiness(False, reason(error), str(error))
        except StoreError:
            raise
        except Exception as error:
            # The exception's message may quote the Secret, so only the traceback is logged.
            if registered.readiness.reason != AirflowError.reason:
                log.error(
                    "AirflowInstance %s: unexpected error\n%s", instance.name, "".join(format_tb(error.__traceback__))
                )
            return Readiness(
                False, AirflowError.reason, f"It can't be used ({type(error).__name__}); the operator's log has more."
            )
        return Readiness(
            True, "Ready", f"Airflow {registered.probe_result.version} at {instance.spec.url} lets the operator in."
        )

    def _accept_vanished_runs(self, instance: Instance) -> None:
        """Treat the missing runs as deleted that were submitted before the time in the annotation
        ``mljob.dev/accept-vanished-runs``.
        """
        count = self._missing_runs.accept(instance.name, AcceptedLoss.of(instance.accepts, self._clock()).before)
        if count:
            log.warning("AirflowInstance %s: %d missing runs count as deleted from now on", instance.name, count)
            self._changed(airflow=instance.name)

    def _unless_runs_vanished(self, instance: Instance, readiness: Readiness) -> Readiness:
        vanished = self._missing_runs.vanished(instance.name)
        if not readiness.ready or vanished is None:
            return readiness
        return Readiness(False, "RunsVanished", vanished_report(instance.name, vanished, instance.spec.url))

    def _set_readiness(self, registered: RegisteredInstance, readiness: Readiness) -> None:
        name, before = registered.instance.name, registered.readiness
        self._registry.set_readiness(registered, readiness)
        self._meter.airflow_ready(name, readiness.ready)
        if (before.ready, before.reason) != (readiness.ready, readiness.reason):
            level = logging.INFO if readiness.ready else logging.WARNING
            log.log(level, "AirflowInstance %s: %s: %s", name, readiness.reason, readiness.message)
            if readiness.ready:
                self._registry.resume(name)
            self._changed(airflow=name)

    async def _write_status(self, registered: RegisteredInstance) -> None:
        instance, probe_result = registered.instance, registered.probe_result
        active, waiting = self._admission.active(instance.name), self._admission.waiting(instance.name)
        self._meter.reservations(instance.name, active, waiting)
        status = report(
            View(
                instance,
                registered.readiness,
                probe_result.version if probe_result is not None else None,
                probe_result.health if probe_result is not None else None,
                self._registry.defaults,
                active,
                waiting,
                self._users(instance.name) if instance.deleting else (),
                self._clock(),
                registered.logins.problems,
                self._registry.namespaces,
                self._links.of(self._registry.topic_of(instance)),
            )
        )
        patch: dict[str, Any] = merge_patch(instance.stored_status, status)
        if not patch:
            return
        written = await self._store.write_status(instance, patch)
        for event in events_of(instance.status, written.status):
            self._record(written, event)
        self._accept(registered, written)

    def _record(self, instance: Instance, event: KubeEvent) -> None:
        async def record() -> None:
            try:
                await self._store.record(instance, event)
            except OperatorError as error:
                log.warning("AirflowInstance %s: event %s was not recorded: %s", instance.name, event.reason, error)

        task = asyncio.create_task(record())
        self._background.add(task)
        task.add_done_callback(self._background.discard)
