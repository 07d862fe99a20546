"""Orphaned runs: runs of ours that go on, and that no MLJob follows.

A submission may take effect after the operator has given up waiting for its answer, when its MLJob is gone or has gone on to another attempt. A
cancellation may have been given up (CancellationAbandoned). Nothing is in the Kubernetes API then that tells of the run; Airflow's list of
active runs is all there is.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from mljob_contract.run_id import RunId

from .mljob import attempts
from .mljob.identity import dag_run_id, pin
from .mljob.job import Job
from .run.run_key import SETTINGS_AIRFLOW, Key, RunKey
from .status.events import WARNING, KubeEvent

SEEN_FOR = timedelta(seconds=60)
"""How long censuses have to list a run that no MLJob here follows before the API server is asked for the MLJob: a run that was submitted a moment ago
is told of by then."""


def note(key: Key) -> str:
    """The note of a run that is submitted for an MLJob. The run id alone would not do: somebody may have given the same id to the run of another DAG."""
    return f"MLJob {key[0]}/{key[1]}"


def note_of_retained(key: Key) -> str:
    """The note of a run that goes on without its MLJob because ``deletionPolicy: Retain`` says so. Such a run is not orphaned."""
    return f"{note(key)}, deleted with deletionPolicy Retain"


def follows(job: Job, run: RunKey) -> bool:
    """Whether an MLJob follows a run, or is about to: the run of its attempt, the one that its first attempt will take over, or an
    earlier attempt's that somebody has cleared in Airflow. The Airflow's name doesn't count: two AirflowInstances may lead to one Airflow, and
    each lists the other's runs.
    """
    attempt = attempts.current(job.status)
    if attempt is None:
        parsed = RunId.parse(run.run_id)
        return parsed is not None and parsed.digest == dag_run_id(parsed.prefix, *job.key, pin(job)).digest
    if (run.dag_id, run.run_id) == (attempt.dag_id, attempt.run_id):
        return True
    # One without a start had not begun when its attempt ended: it was submitted late.
    return any(entry.dag_run_id == run.run_id and entry.start_time is not None for entry in job.status.history or ())


def reported(run: RunKey, key: Key, *, cancelled: bool) -> KubeEvent:
    """The Event about an orphaned run."""
    where = (
        f"AirflowInstance {run.airflow}"
        if run.airflow != SETTINGS_AIRFLOW
        else "the Airflow of the operator's settings"
    )
    what_next = (
        "The operator cancels it."
        if cancelled
        else "Cancel it in Airflow, or set operator.orphanedRuns to Cancel in the chart's values so that the operator cancels orphaned runs."
    )
    return KubeEvent(
        WARNING,
        "OrphanedRun",
        f"Run {run.run_id} of DAG {run.dag_id} is in progress in {where}, and no MLJob follows it: MLJob {key[0]}/{key[1]} was deleted or has another run. "
        f"The submission reached Airflow late, or the operator gave up cancelling the run. {what_next}",
    )


@dataclass(slots=True)
class Suspects:
    """Runs of one Airflow that may be orphaned.

    Attributes:
        since: When a census first listed each of them, or since when an MLJob is known to follow it.
        orphaned: Those that no MLJob follows, as the API server says.
        tried: When each of those was last to be cancelled.
    """

    since: dict[RunKey, datetime] = field(default_factory=dict)
    orphaned: set[RunKey] = field(default_factory=set)
    tried: dict[RunKey, datetime] = field(default_factory=dict)

    def listed(self, runs: Collection[RunKey], at: datetime) -> list[RunKey]:
        """Note the runs that a census listed and that no MLJob here follows; of which to ask the API server, the longest suspected first."""
        self.since = {run: self.since.get(run, at) for run in runs}
        self.orphaned &= self.since.keys()
        self.tried = {run: tried for run, tried in self.tried.items() if run in self.orphaned}
        due = [run for run, since in self.since.items() if at - since >= SEEN_FOR and run not in self.orphaned]
        return sorted(due, key=lambda run: self.since[run])

    def next_to_end(self, most: int, at: datetime) -> list[RunKey]:
        """Orphaned runs to cancel now, at most so many. Those that were tried go behind all others: it may be that nobody can cancel them."""
        found = sorted(self.orphaned, key=lambda run: (run in self.tried, self.tried.get(run, at), run))[:most]
        self.tried |= dict.fromkeys(found, at)
        return found

    def clear(self, run: RunKey, at: datetime) -> None:
        """An MLJob follows the run after all."""
        self.orphaned.discard(run)
        self.since[run] = at
