"""The actions that :mod:`.decisions` chooses from, and that the reconciler carries out."""

from __future__ import annotations

from datetime import datetime

from ..frozen import frozen
from .attempts import Attempt


@frozen
class AddFinalizer:
    """Add the operator's finalizer to the MLJob. If somebody deletes the MLJob, Kubernetes then
    keeps the MLJob until the operator has removed the finalizer.
    """


@frozen
class CountRuns:
    """Count the runs of the MLJob's spec in Airflow (runPolicy OncePerSpec). Earlier MLJobs of the
    same name may have started these runs, or earlier attempts that are not in the history any more.

    The runs are numbered from 1, so the count is the number of the newest run.
    """


@frozen
class ReadUpstreams:
    """Read from the Kubernetes API the MLJobs in ``names``. The conf of the next run contains outputs
    of these MLJobs.
    """

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
    the status names another process. The other process may still send its submission until 2
    seconds after this action.
    """


@frozen
class Store:
    """Write the MLJob's status before the next action. If the operator crashes later, the next
    operator process continues from this status.
    """


@frozen
class Submit:
    """Trigger the dag run, or create the backfill.

    Attributes:
        conf_of: The run id of an earlier attempt. The new run or backfill gets the conf of the
            earlier attempt. A new run also gets the logical date of the earlier run, and a new
            backfill the range of the earlier attempt's backfill. If ``conf_of`` is None, the spec
            determines all of these.
    """

    conf_of: str | None = None


@frozen
class ClearFailed:
    """Clear the failed tasks of a single run, and the tasks that did not run because of the
    failures, so that Airflow runs all of these tasks again. For a backfill, create another
    backfill. This backfill repeats the failed runs of the earlier backfill, and creates the runs
    that the earlier backfill has not created.
    """


@frozen
class Pause:
    """Pause the backfill, or resume the backfill if ``paused`` is false. Airflow starts no further
    runs of a paused backfill.
    """

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
    """Ask Airflow for the questions of the run's tasks that wait for a person's input (state
    awaiting_input).
    """


@frozen
class TriggerCancellation:
    """Trigger the cancellation DAG, which cancels the run inside Airflow."""


@frozen
class CheckCancellation:
    """Ask Airflow whether a task of the cancellation DAG is cancelling the MLJob's run now. While
    the cancellation DAG's own run waits to start, the answer is no.
    """


@frozen
class CancelDirectly:
    """Cancel the run through Airflow's REST API: set its unfinished task instances to failed, and
    then set the run to failed. For a backfill, first cancel the backfill, and then cancel its
    active runs.
    """


@frozen
class HandleChildren:
    """Report, in Kubernetes Events, the active runs that tasks of the cancelled run have started.
    If ``spec.cancellation.children`` is Cancel, also cancel those runs for which
    :func:`.may_be_cancelled` returns True.
    """


@frozen
class NoteRetention:
    """Write into the run's note in Airflow that the run continues without its MLJob. A failed
    request is not repeated, so that the deletion of the MLJob does not wait for Airflow.
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
    """Do nothing until the time ``until``, or until the operator observes a change that concerns
    this MLJob. None means no time limit.
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
