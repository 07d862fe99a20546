"""The controller of MLJobs. The controller passes all input about an MLJob to the MLJob's worker.
Input comes from the watch, from Kafka and from Airflow's REST API.

Only the worker writes the status, so no lock is needed. A worker runs in steps: each step reads all
waiting input, acts in Airflow and writes the status. So a burst of events causes few patches.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection, Sequence

from ...core.airflow_instance.admission import AdmissionQueue
from ...core.mljob.activity import is_hot
from ...core.mljob.classification.deadlines import expires_at
from ...core.mljob.outstanding import is_done
from ...core.mljob.resource.job import Job
from ...core.mljob.resource.job_labels import JobLabels
from ...core.mljob.transient_state import TransientState
from ...core.run.backfill import BackfillRun
from ...core.run.facts import RunFact, Snapshot, TaskFact
from ...core.run.halt import Halt
from ...core.run.observed_run import started_by
from ...core.run.run_key import Key, RunKey
from ...core.run.states import TERMINAL_RUN, RunState
from ...core.run.vanishing import MissingRuns
from ...ports import Clock, SourceChanges, Telemetry
from .backfill_index import BackfillIndex
from .conf_sources import ConfSources
from .confs import Confs
from .feed_index import FeedIndex
from .lister import MLJobLister
from .look_ups import LookUps
from .milestones import Milestones
from .past_jobs import PastJobs
from .queued_jobs import QueuedJobs
from .reconciler import Reconciler
from .status_writer import StatusWriter
from .steps import Steps
from .upstreams import Upstreams, waited_for
from .vanished_runs import VanishedRuns
from .waiting_jobs import Change, WaitingJobs
from .worker_state import Done, WorkerState
from .workers import Workers
from .write_queue import Priority

CHECK_FOREIGN_STATUS = 60.0
"""The time in seconds after which a status that another process has written is compared with what
this process knows. Two processes that believe in different events would otherwise correct each
other's statuses without a pause.
"""


class MLJobController:
    """Passes the input about each MLJob to the MLJob's worker, and wakes the worker. All methods
    run in the event loop's thread.

    Args:
        reconciler: Decides on the next action for an MLJob, and carries the action out.
        jobs: Reads and writes the MLJobs in the Kubernetes API.
        telemetry: Metrics and traces.
        changes: Watches the ConfigMaps and Secrets that MLJobs wait for.
        admission: For each Airflow, the MLJobs that have a run there, and the MLJobs that wait
            because the number of active runs is limited.
        missing_runs: For each Airflow, the runs in progress that the Airflow no longer has.
        confs: Builds the confs of runs, and knows which values in the confs came from Secrets.
        upstreams: Keeps facts about the MLJobs whose outputs other MLJobs wait for.
        min_interval: The minimum number of seconds between two patches of one status.
    """

    def __init__(
        self,
        reconciler: Reconciler,
        jobs: QueuedJobs,
        clock: Clock,
        telemetry: Telemetry,
        changes: SourceChanges,
        *,
        admission: AdmissionQueue,
        missing_runs: MissingRuns,
        confs: Confs,
        upstreams: Upstreams,
        min_interval: float,
    ) -> None:
        self._reconciler = reconciler
        self._classifier = reconciler.classifier
        self._admission = admission
        self._missing_runs = missing_runs
        self._confs = confs
        self._upstreams = upstreams
        self._clock = clock
        meter = telemetry.meter
        self._meter = meter.jobs
        self._writer = StatusWriter(
            jobs, meter, Milestones(meter.jobs, telemetry.tracer, clock), lambda key: self.workers.wake(key)
        )
        self._conf_sources = ConfSources(changes, lambda key: self.workers.retry_now(key))
        look_ups = LookUps(lambda key: self.workers.wake(key))
        steps = Steps(reconciler, jobs, self._writer, self._conf_sources, confs, look_ups, clock)
        self.workers = Workers(
            steps,
            confs,
            look_ups,
            takeover_state=reconciler.takeover_state,
            after_step=self._after_step,
            drop=self._drop,
            meter=meter,
            min_interval=min_interval,
        )
        """The workers of all MLJobs."""
        self._waiting = WaitingJobs(self.workers, self._classifier)
        self._index = FeedIndex()
        self.lister = MLJobLister(self.workers, self._classifier.state, self._index)
        """Lists the MLJobs of an Airflow."""
        self.vanished_runs = VanishedRuns(missing_runs, meter, wake=self.workers.wake, changed=self._runs_vanished)
        """Reports missing runs."""
        self._past = PastJobs()
        self._backfills = BackfillIndex()
        self._early_passes: dict[str, asyncio.Event] = defaultdict(asyncio.Event)

    # Input

    def observe(self, job: Job) -> None:
        """Store a version of an MLJob that the watch has reported, and wake the MLJob's worker if
        the version needs a new reconciliation. A version that is not later than the stored version
        is ignored.

        A finished MLJob that needs no more reconciliation gets no worker. If such an MLJob has a
        time to live, set a timer for the end of this time.
        """
        self.workers.retry_paced(self._upstreams.observe(job))
        worker = self.workers.get(job.key)
        if worker is None:
            if self._past.has(job.key, job.resource_version):
                return
            if is_done(job):
                expires = expires_at(job)
                if expires is not None:
                    self.workers.expire((expires - self._clock()).total_seconds(), job)
                return
            worker = self.workers.get_or_add(job.key)
            worker.begin(job, self._reconciler.transient(job))
            self._meter.follow(job.key, JobLabels.of(job))
            # The MLJob enters the admission queue before its first step. So MLJobs are admitted in
            # the order of the queue, and not in the order of their first steps.
            self.workers.of_each(self._reserve, [job.key])
            self.workers.wake(job.key)
            return
        current, begin_count = worker.job, worker.begin_count
        if current is None:
            worker.begin(job, self._reconciler.transient(job))
        elif not job.newer_than(current):
            return
        elif current.uid != job.uid:
            # The MLJob was deleted and created again while the watch was interrupted.
            worker.forget()
            worker.begin(job, TransientState())
        else:
            worker.update(job)
        # A requested retry also ends the backoff of a request that failed.
        if current is not None and current.retry_request != job.retry_request:
            self.workers.forget_last_error(job.key)
        elif current is None or worker.begin_count != begin_count or _needs_step(current, job):
            self.workers.wake(job.key)
        elif worker.task is None:
            # Another process may have written this version, for example that the run is submitted.
            self._refresh_entry(job.key)
            # If its status is wrong and that process has ended, nobody else would correct the status.
            self.workers.wake_after(job.key, CHECK_FOREIGN_STATUS)

    def observe_known(self, key: Key, uid: str, resource_version: str) -> bool:
        """Observe a version of an MLJob that the watch has reported, if the operator knows this
        version or a later one. Otherwise return False: then the version must be read, and passed to
        :meth:`observe`.
        """
        worker = self.workers.get(key)
        if worker is None:
            return self._past.has(key, resource_version) and key not in self._upstreams.awaited
        job = worker.job
        if job is None or job.uid != uid or int(resource_version) > int(job.resource_version):
            return False
        self.observe(job)
        return True

    def latest(self, key: Key) -> Job | None:
        """Return the latest version of an MLJob that its worker has. Return None if the MLJob has
        no worker, or if the worker has not read the MLJob yet.
        """
        worker = self.workers.get(key)
        return worker.job if worker is not None else None

    def observe_deletion(self, key: Key, uid: str, resource_version: str) -> None:
        """Forget an MLJob that the watch has reported as deleted. In these cases, the MLJob stays:

        - It is a new MLJob with the same name and another uid.
        - The operator knows a later version. Then the MLJob was not deleted. For a while, the
          operator's label selector did not select it, and the watch is behind.

        Args:
            key: The MLJob.
            uid: The uid of the deleted MLJob.
            resource_version: The resourceVersion of the deletion.
        """
        latest = self.latest(key)
        known = latest if latest is not None and latest.uid == uid else None
        if known is not None and int(known.resource_version) > int(resource_version):
            return
        self.workers.end_expiry(key, uid)
        self.workers.retry_paced(self._upstreams.observe_deletion(key, uid))
        if known is not None:
            self.workers.remove(key)
            self.vanished_runs.report()

    def observe_event(self, key: Key, candidates: Collection[RunKey], fact: TaskFact | RunFact, done: Done) -> None:
        """Pass a change of a run or task from a Kafka event to the MLJob's worker.

        Args:
            key: The MLJob that the event's run id names.
            candidates: The runs that the event may be about: one in each Airflow that may have sent
                the event.
            fact: The change.
            done: Called when a status with the change is stored, when no MLJob needs the change, or
                when too many newer events of the MLJob wait (:meth:`.WorkerState.add_event`).
        """
        worker = self.workers.get_or_add(key)
        worker.add_event(candidates, fact, done)
        if isinstance(fact, TaskFact):
            self._wake_for_change(key, worker, None, [fact])
        else:
            self._wake_for_change(key, worker, fact.state, ())

    def observe_backfill_event(self, candidates: Collection[RunKey], fact: TaskFact | RunFact, done: Done) -> bool:
        """Pass a change from a Kafka event to the worker of the MLJob whose backfill has the
        event's run. If some MLJob has a backfill of the run's DAG in progress, also set the
        :class:`asyncio.Event` of :meth:`early_pass`. Then the operator soon reads further changes
        from Airflow's REST API.

        Args:
            candidates: The runs that the event may be about.
            fact: The change of a run or task.
            done: Called as for :meth:`observe_event` if the result is True. Otherwise not called.

        Returns:
            Whether the run is known to belong to a backfill of an MLJob.
        """
        for airflow, dag_id, run_id in candidates:
            for key in self._backfills.of(airflow, dag_id):
                worker = self.workers.get(key)
                if (
                    worker is None
                    or worker.tracked is None
                    or (observed_backfill := worker.tracked.observed_run.observed_backfill) is None
                ):
                    continue
                # The next change of this backfill's runs may come without an event. So the reader
                # of the change feed is asked to read before its time.
                self.early_pass(airflow).set()
                if run_id in observed_backfill.members:
                    run = fact if isinstance(fact, RunFact) else started_by(fact)
                    backfill = worker.last_state(self._classifier.state).run
                    worker.add_event((backfill,), BackfillRun(run_id, run), done)
                    self.workers.wake(key)
                    return True
        return False

    def observe_backfill_runs(self, key: Key, backfill: RunKey, members: Sequence[BackfillRun]) -> None:
        """Pass the states of some runs of the MLJob's backfill, from Airflow's REST API, to the
        MLJob's worker. If the MLJob has no worker, do nothing.
        """
        if (worker := self.workers.get(key)) is not None:
            worker.inbox.facts += [((backfill,), member) for member in members]
            self.workers.wake(key)

    def observe_run(self, key: Key, run: RunKey, snapshot: Snapshot) -> None:
        """Pass Airflow's answer about a run to the worker of the run's MLJob.

        If the MLJob has no worker, a new worker checks whether the run belongs to the MLJob. The
        operator remembers the 10,000 runs that were checked last. A remembered run is checked again
        only if Airflow has queued this run again.

        Args:
            key: The MLJob that the run id names.
            run: The run.
            snapshot: What Airflow's REST API has answered about the run and its tasks.
        """
        worker = self.workers.get(key)
        if worker is None and snapshot.run is not None and self._past.needs_check(run, snapshot.run):
            # No worker tracks this run. Either the run belongs to a finished MLJob, and a user may
            # have cleared the run in Airflow. Or the run belongs to no MLJob. A step of a new
            # worker finds out which. A run is checked again only if Airflow has queued the run
            # again.
            self._past.note_checked(run, snapshot.run)
            worker = self.workers.get_or_add(key)
        if worker is not None and not worker.takes_quietly(run, snapshot):
            worker.inbox.add_snapshot(run, snapshot)
            self._wake_for_change(key, worker, snapshot.run.state if snapshot.run else None, snapshot.tasks)

    def _wake_for_change(
        self, key: Key, worker: WorkerState, run_state: RunState | None, tasks: Sequence[TaskFact]
    ) -> None:
        """Wake an MLJob's worker for a change of its run. If the MLJob only reports the progress of
        the run, the step may wait (:meth:`_report_progress`), and then takes all changes until its
        start.

        The step does not wait in these cases: The run has started or ended, so progress is the
        wrong priority for the MLJob's next write. The last task has ended, so the change feed has
        to be read more often. Many different answers from Airflow wait in the inbox.

        Args:
            key: The MLJob.
            worker: The MLJob's worker.
            run_state: The state of the run. None if the change is about tasks only.
            tasks: The tasks that the change is about.
        """
        if run_state in TERMINAL_RUN or worker.note_ends(tasks) or worker.has_many_snapshots:
            self.workers.wake(key)
        elif worker.awaits_turn and (worker.agrees(run_state) or not self._writer.waits(key, Priority.PROGRESS)):
            self.workers.note_input(worker)
        elif worker.follows_quietly(run_state):
            self.workers.note_input(worker)
            self._report_progress(key)
        else:
            self.workers.wake(key)

    def _report_progress(self, key: Key) -> None:
        """Wake the worker of an MLJob whose run has made progress. The worker is woken later in
        each of these cases:

        - The last patch of the status is too young. The pause between two patches grows with the
          number of writes that are under way, so that one patch shows more changes.
        - Writes wait in the queue. The MLJob waits there too, and is woken at its turn. It does not
          wait there during the pause, because it could not use its turn.
        """
        worker = self.workers.get(key)
        if worker is None:
            return
        pause = self.workers.pause_of(worker, self._writer.progress_intervals)
        if pause > 0:
            self.workers.report_after(key, pause, self._report_progress)
        elif self._writer.joins_queue(key, Priority.PROGRESS):
            worker.awaits_turn = True
        else:
            self.workers.wake(key)

    def request_look_up(self, key: Key) -> None:
        """Wake the MLJob's worker, so that the worker requests the run from Airflow. If the MLJob
        has no worker, do nothing.
        """
        if (worker := self.workers.get(key)) is not None:
            worker.inbox.look_up = True
            self.workers.wake(key)

    def observe_halt(self, key: Key, halt: Halt | None) -> None:
        """Pass to the MLJob's worker the reason why Airflow starts no further tasks of the run, for
        example that the DAG is paused. ``halt`` is None if Airflow starts tasks. If the MLJob has
        no worker, do nothing.
        """
        if (worker := self.workers.get(key)) is not None:
            worker.inbox.halts = (halt,)
            self.workers.wake(key)

    def wake_waiting(self, *, namespace: str | None = None, airflow: str | None = None) -> None:
        """Wake the MLJobs that wait for a change of Airflows, limits, access rules or credentials.
        The MLJobs are woken in the background, and don't wait for the end of a backoff.

        Args:
            namespace: Only the MLJobs of this namespace are woken. None means all namespaces.
            airflow: Only the MLJobs of this Airflow are woken. None means all Airflows.
        """
        self._waiting.wake(Change(namespace, airflow))

    def early_pass(self, airflow: str) -> asyncio.Event:
        """Return the :class:`asyncio.Event` of an Airflow. When this :class:`asyncio.Event` is set,
        the operator soon reads the Airflow's change feed, and does not wait for the time of the
        next regular read. While the operator reads the change feed more often than usual, the
        :class:`asyncio.Event` has no effect. The change feed is the REST API's list of changed runs
        and task instances.
        """
        return self._early_passes[airflow]

    async def idle(self) -> None:
        """Wait until :attr:`tasks` is empty."""
        while tasks := self.tasks:
            await asyncio.wait(tasks)

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        """The asyncio tasks that run steps, wake MLJobs, or record Kubernetes Events."""
        return [*self.workers.tasks, *self._waiting.tasks, *self._writer.tasks]

    async def close(self) -> None:
        """Stop all workers. Wait for the reconciliations that are running and for the Kubernetes
        Events that are being recorded. Reconciliations and Events that take too long are cancelled.
        """
        self.workers.stop()
        await self._waiting.close()
        await self.workers.close()
        await self._conf_sources.close()
        await self._writer.close()

    # Steps

    def _drop(self, key: Key) -> None:
        if (worker := self.workers.get(key)) is not None and worker.tracked is not None:
            self._past.add(worker.tracked)
        self._classifier.forget(key)
        self._confs.forget(key)
        self._conf_sources.follow(key, ())
        self._backfills.remove(key)
        self._meter.forget(key)
        self._index.remove(key)
        self._writer.end_step(key, waits=False)
        # The MLJob may have had a place within a limit on active runs.
        self._wake_admitted()

    def _wake_admitted(self) -> None:
        for key in self._classifier.admitted():
            self.workers.wake(key)

    def _after_step(self, key: Key, worker: WorkerState) -> None:
        self._follow_up(key, worker)
        self._count(key, worker)
        self._refresh_entry(key)
        if worker.failures:
            self._admission.release_waiting(key)
        self._wake_admitted()
        self.vanished_runs.report()

    def _count(self, key: Key, worker: WorkerState) -> None:
        if worker.job is None or worker.finished:
            self._meter.forget(key)
        else:
            self._meter.follow(key, JobLabels.of(worker.job))

    def _runs_vanished(self, airflow: str) -> None:
        """Request a probe of an Airflow, which updates the status of the AirflowInstance. Also wake
        the MLJobs that wait for this Airflow. Called when many runs have vanished from the Airflow.
        Called again when no run is missing any more, except runs whose loss an administrator has
        accepted.
        """
        self._reconciler.request_probe(airflow)
        self.wake_waiting(airflow=airflow)

    def _follow_up(self, key: Key, worker: WorkerState) -> None:
        state = worker.state
        self._upstreams.follow(key, waited_for(state) if state is not None and worker.tracked is not None else ())
        if state is None:
            return
        # The next list of all active runs has to show whether other runs are missing too.
        vanished = state.presence.vanished and self._missing_runs.needs_relist(key)
        if vanished or is_hot(state, self._clock()):
            self.early_pass(state.run.airflow).set()
        self._backfills.update(state)

    def _reserve(self, worker: WorkerState) -> None:
        state = worker.last_state(self._classifier.state)
        self._classifier.reserve(state)
        self._index.update(state)

    def _refresh_entry(self, key: Key) -> None:
        if self.workers.get(key) is None or not self.workers.of_each(self._update_index, [key]):
            self._index.remove(key)

    def _update_index(self, worker: WorkerState) -> None:
        if worker.finished:
            self._index.remove(_job(worker).key)
        else:
            self._index.update(worker.last_state(self._classifier.state))


def _job(worker: WorkerState) -> Job:
    assert worker.tracked is not None
    return worker.tracked.job


def _needs_step(before: Job, after: Job) -> bool:
    """Return whether a new version of an MLJob needs a step of its worker. Versions from the
    operator's own status patches need none.
    """
    return (before.generation, before.deleted_at, before.has_finalizer) != (
        after.generation,
        after.deleted_at,
        after.has_finalizer,
    )
