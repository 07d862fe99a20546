"""The actions that :mod:`.decisions` chooses from, and that the reconciler carries out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from .attempts import Attempt


@dataclass(frozen=True, slots=True)
class AddFinalizer:
    """Add the finalizer, so that Kubernetes keeps the MLJob while it has a run."""


@dataclass(frozen=True, slots=True)
class CountRuns:
    """Count the runs of the MLJob's spec in Airflow, for runPolicy OncePerSpec. An earlier MLJob of
    the same name may have started several runs, and this MLJob takes over the newest of them.
    """


@dataclass(frozen=True, slots=True)
class ReadUpstreams:
    """Read the MLJobs whose outputs the conf takes from the Kubernetes API."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BeginAttempt:
    """Begin this attempt. From then on, the status describes this attempt."""

    attempt: Attempt


@dataclass(frozen=True, slots=True)
class TakeOver:
    """Record in the status that this process submits the run of the attempt. The status named
    another process before, which then does not submit the run.
    """


@dataclass(frozen=True, slots=True)
class Store:
    """Write the status before the next action, so that after a crash the next process knows which
    action was planned.
    """


@dataclass(frozen=True, slots=True)
class Submit:
    """Trigger the dag run.

    Attributes:
        conf_of: The id of an earlier run whose conf the new run gets, or None for the conf of the
            spec.
    """

    conf_of: str | None = None


@dataclass(frozen=True, slots=True)
class ClearFailed:
    """Clear the failed tasks of the run, and the tasks that did not run because of them, so that
    they run again.
    """


@dataclass(frozen=True, slots=True)
class Pause:
    """Pause or resume the backfill. Airflow starts no further runs of a paused backfill."""

    paused: bool


@dataclass(frozen=True, slots=True)
class LookUpRun:
    """Ask Airflow for the run's state."""


@dataclass(frozen=True, slots=True)
class ListTasks:
    """Ask Airflow for the run and all its task instances."""


@dataclass(frozen=True, slots=True)
class ReadQuestions:
    """Ask Airflow for the questions of tasks that await input."""


@dataclass(frozen=True, slots=True)
class TriggerCancellation:
    """Trigger the cancellation DAG for the run."""


@dataclass(frozen=True, slots=True)
class CheckCancellation:
    """Ask Airflow whether the run of the cancellation DAG has started."""


@dataclass(frozen=True, slots=True)
class CancelDirectly:
    """Cancel the run through Airflow's REST API: set its unfinished task instances failed, then the
    run.
    """


@dataclass(frozen=True, slots=True)
class HandleChildren:
    """Look for runs that tasks of the cancelled run have started. Cancel these runs if the spec
    says so, and report them in an Event.
    """


@dataclass(frozen=True, slots=True)
class NoteRetention:
    """Write into the run's note in Airflow that the run continues without its MLJob on purpose. The
    operator does not try this again after a failure, because the deletion of the MLJob does not
    wait for Airflow.
    """


@dataclass(frozen=True, slots=True)
class Release:
    """Write the status, then remove the finalizer.

    Attributes:
        abandoned: Whether the run may still be active, because its cancellation did not succeed
            before the deadline.
    """

    abandoned: bool = False


@dataclass(frozen=True, slots=True)
class Expire:
    """Delete the finished MLJob, because its time to live has ended."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Do nothing until something changes, or until the given time. None means no time limit."""

    until: datetime | None = None


Action = (
    AddFinalizer
    | CountRuns
    | ReadUpstreams
    | BeginAttempt
    | TakeOver
    | Store
    | Submit
    | ClearFailed
    | Pause
    | LookUpRun
    | ListTasks
    | ReadQuestions
    | TriggerCancellation
    | CheckCancellation
    | CancelDirectly
    | HandleChildren
    | NoteRetention
    | Release
    | Expire
    | Wait
)
