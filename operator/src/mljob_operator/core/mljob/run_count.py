"""The count of a spec's runs in Airflow, for runPolicy OncePerSpec.

With this policy, a run id contains a hash of the spec, and the runs of a spec are numbered from 1.
Airflow may have runs of the spec that the status does not name: ``status.history`` keeps only the
last attempts, and a deleted MLJob of the same name may have had the same spec. So the operator asks
Airflow for the runs of a spec before the first attempt with this spec. Without the count, the
attempt could take over an old run as if the run were new.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from mljob_contract.run_id import RunId

from ..frozen import frozen
from ..run.run_key import RunKey
from ..run.states import RunState

LONGEST_GAP = 3
"""The longest gap in the numbers of a spec's runs. An attempt that ended before Airflow had its run,
for example because the DAG was missing, has used a number. Somebody may also have deleted a run.
"""


@frozen
class RunCount:
    """The runs of a spec that Airflow has.

    Attributes:
        first: The key of the spec's run with the number 1, which Airflow may have or not. The count
            is about the runs that differ from this run in the number only.
        runs: The highest number of the runs that the operator has found so far, or 0.
        newest_state: The state of the run with this number. None if ``runs`` is 0.
        missed_at: When Airflow first answered that the ``LONGEST_GAP + 1`` runs with the next
            higher numbers do not exist. None if Airflow has not answered this yet.
        complete: Whether Airflow has repeated this answer, so that the operator believes it.
    """

    first: RunKey
    runs: int = 0
    newest_state: RunState | None = None
    missed_at: datetime | None = None
    complete: bool = False

    def includes(self, run_id: str) -> bool:
        """Return whether a run is among the runs that the operator has found, or is in a gap
        between two of them.
        """
        run = RunId.parse(run_id)
        return run is not None and run.number <= self.runs and str(replace(run, number=1)) == self.first.run_id
