"""Connects the controllers, the readers of Kafka topics and of changes in Airflows, and the
adapters for Airflow, Kubernetes and Kafka. Tests replace the adapters by fakes.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial

from .controllers.airflow_instance.controller import AirflowInstanceController
from .controllers.airflow_instance.event_links import EventLinks
from .controllers.airflow_instance.logins import Logins
from .controllers.airflow_instance.own_logins import OwnLogins
from .controllers.airflow_instance.own_probe import OwnProbe
from .controllers.airflow_instance.registry import AirflowRegistry, OwnAirflow
from .controllers.mljob.classifier import Classifier
from .controllers.mljob.confs import Confs
from .controllers.mljob.controller import MLJobController
from .controllers.mljob.queued_jobs import QueuedJobs
from .controllers.mljob.reconciler import Reconciler
from .controllers.mljob.upstreams import Upstreams
from .controllers.mljob.write_queue import WriteQueue
from .controllers.orphans import Orphans
from .core.airflow_instance.admission import AdmissionQueue
from .core.airflow_instance.credentials import Login
from .core.airflow_instance.instance import Instance
from .core.frozen import frozen
from .core.run.run_key import SETTINGS_AIRFLOW
from .core.run.vanishing import MissingRuns
from .ports import (
    Airflow,
    Clock,
    EventSource,
    InstanceStore,
    JobStore,
    Link,
    Meter,
    OperatorStore,
    SourceChanges,
    Telemetry,
    Tracer,
)
from .settings import Settings
from .sources.supervisor import RunInBackground, SourceSupervisor


@frozen
class Ports:
    """The adapters that implement the protocol classes in :mod:`.ports`, or fakes in tests.

    Attributes:
        jobs: Reads and writes MLJobs in the Kubernetes API.
        instances: Reads and writes AirflowInstances in the Kubernetes API.
        operator: Records Events about the operator.
        changes: Watches ConfigMaps and Secrets.
        own: The Airflow in the operator's settings. None if the settings name no Airflow.
        connect: Creates the adapter for the Airflow of an AirflowInstance. The second argument is
            the login that the adapter uses.
        subscribe: Creates the consumer of a Kafka topic. The second argument is a callback. The
            consumer calls the callback with each new state of its connection to the brokers, and
            with None when the consumer is closed.
        clock: Returns the current time.
        meter: Records the metrics.
        tracer: Exports the traces of attempts. None if traces are off.
    """

    jobs: JobStore
    instances: InstanceStore
    operator: OperatorStore
    changes: SourceChanges
    own: OwnAirflow | None
    connect: Callable[[Instance, Login], Airflow]
    subscribe: Callable[[str, Callable[[Link | None], None]], EventSource]
    clock: Clock
    meter: Meter
    tracer: Tracer | None = None


@frozen
class Parts:
    """The connected parts of one operator process.

    Attributes:
        airflows: The registry of all Airflows.
        links: For each topic, the state of its consumer's connection to the Kafka brokers.
        instances: The controller of AirflowInstances.
        own_probe: Probes the Airflow in the operator's settings. None if the settings name no
            Airflow.
        own_logins: Reads at intervals the logins that the access rules in the operator's settings
            name. None if none of these rules has credentials.
        job_controller: The controller of MLJobs.
        orphans: Finds orphaned runs: active runs without an MLJob. Cancels these runs if the
            settings say so.
        sources: The readers of the Kafka topics and of the Airflows' change feeds. A change feed is
            the list of recent changes that the operator reads from Airflow's REST API.
        run_in_background: Starts a background task that must not end by itself.
    """

    airflows: AirflowRegistry
    links: EventLinks
    instances: AirflowInstanceController
    own_probe: OwnProbe | None
    own_logins: OwnLogins | None
    job_controller: MLJobController
    orphans: Orphans
    sources: SourceSupervisor
    run_in_background: RunInBackground

    def start(self) -> None:
        """Start to read the Kafka topics and the changes in Airflows, to read the logins of access
        rules, and to probe the Airflows.

        Call this method only after the operator has listed all AirflowInstances and MLJobs.
        Otherwise the operator would drop Kafka events about the runs of a backfill whose MLJob is
        not listed yet.
        """
        self.sources.start()
        self.instances.start()
        if self.own_probe is not None:
            self.run_in_background(self.own_probe.run(), "Airflow of the settings")
        if self.own_logins is not None:
            self.run_in_background(self.own_logins.run(), "access rules of the settings")

    async def settle(self) -> None:
        """Stop the controllers. Wait for the running reconciliations of MLJobs, and cancel a
        reconciliation that takes too long. Then cancel the asyncio tasks of the AirflowInstances.
        The tasks that ``run_in_background`` started continue.
        """
        await self.job_controller.close()
        await self.instances.close()

    async def close(self) -> None:
        """Close the adapters of the Airflows. Call :meth:`settle` first."""
        await self.airflows.close()


def wire(settings: Settings, ports: Ports, *, run_in_background: RunInBackground, process: str) -> Parts:
    """Create and connect the parts of one operator process.

    Args:
        settings: The operator's settings.
        ports: The adapters, or fakes in tests.
        run_in_background: Starts a background task that must not end by itself.
        process: A unique name for this process and this period of leadership.
    """
    airflows = AirflowRegistry(
        Logins(ports.instances, settings.airflow_token_files),
        ports.connect,
        own=ports.own,
        topic=settings.events_topic,
        reserved=(settings.cancel_dag_id, *settings.reserved_dags),
        watches_namespaces=settings.airflow_instances,
    )
    links = EventLinks(settings.kafka_bootstrap_servers, ports.meter, airflows.topic_changed)
    admission, missing_runs = AdmissionQueue(), MissingRuns()
    missing_runs.accept(SETTINGS_AIRFLOW, settings.airflow_accept_vanished_runs_before)
    jobs = QueuedJobs(ports.jobs, WriteQueue())
    ports.meter.follow_writes(jobs.writes.numbers)
    confs, upstreams = Confs(jobs, ports.clock), Upstreams(jobs, ports.clock)
    classifier = Classifier(
        airflows,
        ports.clock,
        admission=admission,
        missing_runs=missing_runs,
        upstreams=upstreams,
        prefix=settings.run_id_prefix,
        cancel_fallback=timedelta(seconds=settings.cancel_fallback_seconds),
    )
    reconciler = Reconciler(
        airflows,
        jobs,
        ports.clock,
        classifier=classifier,
        confs=confs,
        upstreams=upstreams,
        prefix=settings.run_id_prefix,
        process=process,
    )
    job_controller = MLJobController(
        reconciler,
        jobs,
        ports.clock,
        Telemetry(ports.meter, ports.tracer),
        ports.changes,
        admission=admission,
        missing_runs=missing_runs,
        confs=confs,
        upstreams=upstreams,
        min_interval=settings.status_interval_seconds,
    )
    orphans = Orphans(
        airflows,
        ports.jobs,
        ports.operator,
        ports.meter,
        prefix=settings.run_id_prefix,
        namespaces=settings.namespaces,
        cancel=settings.orphaned_runs == "Cancel",
    )

    def subscribe(topic: str) -> EventSource:
        return ports.subscribe(topic, partial(links.update, topic))

    sources = SourceSupervisor(
        airflows,
        job_controller,
        ports.clock,
        ports.meter,
        orphans,
        subscribe=subscribe if settings.kafka_bootstrap_servers else None,
        run_in_background=run_in_background,
        prefix=settings.run_id_prefix,
        interval=settings.resync_interval_seconds,
        dead_letter_topic=settings.dead_letter_topic,
    )

    def changed(*, namespace: str | None = None, airflow: str | None = None) -> None:
        sources.follow()
        if airflow is not None:
            job_controller.early_pass(airflow).set()
        job_controller.wake_waiting(namespace=namespace, airflow=airflow)

    instances = AirflowInstanceController(
        airflows,
        ports.instances,
        ports.clock,
        ports.meter,
        links=links,
        admission=admission,
        missing_runs=missing_runs,
        users=job_controller.lister.users,
        changed=changed,
    )
    own_probe = own_logins = None
    if ports.own is not None:
        has_vanished = partial(missing_runs.have_vanished, SETTINGS_AIRFLOW)
        own_probe = OwnProbe(airflows, ports.own.airflow, ports.meter, has_vanished, changed)
        if any(rule.credentials is not None for rule in ports.own.access or ()):
            own_logins = OwnLogins(airflows, changed)
    return Parts(airflows, links, instances, own_probe, own_logins, job_controller, orphans, sources, run_in_background)
