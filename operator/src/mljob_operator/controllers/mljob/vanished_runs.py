"""Wakes the MLJobs whose runs are missing in Airflow, when these runs begin or cease to count as
deleted.

A missing run counts as deleted, and its MLJob fails. But if many runs are missing at once, for
example after the restore of an old backup, the runs don't count as deleted
(:mod:`...core.run.vanishing`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from datetime import datetime

from ...core.run.run_key import Key
from ...core.run.vanishing import MissingRuns, vanished_message
from ...ports import Meter

log = logging.getLogger(__name__)


class VanishedRuns:
    """Records which runs are missing in Airflow's lists of active runs. Wakes the MLJobs of
    missing runs when these runs may now count as deleted, or may no longer count as deleted.

    Args:
        missing_runs: Knows which runs are missing in each Airflow.
        meter: Records how many runs have vanished from each Airflow.
        wake: Wakes an MLJob.
        changed: Called with the name of an Airflow when many runs have vanished from the Airflow,
            and called again when all missing runs are back or accepted as lost.
    """

    def __init__(
        self, missing_runs: MissingRuns, meter: Meter, *, wake: Callable[[Key], None], changed: Callable[[str], None]
    ) -> None:
        self._missing_runs = missing_runs
        self._meter = meter
        self._wake = wake
        self._changed = changed
        self._vanished: set[str] = set()

    def relist(self, airflow: str, asked_at: datetime, unlisted: Collection[Key]) -> None:
        """Record which runs are not in a relist (a new list of an Airflow's active runs). Then call
        :meth:`report`.

        Args:
            airflow: The Airflow's name.
            asked_at: When the operator requested the list.
            unlisted: The MLJobs whose run is in progress but is not in the list, and all MLJobs
                with a backfill in progress. The list never contains backfills.
        """
        self._missing_runs.relist(airflow, asked_at, unlisted)
        self.report()
        vanished = self._missing_runs.vanished(airflow)
        self._meter.runs_vanished(airflow, vanished.missing if vanished is not None else 0)

    def wants_relist(self, airflow: str) -> bool:
        """Return whether the operator needs a relist (a new list of an Airflow's active runs)
        before a missing run can count as deleted. The relist shows whether other runs are missing
        too.
        """
        return self._missing_runs.wants_relist(airflow)

    def have_vanished(self, airflow: str) -> bool:
        """Return whether many runs have vanished from an Airflow at once. The result stays True
        until each missing run is back or is accepted as lost. While the result is True, a missing
        run does not count as deleted, unless an administrator has accepted the loss of this run.
        """
        return self._missing_runs.have_vanished(airflow)

    def report(self) -> None:
        """Wake the MLJobs of missing runs that may have begun or ceased to count as deleted since
        the last call of this method. Also call ``changed`` with the name of each Airflow for which
        the result of :meth:`have_vanished` has changed since the last call.
        """
        missing_runs = self._missing_runs
        for airflow in missing_runs.take_changes():
            vanished = missing_runs.have_vanished(airflow)
            if vanished is not (airflow in self._vanished):
                self._vanished ^= {airflow}
                name = f"AirflowInstance {airflow}" if airflow else "Airflow"
                if vanished:
                    log.warning("%s is not ready. %s", name, vanished_message(airflow))
                else:
                    log.info("%s: each run that had vanished is found again, or its loss is accepted", name)
                self._changed(airflow)
            for key in missing_runs.missing(airflow):
                self._wake(key)
