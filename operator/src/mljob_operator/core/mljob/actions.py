"""The actions that :mod:`.decisions` chooses from, and that the reconciler carries out."""

from __future__ import annotations

from datetime import datetime

from ..frozen import frozen
from .attempts import Attempt


@frozen
class AddFinalizer:
    """Add the finalizer, so that Kubernetes keeps the MLJob while it has a run."""


@frozen
class CountRuns:
    """Count the runs in Airflow that were started for the MLJob's spec. An MLJob with the runPolicy
    OncePerSpec needs this count: an earlier MLJob of the same name may have started several runs
    for the same spec, and the new MLJob takes over the newest run.
    """


@frozen
class ReadUpstreams:
    """Read from the Kubernetes API the MLJobs whose outputs become part of the conf."""

    names: tuple[str, ...]


@frozen
class BeginAttempt:
    """Begin an attempt in memory. The next action is :class:`Store`, which writes the attempt into
    the status.
    """

    attempt: Attempt


@frozen
class TakeOver:
    """Record in the status that this process submits the run of the attempt. Before this action,
    the status names another process. That process may still submit the run during the 2 seconds
    after this action, but not later.
    """


@frozen
class Store:
    """Write the status before the next action. After a crash, the status then tells the next
    operator process which action was planned, or how the attempt ended.
    """


@frozen
class Submit:
    """Trigger the dag run, or create the backfill.

    Attributes:
        conf_of: The id of an earlier run whose conf the new run gets, or None for the conf of the
            spec. A new backfill also gets the range of the earlier backfill.
    """

    conf_of: str | None = None


@frozen
class ClearFailed:
    """Clear the failed tasks of a single run, and the tasks that did not run because of the failed
    tasks. Airflow then runs all of these tasks again. For a backfill, create another backfill that
    repeats the failed runs and creates the missing runs.
    """


@frozen
class Pause:
    """Pause or resume the backfill. Airflow starts no further runs of a paused backfill."""

    paused: bool


@frozen
class LookUpRun:
    """Ask Airflow for the state of the single run, or for the backfill and all its runs."""


@frozen
class ListTasks:
    """Ask Airflow for the single run and all its task instances, and for the outputs if the run has
    ended. For a backfill, do the same as :class:`LookUpRun`.
    """


@frozen
class ReadQuestions:
    """Ask Airflow for the questions of tasks that await input."""


@frozen
class TriggerCancellation:
    """Trigger the cancellation DAG, which comes with the Airflow provider, to cancel the run inside
    Airflow.
    """


@frozen
class CheckCancellation:
    """Ask Airflow whether the cancellation DAG is executing its task, which cancels the run."""


@frozen
class CancelDirectly:
    """Cancel the run through Airflow's REST API: set its unfinished task instances to failed, and
    then set the run to failed. For a backfill, first cancel the backfill, so that no further run
    starts, and then cancel its active runs.
    """


@frozen
class HandleChildren:
    """Look for active runs that tasks of the cancelled run have started. If
    ``spec.cancellation.children`` is Cancel, cancel those runs for which :func:`.may_be_cancelled`
    returns True. Events report all of the runs, cancelled or not.
    """


@frozen
class NoteRetention:
    """Write into the run's note in Airflow that somebody wants the run to continue without its
    MLJob. If this request fails, the operator does not repeat the request, because the deletion of
    the MLJob does not wait for Airflow.
    """


@frozen
class Release:
    """Write the status, then remove the finalizer.

    Attributes:
        abandoned: Whether the run may still be active, because its cancellation did not succeed
            before the deadline.
    """

    abandoned: bool = False


@frozen
class Expire:
    """Delete the finished MLJob, because its time to live has ended."""


@frozen
class Wait:
    """Do nothing until the operator observes a change that concerns this MLJob, or until the time
    ``until``. If ``until`` is None, there is no time limit.
    """

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
