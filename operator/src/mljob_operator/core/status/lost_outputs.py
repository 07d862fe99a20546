"""Finds out whether the outputs of a successful run are lost. Lost outputs can't be read any more.
The status shows the loss, because otherwise the run would seem to have published nothing.
"""

from __future__ import annotations

from ..mljob.capabilities import capabilities
from ..mljob.classification.state import State
from ..run.outputs import NOT_HELD, RUN_DELETED

NOT_READ = " Its outputs could not be read from Airflow yet; they follow."
"""The end of the message of a successful run whose outputs could not be read from Airflow yet."""
LOST = " Its outputs are lost, as status.outputsOmitted says. To get them, run it again."
"""The end of the message of a successful run whose outputs can't be read any more."""


def lost_outputs(state: State) -> str | None:
    """Return the entry of ``status.outputsOmitted`` for the lost outputs of a successful run.
    Return None if the outputs were read or can still be read. Also return None if the run did not
    succeed, the MLJob is being deleted, or the MLJob is a backfill.

    The outputs are lost if Airflow does not have the run any more. They are also lost if somebody
    has removed the finalizer from the MLJob, because the operator reads the outputs of an MLJob
    only while the MLJob has the finalizer.
    """
    job, observed_run = state.job, state.observed_run
    was_read = state.transient.over_since is not None or observed_run.listed
    if was_read or job.deleting or not capabilities(job).has_tasks or not _awaits_outputs(state):
        return None
    if observed_run.not_found:
        return RUN_DELETED
    return NOT_HELD if not job.has_finalizer and state.ending.over else None


def _awaits_outputs(state: State) -> bool:
    """Return whether the run succeeded, and its outputs are not in the stored status yet."""
    if state.current.finished:
        return (state.job.status.message or "").endswith(NOT_READ)
    return state.current.open and state.ending.succeeded
