"""Probes the Airflow of the operator's settings (``MLJOB_AIRFLOW_URL``) at intervals.

This Airflow has no AirflowInstance, so the log and the metric ``mljob_airflow_ready`` show its
readiness.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from ...core.run.run_key import SETTINGS_AIRFLOW
from ...errors import AirflowError
from ...ports import Airflow, Meter

log = logging.getLogger(__name__)

INTERVAL = 15.0
"""Seconds between two probes. An AirflowInstance is probed at the same interval."""


class OwnProbe:
    """Probes the Airflow of the operator's settings.

    Args:
        airflow: The adapter for this Airflow.
        meter: Records the result in the metric ``mljob_airflow_ready``.
        vanished: Returns whether many runs have vanished from the Airflow. Such an Airflow is not
            ready.
    """

    def __init__(self, airflow: Airflow, meter: Meter, vanished: Callable[[], bool]) -> None:
        self._airflow = airflow
        self._meter = meter
        self._vanished = vanished
        self._last_problem = ""

    async def run(self) -> None:
        """Probe the Airflow repeatedly, until this asyncio task is cancelled."""
        while True:
            try:
                await self.probe()
            except Exception:
                # A defect must not end the task, so it is logged and the next probe follows.
                log.exception("the Airflow of the settings: unexpected error")
                self._meter.airflow_ready(SETTINGS_AIRFLOW, False)
            await asyncio.sleep(INTERVAL)

    async def probe(self) -> None:
        """Probe the Airflow once, and update the metric. Log a problem of the Airflow only when the
        problem begins, changes or ends.
        """
        problem = ""
        try:
            await self._airflow.probe()
        except AirflowError as error:
            problem = f"{error.reason}: {error}"
        if problem != self._last_problem:
            if problem:
                log.warning("the Airflow of the settings is not ready: %s", problem)
            else:
                log.info("the Airflow of the settings is ready again")
            self._last_problem = problem
        self._meter.airflow_ready(SETTINGS_AIRFLOW, not problem and not self._vanished())
