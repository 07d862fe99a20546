"""The simulated world of operator processes, Airflows, Kafka and the Kubernetes API."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import random
from collections import defaultdict
from collections.abc import Callable

from mljob_contract.mljob import MLJobStatus
from mljob_operator.controllers.mljob.actions import UNKNOWN_FOR
from mljob_operator.core.mljob.upstream import upstream_names
from mljob_operator.core.run.run_key import SETTINGS_AIRFLOW, Key
from tests.fakes.airflow import FakeRun
from tests.fakes.instances import FakeInstances
from tests.fakes.operator import FakeOperator

from .airflow import OUTPUT, BusyAirflow, Step, active
from .cluster import Cluster
from .network import ONE_WAY, Network, Stray, When
from .process import Process
from .topic import Topic
from .virtual_time import VirtualClock, VirtualLoop

OTHER = "other"
"""The name of the only AirflowInstance, and of the Airflow to which it leads. In some worlds, the
AirflowInstance does not exist.
"""


class World:
    """A simulation of operator processes, Airflows, Kafka and the Kubernetes API. :meth:`look`
    checks the operator's promises.

    Attributes:
        clock: The clock of all operators.
        airflow_clock: The clock of Airflow and of the Kubernetes API server.
        airflow: The Airflow of the operator's settings.
        airflows: All Airflows, by the name of the AirflowInstance. ``airflow`` has the key
            ``SETTINGS_AIRFLOW``.
        processes: The running operators, oldest first.
        overlapped: Whether two operators ever ran at once, or reads ever returned older objects. If
            true, ``limit`` is not checked.
        by_hand: Ids of runs that a user has cleared in Airflow.
        limit: The maximum number of active runs that :meth:`look` allows in the Airflow ``OTHER``.
            None allows any number.
        watch_takes: The maximum time until a watch delivers a change, in seconds. If the time is
            below ``ONE_WAY``, a change arrives before the response to the request that made the
            change.
        late: Descriptions of runs and backfills that a late request created. A request is late if
            Airflow executes the request more than ``UNKNOWN_FOR`` after the operator process
            stopped waiting for the response.
    """

    def __init__(self) -> None:
        self.late: set[str] = set()
        # Delays are random; the same sequence of steps has the same delays.
        random.seed(0)
        self.loop = VirtualLoop()
        self.clock = VirtualClock(self.loop)
        self.airflow_clock = VirtualClock(self.loop)
        self.topic = Topic()
        self.airflow = BusyAirflow(self.airflow_clock, self.topic)
        self.airflows = {SETTINGS_AIRFLOW: self.airflow, OTHER: BusyAirflow(self.airflow_clock, self.topic)}
        self.instance_objects = FakeInstances()
        self.operator = FakeOperator()
        self.instance_objects.secrets["credentials"] = {"user": "operator", "password": "secret"}
        self.cluster = Cluster(self.loop.time)
        self.network = Network()
        self.processes: list[Process] = []
        self.numbers = itertools.count(1)
        self.overlapped = False
        self.by_hand: set[str] = set()
        self.limit: int | None = None
        self.watch_takes = 2 * ONE_WAY
        self._broken: list[str] = []
        self.defects = Defects()
        logging.getLogger("mljob_operator").addHandler(self.defects)
        self.start()

    @property
    def process(self) -> Process | None:
        return self.processes[0] if self.processes else None

    def start(self, *, beside: bool = False) -> None:
        if len(self.processes) < 1 + beside:

            async def start() -> None:
                self.processes.append(Process(self, f"operator-{next(self.numbers)}"))

            self.loop.run_until_complete(start())
            self.overlapped |= len(self.processes) > 1

    def kill(self, which: int = 0) -> None:
        if which < len(self.processes):
            self.processes[which].end()
            self.run(0)

    def leave_one(self) -> None:
        self.kill(1)
        self.start()

    def fall_behind(self, versions: int, seconds: float) -> None:
        self.cluster.fall_behind(versions, seconds)
        self.overlapped = True

    def changed_by(self, process: str) -> None:
        """Called after ``process`` has sent a change to Airflow or Kubernetes. Does nothing here,
        but :class:`.ReplicatedWorld` records the change.
        """

    def soon(self, what: Callable[[], object]) -> None:
        self.loop.call_soon(what)

    def run(self, seconds: float) -> None:
        self.loop.run_until_complete(asyncio.sleep(seconds))

    def lands(self, stray: Stray) -> None:
        """Execute a request whose process no longer waits for the response. If the process stopped
        waiting more than ``UNKNOWN_FOR`` ago, add the created runs and backfills to ``late``.
        """

        async def land() -> None:
            before = self.at_work()
            # No process receives the response.
            with contextlib.suppress(Exception):
                await stray.effect()
            if self.loop.time() > stray.since + UNKNOWN_FOR.total_seconds():
                self.late |= {name for name, _ in self.at_work() if (name, _) not in before}
            self.look()

        self.loop.run_until_complete(land())

    def close(self) -> None:
        while self.processes:
            self.kill()
        logging.getLogger("mljob_operator").removeHandler(self.defects)
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.run(0)
        self.loop.close()

    # Checks

    def look(self) -> None:
        """Pass the changes of MLJobs to the watches. Check the promises about the runs and
        backfills in Airflow. Wake the watches and Kafka consumers of all operators.
        """
        self.cluster.publish()
        by_job: dict[str, list[str]] = defaultdict(list)
        for name, run_id in self.at_work():
            for uid in self.cluster.announced[run_id]:
                if run_id not in self.by_hand:
                    by_job[uid].append(name)
            if not self.cluster.announced[run_id]:
                self._broken.append(f"{name} was started before any status said so")
        for uid, names in by_job.items():
            if len(names) > 1:
                self._broken.append(f"{uid} has several active runs: {', '.join(names)}")
        for airflow in self.airflows.values():
            # A run that was deleted before any status reported its submission is unknown to the
            # operator.
            self._broken += [f"{run_id} was used twice" for run_id in airflow.reused if run_id in self.cluster.told]
            airflow.reused.clear()
            self._broken += airflow.backfills.twice
            airflow.backfills.twice.clear()
        self._broken += self._crowded()
        self._broken += self._fed_wrongly()
        self._broken += [f"left behind: {name}" for name in self.left_behind()]
        for process in list(self.processes):
            process.look()

    def at_work(self) -> list[tuple[str, str]]:
        """Return a description and the run id of each active run and backfill of MLJobs. A backfill
        has the run id that the status of its MLJob names.
        """
        found: list[tuple[str, str]] = []
        for airflow in self.airflows.values():
            found += [(f"{run.run_id} of {run.dag_id}", run.run_id) for run in airflow.ours() if active(run)]
            found += airflow.backfills.at_work()
        return found

    def steps(self) -> list[Step]:
        return [step for airflow in self.airflows.values() for step in airflow.steps()]

    def going_on(self) -> list[tuple[BusyAirflow, FakeRun]]:
        """Return the active runs of MLJobs and the active runs of backfills, each with its Airflow.
        Runs of a paused DAG and queued runs of a paused backfill are left out.
        """
        return [
            (airflow, run)
            for airflow in self.airflows.values()
            for run in airflow.followed()
            if active(run) and run.dag_id not in airflow.paused and not airflow.backfills.holds(run)
        ]

    def _crowded(self) -> list[str]:
        """Return a description if the Airflow ``OTHER`` has more active runs than ``limit``. Runs
        of deleted MLJobs don't count, because a user may have wanted to keep these runs.
        """
        there = [run for run in self.airflows[OTHER].ours() if self.cluster.announced[run.run_id] & self.cluster.uids]
        active_there = sum(active(run) for run in there)
        if self.limit is not None and active_there > self.limit and not self.overlapped:
            return [f"{active_there} active runs where {self.limit} are allowed"]
        return []

    def _fed_wrongly(self) -> list[str]:
        """Check the newest run of each MLJob in the Airflow of the operator's settings, and return
        a description of each error:

        - The outputs in the run's conf must come from the runs in ``status.upstreams``.
        - The runs in ``status.upstreams`` must have succeeded.
        - If the spec names upstream MLJobs, ``status.upstreams`` must not be empty.

        Runs in ``late`` are not checked. MLJobs with the runPolicy OncePerSpec are not checked,
        because such an MLJob may use a run with older outputs.
        """
        found = []
        for job in self.cluster.published.values():
            status, taken = job.status, {run.dag_run_id for run in job.status.upstreams or ()}
            run = self.airflow.runs.get((status.dag_id or "", status.dag_run_id or ""))
            if run is None or status.submit_time is None or job.uid in self.cluster.once_per_spec:
                continue
            if any(f"{run.run_id} of" in name for name in self.late):
                continue
            fed = {run.conf[OUTPUT]} if OUTPUT in run.conf else set()
            # Two MLJobs have the same output, and the last one wins.
            if not (fed <= taken and bool(fed) is bool(taken)):
                found.append(f"{run.run_id} has the outputs of {fed}, and the status says {taken}")
            if not_yet := taken - self.airflow.succeeded:
                found.append(f"{run.run_id} has the outputs of {not_yet}, which has not succeeded")
            if not taken and upstream_names(job.spec) and status.spec_hash == job.parsed.hash:
                found.append(f"{run.run_id} has no outputs of {upstream_names(job.spec)}")
        return found

    def left_behind(self, *, in_the_end: bool = False) -> list[str]:
        """Return descriptions of the active runs and backfills of deleted MLJobs, with these
        exceptions:

        - The deletionPolicy of the MLJob is Retain.
        - A user has cleared the run in Airflow.
        - An Event with the reason CancellationAbandoned names the run.
        - The run or backfill is in ``late``. If ``in_the_end`` is true, this exception is only for
          backfills. At the end, the operator must have found each late run in Airflow's list of
          active runs, and must have cancelled the run.
        """
        backfills = {name for airflow in self.airflows.values() for name, _ in airflow.backfills.at_work()}
        too_early = self.late & backfills if in_the_end else self.late
        there = self.cluster.uids
        warned = " ".join(
            notice.message for _, notice in self.cluster.kube_events if notice.reason == "CancellationAbandoned"
        )
        return [
            name
            for name, run_id in self.at_work()
            if not self.cluster.announced[run_id] & there
            and run_id not in self.by_hand
            and name not in too_early
            and run_id not in warned
            and not any(
                self.cluster.specs[uid].get("deletionPolicy") == "Retain" for uid in self.cluster.announced[run_id]
            )
        ]

    @property
    def broken(self) -> list[str]:
        """Descriptions of all broken promises, and the errors that the operator has logged."""
        return list(dict.fromkeys([*self.cluster.broken, *self._broken, *self.defects.found]))

    def status(self, key: Key) -> MLJobStatus:
        return MLJobStatus.model_validate(self.cluster.objects[key].get("status", {}))

    def die_at(self, calls: int, when: When, which: int = 0) -> None:
        """Let an operator die at a later request. ``calls`` is 1 for the next request."""
        if which < len(self.processes):
            wire = self.processes[which].wire
            wire.dies_at = (wire.calls + calls, when)


class Defects(logging.Handler):
    """A log handler that records what the operator logs with the level ERROR or higher."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(logging.Formatter("%(message)s").format(record))
