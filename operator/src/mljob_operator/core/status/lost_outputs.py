"""Finds out whether the outputs of a successful run are lost. The status shows the loss, because
otherwise the run would seem to have published nothing.
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
    """Return the entry of ``status.outputsOmitted`` for lost outputs of a successful run. Return
    None if no outputs are lost, or if the MLJob is being deleted.

    The outputs are lost if the run was deleted in Airflow, or the finalizer was removed from the
    MLJob, before the operator has read the outputs.
    """
    job, observed_run = state.job, state.observed_run
    was_read = state.transient.over_since is not None or observed_run.listed
    if was_read or job.deleting or not capabilities(job).has_tasks or not _awaits_outputs(state):
        return None
    if observed_run.not_found:
        return RUN_DELETED
    return NOT_HELD if not job.has_finalizer and state.ending.over else None


def _awaits_outputs(state: State) -> bool:
    if state.current.finished:
        return (state.job.status.message or "").endswith(NOT_READ)
    return state.current.open and state.ending.succeeded
